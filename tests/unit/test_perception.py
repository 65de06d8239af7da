"""Encoders: unit vectors, gradients, and results that do not depend on the batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from onbrand.errors import PackError, WeightsError
from onbrand.models import Pack, open_pack
from onbrand.models.perception import AlignmentScorer, IdentityEncoder
from onbrand.models.perception.identity import as_map
from onbrand.models.twins import AttributeReader, IdentityTwin

TEXTS = ["a red fox", "a blue cat waving at the beach", "a bear"]


def pixels(num: int = 3, side_px: int = 48) -> torch.Tensor:
    return torch.rand(num, 3, side_px, side_px, generator=torch.Generator().manual_seed(4)) * 2 - 1


@pytest.mark.parametrize("kind", [IdentityEncoder, IdentityTwin])
def test_embeddings_are_unit_vectors_of_one_picture(
    tiny_pack: Pack, kind: type[IdentityEncoder | IdentityTwin]
) -> None:
    """Norm 1, any input size, and a picture's vector is the same alone and in a batch."""
    encoder = kind(tiny_pack)
    together = encoder.embed(pixels())
    assert together.shape == (3, 16)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(encoder.embed(pixels()[1:2])[0], together[1], atol=1e-6, rtol=1e-5)
    assert encoder.embed(pixels(2, 20)).shape == (2, 16)


def test_identity_has_a_gradient_and_feature_maps(tiny_pack: Pack) -> None:
    """A loss on the embedding or the feature maps reaches the pixels; weights stay frozen."""
    encoder = IdentityEncoder(tiny_pack)
    leaf = pixels().requires_grad_(True)
    features = encoder.features(leaf)
    loss = encoder.embed(leaf)[:, 0].sum() + sum(f.square().mean() for f in features)
    loss.backward()
    assert leaf.grad is not None
    assert float(leaf.grad.abs().sum()) > 0
    assert [f.shape[1] for f in features] == [8, 8, 16]
    assert not any(p.requires_grad for p in encoder.module.parameters())


def test_a_vision_transformers_tokens_are_its_patches(tmp_path: Path) -> None:
    """An image classifier of tokens has feature maps, too: a part's vector is of the patches under
    the mask, whatever else is in the batch; a shape that is no square of patches is refused."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=8, num_labels=8, architectures=["ViTForImageClassification"],
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(tmp_path / "identity")
    roles = {"identity": tmp_path / "identity"}
    encoder = IdentityEncoder(Pack("vit", tmp_path, "MIT", "1", roles, fallback=None))
    shown = pixels(3, 32)
    assert [tuple(maps.shape) for maps in encoder.features(shown)] == [(3, 16, 4, 4)] * 4
    mask = torch.zeros(3, 32, 32)
    mask[:, :16] = 1
    upper, lower = (encoder.embed_part(shown, m).detach() for m in (mask, 1 - mask))
    assert upper.shape == (3, 16)
    assert float((upper - lower).abs().max()) > 1e-3
    torch.testing.assert_close(encoder.embed_part(shown[1:2], mask[:1]).detach()[0], upper[1])
    with pytest.raises(WeightsError, match="neither feature maps nor a square of patches"):
        as_map(torch.zeros(1, 15, 8))


def test_alignment_is_a_cosine_of_unit_vectors(tiny_pack: Pack) -> None:
    """Scores lie in [-1, 1], tell texts apart, and do not depend on the batch."""
    scorer = AlignmentScorer(tiny_pack)
    scores = scorer.embed_pixels(pixels()) @ scorer.embed_texts(TEXTS).T
    assert scores.shape == (3, 3)
    assert float(scores.abs().max()) <= 1
    for i, text in enumerate(TEXTS):
        alone = scorer.embed_pixels(pixels()[i : i + 1]) @ scorer.embed_texts([text]).T
        torch.testing.assert_close(alone[0, 0], scores[i, i], atol=1e-6, rtol=1e-5)
    assert float((scores[0, 0] - scores[0, 2]).abs()) > 1e-6


def test_attributes_are_read_by_their_labels(tiny_pack: Pack) -> None:
    """Each attribute's probabilities sum to one and read() takes the largest."""
    reader = AttributeReader(tiny_pack)
    assert reader.attributes["species"] == ("fox", "cat", "bear")
    tables, words = reader.probabilities(pixels()), reader.read(pixels())
    for table, word in zip(tables, words, strict=True):
        for attribute, shares in table.items():
            assert sum(shares.values()) == pytest.approx(1)
            assert shares[word[attribute]] == max(shares.values())


def _copy(pack: Pack, to: Path) -> Path:
    return Path(shutil.copytree(pack.root, to))


def test_wrong_models_for_a_role_are_explained(tiny_pack: Pack, tmp_path: Path) -> None:
    """Another architecture, labels without a colon and truncated files each give one line."""
    root = _copy(tiny_pack, tmp_path / "pack")
    toml = (root / "pack.toml").read_text("utf-8")
    swapped = toml.replace('identity = "identity"', 'identity = "alignment"', 1)
    (root / "pack.toml").write_text(swapped, "utf-8")
    with pytest.raises(WeightsError, match="is a VisionTextDualEncoderModel; AutoModelForImageC"):
        IdentityEncoder(open_pack(root))
    (root / "pack.toml").write_text(toml, "utf-8")
    config = root / "attributes" / "config.json"
    told = json.loads(config.read_text("utf-8"))
    labels = {i: f"thing {i}" for i in told["id2label"]}
    config.write_text(json.dumps(told | {"id2label": labels}))
    with pytest.raises(WeightsError, match="label 'thing 0'"):
        AttributeReader(open_pack(root))
    (root / "identity" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(WeightsError, match="role 'identity'"):
        IdentityEncoder(open_pack(root))


def test_a_pack_without_eyes_says_so(tiny_hub_base: Path) -> None:
    """A role that no pack has is a PackError, so a caller can do without."""
    with pytest.raises(PackError, match="'attributes'"):
        AttributeReader(open_pack(tiny_hub_base, fallback=None))


def test_a_borrowed_scorer_brings_its_own_tokenizer(
    tiny_hub_base: Path, tiny_pack: Pack, tiny_pack_folder: Path
) -> None:
    """With a fallback pack's role, the text is read by that pack's tokenizer."""
    borrowed = AlignmentScorer(open_pack(tiny_hub_base, fallback=str(tiny_pack_folder)))
    own = AlignmentScorer(tiny_pack)
    torch.testing.assert_close(borrowed.embed_texts(TEXTS), own.embed_texts(TEXTS))
