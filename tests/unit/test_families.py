"""Every family against diffusers: its prompts, noise and pictures, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from peft.helpers import disable_input_dtype_casting
from PIL import Image
from tiny_families import FAMILY_NAMES, build_flux, drawn, plain

from onbrand.errors import PackError, PromptError
from onbrand.events import Event, Warned
from onbrand.generation.sample import sample, starting_noise
from onbrand.models import Pack, open_pack
from onbrand.models.adapters import attach_lora, lora_parameters
from onbrand.models.control import load_controlnet
from onbrand.models.diffusion import Conditioning, load_diffusion
from onbrand.recipe import LoraSettings
from onbrand.training.losses import min_snr_weight
from onbrand.training.noise_levels import NoiseLevels

Opener = Callable[[str], Pack]
PROMPTS = ["a red fox", "a blue cat waving at the beach at night"]
TIMESTEPS = torch.tensor([30, 870])
FLOWS = ("sd3", "flux")


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_pictures_are_diffusers_own(family_pack: Opener, name: str) -> None:
    """From the same noise, plain diffusers draws the same picture, with and without a negative
    prompt where the family reads one."""
    pack = family_pack(name)
    model, pipe = load_diffusion(pack), plain(pack)
    if name not in FLOWS:
        pipe.scheduler = model.sampler()  # theirs is PNDM or Euler, ours DDIM on their schedule
    start = starting_noise(model, [9], 32)
    more: dict[str, Any] = {"max_sequence_length": 16} if name in FLOWS else {}
    for negative in ("", "sad night") if model.reads_negative else ("",):
        if negative:
            more["negative_prompt"] = negative
        theirs = pipe(
            "a red fox", latents=model.pack_latents(start), num_inference_steps=3,
            guidance_scale=3.0, height=32, width=32, **more,
        ).images[0]  # fmt: skip
        ours = sample(
            model, ["a red fox"], seeds=[9], num_steps=3, guidance=3.0, negative_prompt=negative
        )[0]
        gap = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int))
        assert gap.max() <= 1


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_x0_comes_back_and_noise_rises(family_pack: Opener, name: str) -> None:
    """x0 → x_t → target → x0 is the identity, and the SNR falls while the network's clock rises."""
    model = load_diffusion(family_pack(name))
    x0, noise = drawn(model, 0), drawn(model, 1)
    x_t = model.add_noise(x0, noise, TIMESTEPS)
    back = model.estimate_x0(model.target(x0, noise, TIMESTEPS), x_t, TIMESTEPS)
    torch.testing.assert_close(back, x0, atol=2e-5, rtol=1e-4)
    every = torch.arange(model.num_timesteps)
    assert bool((model.snr(every).diff() < 0).all())
    assert bool((model.network_time(every).diff() > 0).all())
    for time in (0, 400, 1000):
        kept = every <= model.last_timestep(time)
        assert torch.equal(kept, model.network_time(every) <= time)
    assert 0 <= float(model.network_time(every[:1])) < float(model.network_time(every[-1:])) <= 1000


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_counts_in_sigmas(family_pack: Opener, name: str) -> None:
    """The clock is 1000·σ, SNR is ((1−σ)/σ)², and min-SNR weighs the velocity's error so that it is
    min(SNR, γ) times that of x0."""
    model = load_diffusion(family_pack(name))
    every = torch.arange(1000)
    sigma = model.network_time(every) / 1000
    even = (every + 1) / 1000
    shifted = 3 * even / (1 + 2 * even) if name == "sd3" else even
    torch.testing.assert_close(sigma, shifted, atol=1e-6, rtol=1e-5)
    snr = model.snr(every)
    torch.testing.assert_close(snr, ((1 - sigma) / sigma) ** 2)
    weight = min_snr_weight(snr, 5.0, model.prediction_type)
    error_x0 = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        weight * error_x0 / sigma**2, snr.clamp(max=5) * error_x0, atol=1e-5, rtol=1e-3
    )
    drawn_sigmas = sigma[NoiseLevels.named("logit_normal", snr, flow=True).draw(3, 0, 400)]
    middle = 0.75 if name == "sd3" else 0.5
    assert float(drawn_sigmas.median()) == pytest.approx(middle, abs=0.05)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_half_precision_learns_and_draws(family_pack: Opener, name: str) -> None:
    """Network and text encoders have the precision asked for, the autoencoder is float32; a LoRA
    on it is float32 and gets float32 gradients, whether peft casts its input or not, and a picture
    is nearly that of the float32 base."""
    whole, model = (load_diffusion(family_pack(name), dtype=d) for d in ("float32", "bfloat16"))
    half = torch.bfloat16
    assert {module.dtype for module in model.modules() if module is not model.vae} == {half}
    assert model.vae.dtype == torch.float32
    (near,) = sample(model, ["a red fox"], seeds=[1], num_steps=2)
    (exact,) = sample(whole, ["a red fox"], seeds=[1], num_steps=2)
    assert np.abs(np.asarray(near, int) - np.asarray(exact, int)).mean() < 3
    parameters = attach_lora(model, LoraSettings(rank=2, targets="all"))
    assert {parameter.dtype for parameter in parameters} == {torch.float32}
    told = model.encode_prompts(PROMPTS)
    with disable_input_dtype_casting(model.network):
        answer = model.predict(drawn(model, 0), TIMESTEPS, told)
        sample(model, ["a red fox"], seeds=[1], num_steps=1)
    assert told.tokens.dtype == answer.dtype == half
    answer.float().square().mean().backward()
    gradients = [p.grad for p in lora_parameters(model).values() if p.grad is not None]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    assert bool(torch.isfinite(torch.cat([g.flatten() for g in gradients])).all())


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_a_prompts_rows_know_no_neighbours(family_pack: Opener, name: str) -> None:
    """Alone or in a batch a prompt has the same rows; they index, stack and move together."""
    model = load_diffusion(family_pack(name))
    with torch.no_grad():
        both, alone = model.encode_prompts(PROMPTS), model.encode_prompts(PROMPTS[1:])
    assert len(both) == 2
    assert (both.pooled is None) == (name == "sd15")
    again = Conditioning.stack([both[1], both[0]])[torch.tensor([1, 0])]
    for ours, theirs in ((both[1], alone), (both[-1], alone), (again, both)):
        torch.testing.assert_close(ours.tokens, theirs.tokens)
        if ours.pooled is not None:
            torch.testing.assert_close(ours.pooled, theirs.pooled)
    moved = both.to(dtype=torch.bfloat16)
    assert moved.tokens.dtype == torch.bfloat16
    assert moved.pooled is None or moved.pooled.dtype == torch.bfloat16


def test_unlike_rows_do_not_stack(family_pack: Opener) -> None:
    """Rows with and without a pooled part, or none at all, are refused."""
    rows = Conditioning(torch.zeros(1, 2, 3))
    with pytest.raises(ValueError, match="2 conditionings, 1 of them pooled"):
        Conditioning.stack([rows, Conditioning(rows.tokens, torch.zeros(1, 4))])
    with pytest.raises(ValueError, match="0 conditionings"):
        Conditioning.stack([])


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_a_pack_knows_its_family(family_pack: Opener, tmp_path: Path, name: str) -> None:
    """Its name, the size of its pictures, and a fingerprint that every weighted part changes."""
    pack = family_pack(name)
    assert (pack.family.name, pack.num_px) == (name, 32)
    seen = {pack.fingerprint}
    for part in pack.family.weighted:
        root = Path(shutil.copytree(pack.root, tmp_path / part))
        with next((root / part).glob("*.safetensors")).open("r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)[0]
            file.seek(-1, 2)
            file.write(bytes([last ^ 1]))
        seen.add(open_pack(root).fingerprint)
    assert len(seen) == 1 + len(pack.family.weighted)


def test_a_base_that_hides_its_size_is_refused(family_pack: Opener, tmp_path: Path) -> None:
    """FLUX's size is its autoencoder's sample_size: without one there is none to guess."""
    root = Path(shutil.copytree(family_pack("flux").root, tmp_path / "base"))
    path = root / "vae" / "config.json"
    config = json.loads(path.read_text("utf-8"))
    del config["sample_size"]
    path.write_text(json.dumps(config), "utf-8")
    with pytest.raises(PackError, match=r"does not say its picture size.*for FLUX"):
        assert open_pack(root).num_px


def test_sd3_does_without_t5(family_pack: Opener, tmp_path: Path) -> None:
    """A base without its third encoder loads, tells zeros in its place, and draws."""
    root = Path(shutil.copytree(family_pack("sd3").root, tmp_path / "light"))
    index = json.loads((root / "model_index.json").read_text("utf-8"))
    index |= {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    (root / "model_index.json").write_text(json.dumps(index), "utf-8")
    shutil.rmtree(root / "text_encoder_3")
    model = load_diffusion(open_pack(root))
    theirs, _, pooled, _ = model.pipeline().encode_prompt(PROMPTS, None, None, device="cpu")
    ours = model.encode_prompts(PROMPTS)
    torch.testing.assert_close(ours.tokens, theirs[:, : ours.tokens.shape[1]])
    torch.testing.assert_close(ours.pooled, pooled)
    assert sample(model, ["a red fox"], seeds=[1], num_steps=1)[0].size == (32, 32)


def _index(root: Path, **changes: object) -> Path:
    path = root / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    return root


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (
            "sdxl",
            {"_class_name": "KolorsPipeline"},
            r"is a KolorsPipeline.*StableDiffusionXL.*Flux",
        ),
        ("sdxl", {"_class_name": "StableDiffusionPipeline"}, "with text_encoder_2"),
        ("flux", {"_class_name": "StableDiffusion3Pipeline"}, "'transformer' is FluxTransformer2D"),
        ("flux", {"scheduler": ["diffusers", "DDIMScheduler"]}, "'scheduler' is DDIMScheduler"),
        ("sdxl", {"scheduler": ["diffusers", "EDMEulerScheduler"]}, "for EDM noise"),
        ("sd3", {"text_encoder_2": [None, None]}, "'text_encoder_2' is missing"),
    ],
)
def test_another_family_is_named(
    family_pack: Opener, tmp_path: Path, name: str, changes: dict[str, object], said: str
) -> None:
    """What the folder is, and what is supported, in one line."""
    root = _index(Path(shutil.copytree(family_pack(name).root, tmp_path / "base")), **changes)
    with pytest.raises(PackError, match=said) as caught:
        open_pack(root)
    assert "\n" not in str(caught.value)


def test_flux_without_guidance_draws_as_diffusers_does(tmp_path: Path) -> None:
    """FLUX.1-schnell's kind has no guidance input: it predicts, and draws plain diffusers' picture
    whatever guidance is asked for."""
    pack = open_pack(build_flux(tmp_path / "schnell", guided=False))
    model, pipe = load_diffusion(pack), plain(pack)
    with torch.no_grad():
        assert (
            model.predict(drawn(model, 0), TIMESTEPS, model.encode_prompts(PROMPTS))
            .isfinite()
            .all()
        )
    theirs = pipe(
        "a red fox", latents=model.pack_latents(starting_noise(model, [9], 32)),
        num_inference_steps=2, height=32, width=32, max_sequence_length=16,
    ).images[0]  # fmt: skip
    for guidance in (1.0, 5.0):
        ours = sample(model, ["a red fox"], seeds=[9], num_steps=2, guidance=guidance)[0]
        assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int)).max() <= 1


def test_sdxl_follows_a_drawing(family_pack: Opener) -> None:
    """A ControlNet of an SDXL base steers the picture, through its own pipeline."""
    model = load_diffusion(family_pack("sdxl"))
    torch.manual_seed(0)
    net = ControlNetModel.from_unet(
        model.network, conditioning_embedding_out_channels=(4, 4, 8, 8)
    ).eval()
    for name, weight in net.named_parameters():
        if "controlnet" in name:
            torch.nn.init.normal_(weight, std=0.3)

    def drawn_after(level: int) -> np.ndarray:
        drawing = Image.new("RGB", (32, 32), (level, level, level))
        made = sample(model, ["a fox"], seeds=[1], num_steps=2, controlnet=net, drawings=[drawing])
        return np.asarray(made[0]).astype(int)

    assert np.abs(drawn_after(0) - drawn_after(255)).max() > 1


def test_what_a_family_cannot_do_is_said(family_pack: Opener, guided_pack: Pack) -> None:
    """FLUX reads no negative prompt (a warning), takes no rescaled guidance and no ControlNet."""
    model = load_diffusion(family_pack("flux"))
    heard: list[Event] = []
    sample(model, ["a fox"], seeds=[1], num_steps=1, negative_prompt="sad", emit=heard.append)
    assert any("reads no negative prompt" in e.message for e in heard if isinstance(e, Warned))
    with pytest.raises(PromptError, match=r"guidance_rescale is 0.7, which FLUX"):
        sample(model, ["a fox"], seeds=[1], num_steps=1, guidance_rescale=0.7)
    with pytest.raises(PackError, match=r"FLUX.*no ControlNet"):
        model.pipeline(load_controlnet(guided_pack))
    with pytest.raises(PromptError, match="multiples of 16 px"):
        sample(model, ["a fox"], seeds=[1], size_px=40)
