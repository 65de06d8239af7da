"""Hub models that say what a picture shows: captions, who it is, how well a text fits, what must
not be shown. Tiny networks of the real classes; the whole models' outputs say what is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import tiny_hub
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tiny_hub import NUM_PX, hub_pack, random_pixels
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    VisionTextDualEncoderModel,
)

from onbrand.errors import WeightsError
from onbrand.models.perception import (
    load_alignment,
    load_identity,
    load_picture_check,
    load_tagger,
)
from onbrand.models.perception.hub import (
    Captioner,
    ConceptCheck,
    ContrastiveAlignment,
    TowerIdentity,
)
from onbrand.models.perception.hub.network import load_tokenizer
from onbrand.models.perception.hub.tags import STOP_WORDS
from onbrand.models.perception.processor import CLIP, normalisation

TEXTS = ["a red fox", "a blue cat waving at the beach", "a bear"]
TOWERS: dict[str, Callable[[Path], Path]] = {
    "clip": tiny_hub.build_clip,
    "clip vision": lambda folder: tiny_hub.build_clip(folder, "CLIPVisionModelWithProjection"),
    "siglip": tiny_hub.build_siglip,
    "siglip vision": lambda folder: tiny_hub.build_siglip(folder, "SiglipVisionModel"),
    "dino": tiny_hub.build_dino,
    "dino with registers": lambda folder: tiny_hub.build_dino(folder, registers=3),
}
PAIRS: dict[str, Callable[[Path], Path]] = {
    "clip": tiny_hub.build_clip,
    "siglip": tiny_hub.build_siglip,
}


@pytest.mark.parametrize("kind", TOWERS)
def test_towers_embed_pictures_and_parts(tmp_path: Path, kind: str) -> None:
    """Unit vectors, alone as in a batch; a part's ignores what lies outside it; empty masks: 0."""
    eye = TowerIdentity(hub_pack(tmp_path, identity=TOWERS[kind](tmp_path / "identity")))
    assert eye.size_px == NUM_PX
    pixels = random_pixels(3, 48, 40).requires_grad_(True)
    vectors = eye.embed(pixels)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(eye.embed(pixels[1:2])[0], vectors[1], atol=1e-5, rtol=1e-4)
    assert float((vectors[0] - vectors[1]).detach().abs().max()) > 1e-3
    masks = torch.zeros(3, 48, 40)
    masks[0, :24] = 1
    masks[1, 24:] = 1
    parts = eye.embed_part(pixels, masks)
    torch.testing.assert_close(parts.norm(dim=-1), torch.tensor([1.0, 1, 0]))
    other = eye.embed_part(pixels, masks.flip(1))
    assert float((other[0] - parts[0]).detach().abs().max()) > 1e-3
    (vectors[:, 0].sum() + parts[:, 0].sum()).backward()
    assert pixels.grad is not None
    assert (pixels.grad.flatten(1).abs().sum(1) > 0).all()


def test_part_pooling_reads_the_patches_under_the_mask(tmp_path: Path) -> None:
    """With a mask of one patch, that patch's token and neither the class token nor a register."""
    folder = tiny_hub.build_dino(tmp_path / "identity", registers=3)
    eye = TowerIdentity(hub_pack(tmp_path, identity=folder))
    pixels = random_pixels(1, NUM_PX, NUM_PX)
    mask = torch.zeros(1, NUM_PX, NUM_PX)
    mask[:, 8:16, 24:32] = 1  # row 1, column 3 of 4
    tokens = eye.module(pixel_values=eye.ready(pixels)).last_hidden_state
    assert tokens.shape[1] == 1 + 3 + 16
    wanted = F.normalize(tokens[:, 4 + 1 * 4 + 3], dim=-1)
    torch.testing.assert_close(eye.embed_part(pixels, mask), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["clip", "clip vision", "siglip vision", "dino"])
def test_towers_are_what_a_pack_names(tmp_path: Path, kind: str) -> None:
    """The architecture in config.json is enough for load_identity."""
    pack = hub_pack(tmp_path, identity=TOWERS[kind](tmp_path / "identity"))
    assert isinstance(load_identity(pack), TowerIdentity)


@pytest.mark.parametrize("kind", PAIRS)
def test_scores_are_the_whole_models_cosines(tmp_path: Path, kind: str) -> None:
    """Logits of the whole model, without scale and bias; alone as in a batch; differentiable."""
    folder = PAIRS[kind](tmp_path / "alignment")
    eye = cast(ContrastiveAlignment, load_alignment(hub_pack(tmp_path, alignment=folder)))
    assert isinstance(eye, ContrastiveAlignment)
    pixels = random_pixels(3, 48, 40).requires_grad_(True)
    scores = (eye.embed_pixels(pixels) * eye.embed_texts(TEXTS)).sum(1)
    whole = eye.module(input_ids=eye.tokens(TEXTS), pixel_values=eye.ready(pixels))
    bias = getattr(eye.module, "logit_bias", torch.zeros(()))
    cosines = (whole.logits_per_image - bias) / eye.module.logit_scale.exp()
    torch.testing.assert_close(scores, cosines.diagonal(), atol=1e-5, rtol=1e-4)
    for i, text in enumerate(TEXTS):
        alone = eye.embed_pixels(pixels[i : i + 1]) @ eye.embed_texts([text]).T
        torch.testing.assert_close(alone[0, 0], scores[i], atol=1e-5, rtol=1e-4)
    assert float((eye.embed_texts(TEXTS[:1]) - eye.embed_texts(TEXTS[1:2])).abs().max()) > 1e-3
    scores.sum().backward()
    assert pixels.grad is not None
    assert float(pixels.grad.abs().sum()) > 0


def test_a_dual_encoder_may_read_with_bert(tmp_path: Path) -> None:
    """Texts by the tokenizer beside the weights, its padding masked: the library's own vectors."""
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    tower |= {"num_attention_heads": 2}
    model = VisionTextDualEncoderModel(
        vision_model=CLIPVisionModel(CLIPVisionConfig(**tower, image_size=NUM_PX, patch_size=16)),
        text_model=BertModel(BertConfig(**tower, vocab_size=20, max_position_embeddings=12)),
    ).eval()
    tiny_hub.saved(model, tmp_path / "alignment", spread=0.3)
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "fox", "blue", "dog"]
    tokenizer = BertTokenizer(vocab={mark: i for i, mark in enumerate(marks)}, model_max_length=12)
    pack = hub_pack(tmp_path, alignment=tmp_path / "alignment")
    with pytest.raises(WeightsError, match="no tokenizer for"):
        load_alignment(pack)
    tokenizer.save_pretrained(tmp_path / "alignment")
    found = load_alignment(pack).embed_texts(["a red fox", "blue dog"])
    for text, vector in zip(["a red fox", "blue dog"], found, strict=True):
        pooled = model.text_model(**tokenizer([text], return_tensors="pt")).pooler_output
        wanted = F.normalize(model.text_projection(pooled), dim=-1)[0]
        torch.testing.assert_close(vector, wanted, atol=1e-5, rtol=1e-4)
    assert float(found[0] @ found[1]) < 0.999


def test_long_texts_are_cut(tmp_path: Path) -> None:
    """SigLIP's text tower reads 8 tokens: more are cut, fewer padded."""
    folder = tiny_hub.build_siglip(tmp_path / "alignment")
    eye = cast(ContrastiveAlignment, load_alignment(hub_pack(tmp_path, alignment=folder)))
    assert eye.tokens(["red " * 30, "fox"]).shape == (2, 8)
    one, other = eye.embed_texts(["red " * 8, "red " * 30])
    torch.testing.assert_close(one, other)


def test_tags_are_the_captions_words(tmp_path: Path) -> None:
    """Words of the greedy caption that the library writes, surest first, none of them twice."""
    folder = tiny_hub.build_caption(tmp_path / "tagger")
    eye = cast(Captioner, load_tagger(hub_pack(tmp_path, tagger=folder)))
    pixels = random_pixels(4, 48, 40)
    pixels[1], pixels[2] = 1, -1
    found = eye.tags(pixels)
    captions = eye.module.generate(
        pixel_values=eye.ready(pixels), max_new_tokens=24, do_sample=False, num_beams=1
    )
    for tags, ids in zip(found, captions, strict=True):
        text = eye.tokenizer.decode(ids, skip_special_tokens=True)
        text = text.replace(" ##", "").removeprefix("##")
        assert set(tags) == {word for word in text.split() if word.isalpha()} - STOP_WORDS
        assert list(tags.values()) == sorted(tags.values(), reverse=True)
        assert all(0 < share <= 1 for share in tags.values())
    assert any(found)
    assert len({tuple(tags) for tags in found}) > 1
    for i in range(4):
        assert eye.tags(pixels[i : i + 1])[0] == pytest.approx(found[i], abs=1e-4)


def test_pieces_make_words_and_small_words_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word's surety is its first piece's, of its surest place; stops and marks are no tags."""
    folder = tiny_hub.build_caption(tmp_path / "tagger")
    eye = cast(Captioner, load_tagger(hub_pack(tmp_path, tagger=folder)))
    caption = (
        ["a", "Red", "##dish", "fox", "on", "a", "fox", "."],
        [0.9] + [0.1 * i for i in range(1, 8)],
    )
    monkeypatch.setattr(eye, "caption_tokens", lambda pixels: [caption])
    found = eye.tags(random_pixels(1, 8, 8))[0]
    assert list(found.items()) == [("fox", pytest.approx(0.6)), ("reddish", pytest.approx(0.1))]


def test_the_surety_is_the_first_tokens_probability(tmp_path: Path) -> None:
    """The first token's probability is that of the decoder's own distribution after its start."""
    folder = tiny_hub.build_caption(tmp_path / "tagger")
    eye = cast(Captioner, load_tagger(hub_pack(tmp_path, tagger=folder)))
    pixels = random_pixels(1, 48, 40)
    tokens, shares = eye.caption_tokens(pixels)[0]
    seen = eye.module.vision_model(pixel_values=eye.ready(pixels)).last_hidden_state
    first = eye.module.text_decoder(
        input_ids=torch.tensor([[4]]), encoder_hidden_states=seen
    ).logits[0, -1]
    assert int(first.argmax()) == eye.tokenizer.convert_tokens_to_ids(tokens[0])
    assert shares[0] == pytest.approx(float(first.softmax(-1).max()), abs=1e-5)


def test_a_picture_near_a_concept_is_refused(tmp_path: Path) -> None:
    """Only the picture whose embedding a concept has is refused, with a reason in words, and the
    pixels stay as they were."""
    folder = tiny_hub.build_safety(tmp_path / "safety")
    eye = cast(ConceptCheck, load_picture_check(hub_pack(tmp_path, safety=folder)))
    pixels = random_pixels(3, 48, 40)
    pixels[1], pixels[2] = 1, -1
    before = pixels.clone()
    assert eye.refused(pixels) == [None, None, None]
    ready = (F.interpolate(pixels, (32, 32), mode="bilinear", antialias=True) - eye._mean) / (
        eye._deviation
    )
    vectors = eye.module.visual_projection(eye.module.vision_model(ready).pooler_output)
    cosines = F.normalize(vectors, dim=-1) @ F.normalize(vectors, dim=-1).T
    assert float(cosines[1, [0, 2]].max()) < 0.999
    eye.module.concept_embeds[5] = vectors[1]
    eye.module.concept_embeds_weights[5] = 0.9995
    found = eye.refused(pixels)
    assert [reason is None for reason in found] == [True, False, True]
    assert "safety checker" in str(found[1])
    assert eye.refused(pixels[1:2]) == found[1:2]
    assert torch.equal(pixels, before)


def test_a_check_without_all_its_weights_is_refused(tmp_path: Path) -> None:
    """Names of older files are understood; a tensor that is missing is an error, not chance."""
    folder = tiny_hub.build_safety(tmp_path / "safety")
    pack = hub_pack(tmp_path, safety=folder)
    new = load_file(folder / "model.safetensors")
    old = {
        name.replace("vision_model.", "vision_model.vision_model.", 1): new[name] for name in new
    }
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    found = ConceptCheck(pack).module.state_dict()
    assert all(torch.equal(found[name], new[name]) for name in new)
    kept = {name: old[name] for name in old if name != "visual_projection.weight"}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 tensors .* visual_projection.weight among"):
        ConceptCheck(pack)


def test_processors_say_how_pixels_are_normalised(tmp_path: Path) -> None:
    """preprocessor_config.json first, "do not" means [0, 1], and without one the class's own."""
    cpu = torch.device("cpu")
    mean, deviation = normalisation(tmp_path, CLIP, cpu)
    assert ((0.2 * 2 - 1 - mean) / deviation).flatten().tolist() == pytest.approx(
        [(0.2 - m) / d for m, d in zip(*CLIP, strict=True)]
    )
    tiny_hub.write_processor(tmp_path, image_mean=[0.1, 0.2, 0.3], image_std=0.5)
    mean, deviation = normalisation(tmp_path, CLIP, cpu)
    assert ((0.2 * 2 - 1 - mean) / deviation).flatten().tolist() == pytest.approx([0.2, 0.0, -0.2])
    tiny_hub.write_processor(tmp_path, do_normalize=False, image_mean=[0.1, 0.2, 0.3])
    mean, deviation = normalisation(tmp_path, CLIP, cpu)
    assert ((0.2 * 2 - 1 - mean) / deviation).flatten().tolist() == pytest.approx([0.2] * 3)


def test_what_cannot_be_loaded_is_explained(tmp_path: Path) -> None:
    """No tokenizer, another architecture and cut weights each name the folder and the trouble."""
    clip = tiny_hub.build_clip(tmp_path / "vision", "CLIPVisionModelWithProjection")
    with pytest.raises(WeightsError, match=r"no tokenizer for .*vision"):
        load_tokenizer(clip)
    with pytest.raises(WeightsError, match="is a CLIPVisionModelWithProjection; CLIPModel is nee"):
        ContrastiveAlignment(hub_pack(tmp_path, alignment=clip))
    with pytest.raises(WeightsError, match="StableDiffusionSafetyChecker is needed"):
        ConceptCheck(hub_pack(tmp_path, safety=clip))
    (clip / "tokenizer.json").write_text("{}", "utf-8")
    with pytest.raises(WeightsError, match=r"the tokenizer in .*vision cannot be loaded"):
        load_tokenizer(clip)
    (clip / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(WeightsError, match="role 'identity'"):
        TowerIdentity(hub_pack(tmp_path, identity=clip))
    safety = tiny_hub.build_safety(tmp_path / "safety")
    (safety / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(WeightsError, match=r"role 'safety' in .* cannot be loaded"):
        ConceptCheck(hub_pack(tmp_path, safety=safety))
