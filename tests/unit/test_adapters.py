"""LoRA: attaching, switching off, and files that other programs can load."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from onbrand.errors import WeightsError
from onbrand.models import Pack, open_pack
from onbrand.models.adapters import (
    attach_lora,
    detach_lora,
    has_lora,
    load_lora,
    lora_parameters,
    merged_lora,
    save_lora,
    without_lora,
)
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.load_test import PROBE_SIDE, check_export
from onbrand.recipe import LoraSettings

FACTS = {"trigger": "kuro", "licence": "CC-BY-4.0", "name": "kuro-v1", "stage": "appearance"}
DIFFUSERS, KOHYA = "pytorch_lora_weights.safetensors", "kohya.safetensors"


def settings(targets: str = "attention", *, text_encoder: bool = True) -> LoraSettings:
    return LoraSettings(rank=4, alpha=6, targets=targets, text_encoder=text_encoder)


def shake(model: DiffusionModel) -> None:
    """Give every adapter tensor a seeded value, as if it had been trained."""
    for i, parameter in enumerate(lora_parameters(model).values()):
        generator = torch.Generator().manual_seed(i)
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def look(model: DiffusionModel) -> torch.Tensor:
    """The U-Net's output for a prompt on fixed noise: changes when any weight does."""
    x_t = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    return model.predict(x_t, torch.tensor([500]), model.encode_prompts(["a red fox"]))


def header(path: Path) -> dict[str, str]:
    with safe_open(str(path), "pt") as file:
        return dict(file.metadata())


def test_a_fresh_adapter_changes_nothing_yet(tiny_model: DiffusionModel) -> None:
    """The up matrices are zero: the first output is the base's, and only LoRA is trainable."""
    before = look(tiny_model)
    parameters = attach_lora(tiny_model, settings(), seed=3)
    torch.testing.assert_close(look(tiny_model), before)
    named = lora_parameters(tiny_model)
    assert [id(p) for p in parameters] == [id(p) for p in named.values()]
    assert all(p.requires_grad and p.dtype == torch.float32 for p in parameters)
    trained = [
        p
        for m in (tiny_model.network, tiny_model.parts["text_encoder"])
        for p in m.parameters()
        if p.requires_grad
    ]
    assert {id(p) for p in trained} == {id(p) for p in parameters}
    assert "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight" in named


def test_the_start_depends_on_the_seed_alone(tiny_pack: Pack) -> None:
    """Equal seeds start equal, others do not, and the global generator is left as it was."""
    drawn = []
    for seed, junk in ((1, 10), (1, 11), (2, 10)):
        model = load_diffusion(tiny_pack)
        torch.manual_seed(junk)
        attach_lora(model, settings(), seed=seed)
        assert torch.initial_seed() == junk
        drawn.append(torch.cat([p.detach().flatten() for p in lora_parameters(model).values()]))
        assert torch.equal(
            torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(junk))
        )
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_targets_widen_what_is_adapted(tiny_model: DiffusionModel) -> None:
    """attention < attention+ff < all, and the text encoder only when it is asked for."""
    counts = []
    for targets in ("attention", "attention+ff", "all"):
        attach_lora(tiny_model, settings(targets, text_encoder=False))
        counts.append(len(lora_parameters(tiny_model)))
    assert counts[0] < counts[1] < counts[2]
    assert not any(name.startswith("text_encoder") for name in lora_parameters(tiny_model))


def test_the_base_is_one_switch_away(tiny_model: DiffusionModel) -> None:
    """without_lora predicts as the base, even within a graph, and puts every flag back."""
    before = look(tiny_model)
    attach_lora(tiny_model, settings())
    shake(tiny_model)
    changed = look(tiny_model)
    assert float((changed - before).abs().max()) > 1e-3
    frozen = next(iter(lora_parameters(tiny_model).values())).requires_grad_(False)
    loss = tiny_model.encode_prompts(["a fox"]).tokens.square().mean()
    with without_lora(tiny_model):
        assert torch.equal(look(tiny_model), before)
    loss.backward()
    assert torch.equal(look(tiny_model), changed)
    flags = [p.requires_grad for p in lora_parameters(tiny_model).values()]
    assert not frozen.requires_grad
    assert all(flags[1:])
    gradients = [p.grad for n, p in lora_parameters(tiny_model).items() if "text_encoder" in n]
    assert any(g is not None and float(g.abs().sum()) > 0 for g in gradients)


def test_merging_predicts_the_same_and_gives_the_weights_back(tiny_model: DiffusionModel) -> None:
    """Inside, the output is the adapter's with no adapter to run; after, every bit is back, an
    error inside or not; where the adapter is switched off, merging leaves it off."""
    base = look(tiny_model)
    attach_lora(tiny_model, settings("all"), seed=3)
    shake(tiny_model)
    held = {name: p.clone() for name, p in tiny_model.network.named_parameters()}
    wanted = look(tiny_model)
    with merged_lora(tiny_model):
        torch.testing.assert_close(look(tiny_model), wanted, atol=1e-5, rtol=1e-4)
        down = next(iter(lora_parameters(tiny_model).values()))
        down.data.add_(1.0)  # nothing reads it in here
        torch.testing.assert_close(look(tiny_model), wanted, atol=1e-5, rtol=1e-4)
        down.data.sub_(1.0)
    with pytest.raises(KeyError), merged_lora(tiny_model):
        raise KeyError
    torch.testing.assert_close(look(tiny_model), wanted)
    kept = dict(tiny_model.network.named_parameters())
    assert all(torch.equal(kept[n], p) for n, p in held.items() if ".lora_" not in n)
    with without_lora(tiny_model), merged_lora(tiny_model):
        torch.testing.assert_close(look(tiny_model), base)


def test_detaching_leaves_the_base_untouched(tiny_model: DiffusionModel) -> None:
    """After detach_lora the module tree and its weights are those of the base."""
    before, names = look(tiny_model), list(tiny_model.network.state_dict())
    attach_lora(tiny_model, settings("all"))
    shake(tiny_model)
    assert has_lora(tiny_model)
    detach_lora(tiny_model)
    assert not has_lora(tiny_model)
    assert list(tiny_model.network.state_dict()) == names
    assert torch.equal(look(tiny_model), before)
    detach_lora(tiny_model)


@pytest.mark.parametrize(
    ("base", "targets"),
    [("tiny_pack_folder", "attention+ff"), ("tiny_pack_folder", "all"), ("tiny_hub_base", "all")],
)
def test_both_files_give_back_what_was_trained(
    request: pytest.FixtureRequest, tmp_path: Path, base: str, targets: str
) -> None:
    """Either form, loaded by us and by plain diffusers, equals the model in memory."""
    pack = open_pack(request.getfixturevalue(base))
    model = load_diffusion(pack)
    attach_lora(model, settings(targets))
    plain = look(model)
    shake(model)
    save_lora(model, tmp_path, FACTS)
    differences = check_export(tmp_path, load_diffusion(pack), model=model)
    assert set(differences) == {DIFFUSERS, KOHYA}
    assert max(differences.values()) < 1e-4
    trained = look(model)
    assert float((trained - plain).abs().max()) > 1e-3
    other = load_diffusion(pack)
    for path in (tmp_path, tmp_path / KOHYA):
        load_lora(other, path)
        torch.testing.assert_close(look(other), trained, atol=1e-6, rtol=1e-5)
        assert not any(p.requires_grad for p in lora_parameters(other).values())
    load_lora(other, tmp_path, trainable=True)
    assert all(p.requires_grad for p in lora_parameters(other).values())


def test_a_wrong_export_is_caught(tiny_model: DiffusionModel, tmp_path: Path) -> None:
    """check_export compares with the model in memory: a file of other weights is refused."""
    attach_lora(tiny_model, settings())
    shake(tiny_model)
    save_lora(tiny_model, tmp_path, FACTS)
    shake(tiny_model)
    with pytest.raises(WeightsError, match="outputs differ by"):
        check_export(tmp_path, load_diffusion(tiny_model.pack), model=tiny_model)


def test_the_load_test_leaves_a_plain_base(tiny_pack: Pack, tmp_path: Path) -> None:
    """Where no model in memory can be compared with, both files are still tested on the one base
    that is given, on few latents, which is bare afterwards; a wrong one is still caught."""
    model = load_diffusion(tiny_pack)
    attach_lora(model, settings())
    shake(model)
    save_lora(model, tmp_path, FACTS)
    plain, seen = load_diffusion(tiny_pack), []
    before = look(plain)
    hook = plain.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    assert set(check_export(tmp_path, plain)) == {DIFFUSERS, KOHYA}
    hook.remove()
    assert len(seen) == 3
    assert max(shape[-1] for shape in seen) <= PROBE_SIDE
    assert torch.equal(look(plain), before)
    wrong = {name: tensor * 1.5 for name, tensor in load_file(tmp_path / KOHYA).items()}
    save_file(wrong, tmp_path / KOHYA, header(tmp_path / KOHYA))
    with pytest.raises(WeightsError, match=rf"{KOHYA} does not give what was trained"):
        check_export(tmp_path, plain)


def test_a_low_precision_base_is_never_merged_into(tiny_pack: Pack, tmp_path: Path) -> None:
    """Its LoRA is float32, fresh and loaded, so that small steps count and files are exact; merging
    does nothing, as the sum would be rounded."""
    model = load_diffusion(tiny_pack, dtype="bfloat16")
    attach_lora(model, settings("all"))
    shake(model)
    parameters = lora_parameters(model)
    assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
    kept = {name: parameter.clone() for name, parameter in parameters.items()}
    before = {name: p.data_ptr() for name, p in model.network.named_parameters()}
    with merged_lora(model):
        assert {name: p.data_ptr() for name, p in model.network.named_parameters()} == before
    save_lora(model, tmp_path, FACTS)
    load_lora(model, tmp_path)
    again = lora_parameters(model)
    assert all(torch.equal(again[name], parameter) for name, parameter in kept.items())
    assert max(check_export(tmp_path, load_diffusion(tiny_pack), model=model).values()) < 1e-4


def test_the_kohya_file_reads_as_kohyas(tiny_model: DiffusionModel, tmp_path: Path) -> None:
    """Names, alphas and header strings are those that sd-scripts, A1111 and ComfyUI look for."""
    attach_lora(tiny_model, settings("all"))
    save_lora(tiny_model, tmp_path, FACTS)
    tensors, facts = load_file(tmp_path / KOHYA), header(tmp_path / KOHYA)
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    assert tensors[f"{stem}.lora_down.weight"].shape == (4, 32)
    assert tensors[f"{stem}.lora_up.weight"].shape == (32, 4)
    assert float(tensors[f"{stem}.alpha"]) == 6.0
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight" in tensors
    assert facts["ss_network_module"] == "networks.lora"
    assert (facts["ss_network_dim"], facts["ss_network_alpha"]) == ("4", "6")
    assert json.loads(facts["ss_tag_frequency"]) == {"1": {"kuro": 1}}
    assert json.loads(facts["ss_network_args"]) == {"conv_dim": "4", "conv_alpha": "6"}
    assert facts["modelspec.trigger_phrase"] == "kuro"
    assert facts["modelspec.license"] == "CC-BY-4.0"
    assert facts["modelspec.prediction_type"] == "v"
    assert facts["modelspec.resolution"] == "32x32"
    assert facts["stage"] == "appearance"


def test_the_diffusers_file_carries_its_alpha(tiny_model: DiffusionModel, tmp_path: Path) -> None:
    """lora_adapter_metadata holds rank and alpha per part; keys are diffusers' own."""
    attach_lora(tiny_model, settings())
    save_lora(tiny_model, tmp_path, FACTS)
    told = json.loads(header(tmp_path / DIFFUSERS)["lora_adapter_metadata"])
    assert (told["unet.r"], told["unet.lora_alpha"], told["text_encoder.r"]) == (4, 6, 4)
    assert set(load_file(tmp_path / DIFFUSERS)) >= {
        name for name in lora_parameters(tiny_model) if name.startswith("unet.")
    }
    assert not list(tmp_path.glob(".*"))


def test_layers_of_different_rank_and_alpha_load(
    tiny_model: DiffusionModel, tmp_path: Path
) -> None:
    """A foreign kohya file may mix ranks and alphas and leave out header and alphas."""
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_"
    tensors = {}
    for letter, rank in (("q", 2), ("k", 3), ("v", 2)):
        tensors[f"{stem}{letter}.lora_down.weight"] = torch.randn(rank, 32)
        tensors[f"{stem}{letter}.lora_up.weight"] = torch.randn(32, rank)
    tensors[f"{stem}q.alpha"] = torch.tensor(1.0)
    save_file(tensors, tmp_path / "foreign.safetensors")
    module = tiny_model.network.mid_block.attentions[0].transformer_blocks[0].attn1
    x = torch.randn(5, 32)
    expected = {}
    for letter, scale in (("q", 0.5), ("k", 1.0), ("v", 1.0)):
        down, up = (tensors[f"{stem}{letter}.lora_{d}.weight"] for d in ("down", "up"))
        expected[letter] = getattr(module, f"to_{letter}")(x) + scale * x @ down.T @ up.T
    load_lora(tiny_model, tmp_path / "foreign.safetensors")
    for letter, wanted in expected.items():
        torch.testing.assert_close(getattr(module, f"to_{letter}")(x), wanted, atol=1e-4, rtol=1e-4)


def test_a_lora_of_another_base_is_refused_with_both_names(
    tiny_model: DiffusionModel, tiny_hub_base: Path, tmp_path: Path
) -> None:
    """The header's fingerprint decides; the error names the base it was and the base it is."""
    attach_lora(tiny_model, settings())
    save_lora(tiny_model, tmp_path, FACTS)
    other = load_diffusion(open_pack(tiny_hub_base))
    for name in (DIFFUSERS, KOHYA):
        with pytest.raises(WeightsError, match=r"trained on 'tiny'.*base here is 'hub_base'"):
            load_lora(other, tmp_path / name)
    assert not has_lora(other)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: save_file({"unet.conv_in.weight": torch.zeros(2)}, p), "is no LoRA for this"),
        (
            lambda p: save_file(
                {
                    "unet.mid_block.attentions.0.proj_in.lora_A.weight": torch.zeros(2, 7, 1, 1),
                    "unet.mid_block.attentions.0.proj_in.lora_B.weight": torch.zeros(7, 2, 1, 1),
                },
                p,
            ),
            r"proj_in is \(32, 32\) here and \(7, 7\) there",
        ),
        (lambda p: p.write_bytes(b"\x10"), "is damaged"),
        (lambda p: None, "no such file"),
    ],
)
def test_a_useless_file_is_explained(
    tiny_model: DiffusionModel, tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    """No LoRA, one of other shapes, a damaged file, no file: one line each, nothing attached."""
    path = tmp_path / "lora.safetensors"
    make(path)
    with pytest.raises(WeightsError, match=said):
        load_lora(tiny_model, path)
    assert not has_lora(tiny_model)


def test_pickled_or_absent_loras_are_refused(tiny_model: DiffusionModel, tmp_path: Path) -> None:
    """A .pt file is never opened, a folder without a LoRA is listed, saving needs an adapter."""
    (tmp_path / "lora.pt").write_bytes(b"never read")
    with pytest.raises(WeightsError, match="pickles are refused"):
        load_lora(tiny_model, tmp_path / "lora.pt")
    with pytest.raises(WeightsError, match=r"holds no LoRA.*only: lora.pt"):
        load_lora(tiny_model, tmp_path)
    with pytest.raises(WeightsError, match="no LoRA on the model"):
        save_lora(tiny_model, tmp_path, FACTS)
