"""The diffusion formulas against diffusers, and the pipeline over the very same modules."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import pytest
import torch

from onbrand.errors import PackError, PromptError, WeightsError
from onbrand.events import Advanced, Event
from onbrand.generation import sample
from onbrand.models import device, open_pack
from onbrand.models.device import pictures_at_once
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.samplers import SAMPLERS

TIMESTEPS = (0, 1, 100, 500, 900, 998, 999)


@pytest.fixture
def noise_model(tiny_hub_base: Path) -> DiffusionModel:
    """A model that predicts noise."""
    return load_diffusion(open_pack(tiny_hub_base))


def latents(seed: int) -> torch.Tensor:
    return torch.randn(len(TIMESTEPS), 4, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_noise_and_velocity_are_those_of_diffusers(tiny_model: DiffusionModel) -> None:
    """add_noise and the v target agree with the scheduler's own functions at every timestep."""
    x0, noise, t_b = latents(0), latents(1), torch.tensor(TIMESTEPS)
    scheduler = tiny_model.scheduler
    torch.testing.assert_close(
        tiny_model.add_noise(x0, noise, t_b), scheduler.add_noise(x0, noise, t_b)
    )
    torch.testing.assert_close(
        tiny_model.target(x0, noise, t_b), scheduler.get_velocity(x0, noise, t_b)
    )


def test_the_velocity_gives_back_x0_even_from_pure_noise(tiny_model: DiffusionModel) -> None:
    """x0 → x_t → v → x0 is the identity at all timesteps, the zero-SNR last one included."""
    x0, noise, t_b = latents(0), latents(1), torch.tensor(TIMESTEPS)
    x_t = tiny_model.add_noise(x0, noise, t_b)
    estimate = tiny_model.estimate_x0(tiny_model.target(x0, noise, t_b), x_t, t_b)
    torch.testing.assert_close(estimate, x0, atol=2e-6, rtol=1e-5)
    assert float(tiny_model.alphas_cumprod[-1]) == 0.0
    torch.testing.assert_close(x_t[-1], noise[-1])


def test_the_noise_gives_back_x0(noise_model: DiffusionModel) -> None:
    """For a noise-predicting base, x0 → x_t → ε → x0 is the identity at all timesteps."""
    x0, noise, t_b = latents(0), latents(1), torch.tensor(TIMESTEPS)
    assert noise_model.prediction_type == "epsilon"
    assert torch.equal(noise_model.target(x0, noise, t_b), noise)
    x_t = noise_model.add_noise(x0, noise, t_b)
    torch.testing.assert_close(noise_model.estimate_x0(noise, x_t, t_b), x0, atol=1e-4, rtol=1e-4)


def test_the_signal_to_noise_ratio_falls_to_zero(tiny_model: DiffusionModel) -> None:
    """snr is ᾱ/(1−ᾱ): it falls with the timestep and is 0 at pure noise."""
    ratios = tiny_model.snr(torch.tensor(TIMESTEPS))
    assert bool((ratios.diff() < 0).all())
    assert float(ratios[-1]) == 0.0
    alpha = float(tiny_model.alphas_cumprod[500])
    assert float(ratios[3]) == pytest.approx(alpha / (1 - alpha))


def test_a_freshly_loaded_base_is_frozen(tiny_model: DiffusionModel) -> None:
    """No weight asks for a gradient, all are float32, nothing is in training mode."""
    for module in (tiny_model.network, tiny_model.vae, tiny_model.parts["text_encoder"]):
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())
        assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_half_precision_files_become_what_was_asked(tiny_pack_folder: Path, tmp_path: Path) -> None:
    """fp16 files load as float32 for the CPU, and as bfloat16 when that is asked for, the
    autoencoder excepted; also where they carry diffusers' name for them and no plain one lies
    there, in one file or in shards."""
    root = Path(shutil.copytree(tiny_pack_folder, tmp_path / "half"))
    model = load_diffusion(open_pack(root))
    for part in ("unet", "vae", "text_encoder"):
        model.parts[part].half().save_pretrained(root / part)
        for path in (root / part).glob("*.safetensors"):
            path.rename(path.with_suffix(".fp16.safetensors"))
    whole = load_diffusion(open_pack(root))
    assert {whole.network.dtype, whole.vae.dtype, whole.parts["text_encoder"].dtype} == {
        torch.float32
    }
    brief = load_diffusion(open_pack(root), dtype="bfloat16")
    assert {brief.network.dtype, brief.parts["text_encoder"].dtype} == {torch.bfloat16}
    assert brief.vae.dtype == torch.float32
    assert brief.encode_prompts(["a fox"]).tokens.dtype == torch.bfloat16
    shutil.rmtree(root / "unet")
    model.network.save_pretrained(root / "unet", variant="fp16", max_shard_size="200KB")
    assert len(list((root / "unet").glob("*.fp16*.safetensors"))) > 1
    pieces = load_diffusion(open_pack(root)).network.state_dict()
    assert all(torch.equal(pieces[name], t) for name, t in whole.network.state_dict().items())


def test_pixels_and_latents_have_the_right_shapes(tiny_model: DiffusionModel) -> None:
    """32-px pictures become 4×4×4 latents and pixels again; decoding carries a gradient."""
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    coded = tiny_model.encode_pixels(pixels)
    assert coded.shape == (2, 4, 4, 4)
    assert torch.equal(coded, tiny_model.encode_pixels(pixels))
    leaf = coded.clone().requires_grad_(True)
    decoded = tiny_model.decode(leaf)
    decoded.square().mean().backward()
    assert decoded.shape == pixels.shape
    assert leaf.grad is not None
    assert float(leaf.grad.abs().sum()) > 0


def test_large_pictures_go_through_the_autoencoder_one_by_one(
    tiny_model: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megapixel at a time, gradients too: up to 362 px that is eight pictures and more, as ever,
    of 1024 px a single one; and the sampler makes as many at once."""
    sizes = (32, 128, 362, 363, 512, 724, 725, 1024, 2048)
    assert [pictures_at_once(size) for size in sizes] == [8, 8, 8, 7, 4, 2, 1, 1, 1]
    rows: list[tuple[str, int]] = []
    tiny_model.vae.encoder.register_forward_pre_hook(lambda _, x: rows.append(("in", len(x[0]))))
    tiny_model.vae.decoder.register_forward_pre_hook(lambda _, x: rows.append(("out", len(x[0]))))
    pixels = torch.rand(3, 3, 32, 32) * 2 - 1
    coded = tiny_model.encode_pixels(pixels).requires_grad_(True)
    whole = tiny_model.decode(coded)
    assert rows == [("in", 3), ("out", 3)]
    monkeypatch.setattr(device, "PIXELS_AT_ONCE", 2 * 32 * 32)
    rows.clear()
    torch.testing.assert_close(tiny_model.encode_pixels(pixels), coded)
    parts = tiny_model.decode(coded)
    torch.testing.assert_close(parts, whole)
    parts.square().mean().backward()
    assert coded.grad is not None
    assert bool((coded.grad.flatten(1).abs().sum(1) > 0).all())
    assert rows == [("in", 2), ("in", 1), ("out", 2), ("out", 1)]
    heard: list[Event] = []
    sample(tiny_model, ["a fox"] * 3, seeds=[1, 2, 3], num_steps=1, emit=heard.append)
    assert [event.done for event in heard if isinstance(event, Advanced)] == [2, 3]


def test_embeddings_are_the_pipelines_and_know_no_neighbours(tiny_model: DiffusionModel) -> None:
    """encode_prompts equals the pipeline's, alone or among longer prompts."""
    prompts = ["a red fox", "a blue cat waving at the beach at night"]
    together = tiny_model.encode_prompts(prompts).tokens
    theirs, _ = tiny_model.pipeline().encode_prompt(prompts, "cpu", 1, False)
    assert together.shape == (2, tiny_model.max_tokens, 16)
    torch.testing.assert_close(together, theirs)
    torch.testing.assert_close(tiny_model.encode_prompts(prompts[:1]).tokens[0], together[0])


def test_the_end_of_a_long_prompt_is_reported(tiny_model: DiffusionModel) -> None:
    """cut_off returns the words beyond the encoder's limit, and "" for a prompt that fits."""
    assert tiny_model.cut_off("a red fox") == ""
    assert tiny_model.cut_off("a red fox " * 8).split() == ["red", "fox"]


def test_the_pipeline_holds_the_very_same_modules(tiny_model: DiffusionModel) -> None:
    """Previews and inference share modules; each pipeline has a sampler of its own."""
    one, two = tiny_model.pipeline(), tiny_model.pipeline()
    assert one.unet is tiny_model.network
    assert one.vae is tiny_model.vae
    assert one.text_encoder is tiny_model.parts["text_encoder"]
    assert one.scheduler is not two.scheduler


def _with_scheduler(root: Path, **changes: object) -> Path:
    path = root / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    return root


@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
def test_sampling_starts_from_pure_noise(tiny_pack_folder: Path, tmp_path: Path, name: str) -> None:
    """With zero-terminal SNR the first step is the last timestep, whatever spacing was written."""
    root = Path(shutil.copytree(tiny_pack_folder, tmp_path / "pack"))
    _with_scheduler(root, _class_name=name, timestep_spacing="leading")
    model = load_diffusion(open_pack(root))
    sampler = model.sampler()
    sampler.set_timesteps(20)
    assert type(sampler).__name__ == name
    assert int(sampler.timesteps[0]) == model.num_timesteps - 1
    assert sampler.config.prediction_type == "v_prediction"
    assert sampler.config.rescale_betas_zero_snr
    assert model.pipeline().scheduler.config.steps_offset == 1


@pytest.mark.parametrize("kind", [*SAMPLERS.values(), "PNDMScheduler"])
def test_a_base_is_drawn_by_its_own_sampler(tiny_hub_base: Path, tmp_path: Path, kind: str) -> None:
    """By the class that its folder names, as plain diffusers does, where a picture stays a function
    of its seed; else by DDIM."""
    root = Path(shutil.copytree(tiny_hub_base, tmp_path / "base"))
    sampler = load_diffusion(open_pack(_with_scheduler(root, _class_name=kind))).sampler()
    assert type(sampler).__name__ == (kind if kind in SAMPLERS.values() else "DDIMScheduler")


def test_a_stochastic_solver_draws_as_the_plain_one(tiny_hub_base: Path, tmp_path: Path) -> None:
    """Its noise comes from no seed of ours: the same request gives the same picture."""
    root = Path(shutil.copytree(tiny_hub_base, tmp_path / "base"))
    _with_scheduler(
        root, _class_name="DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++"
    )
    model = load_diffusion(open_pack(root))
    assert model.sampler().config.algorithm_type == "dpmsolver++"
    one, again = (sample(model, ["a red fox"], seeds=[7], num_steps=3)[0] for _ in range(2))
    assert one.tobytes() == again.tobytes()


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_a_base_leaves_open_is_the_samplers_own(
    tiny_hub_base: Path, tmp_path: Path, name: str
) -> None:
    """Stable Diffusion 1.5 names no spacing: each sampler takes its own, as diffusers has it."""
    root = Path(shutil.copytree(tiny_hub_base, tmp_path / "base"))
    path = root / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text("utf-8"))
    del config["timestep_spacing"]
    path.write_text(json.dumps(config), "utf-8")
    ours = load_diffusion(open_pack(root)).sampler(name)
    plain = diffusers.PNDMScheduler.from_pretrained(root / "scheduler")
    theirs = getattr(diffusers, SAMPLERS[name]).from_config(plain.config)
    for sampler in (ours, theirs):
        sampler.set_timesteps(20)
    torch.testing.assert_close(ours.timesteps, theirs.timesteps)


def test_more_steps_than_leading_spacing_has_are_refused(tiny_hub_base: Path) -> None:
    """It steps by whole timesteps, and would begin in the midst of the noise, or behind the last
    one."""
    model = load_diffusion(open_pack(tiny_hub_base))
    assert model.sampler().config.timestep_spacing == "leading"
    with pytest.raises(PromptError, match="must lie in 1 … 500"):
        sample(model, ["a red fox"], seeds=[7], num_steps=501)


def test_noise_prediction_cannot_start_from_pure_noise(tiny_hub_base: Path, tmp_path: Path) -> None:
    """An ε base with a zero-SNR schedule is refused, as is an unknown prediction type."""
    root = Path(shutil.copytree(tiny_hub_base, tmp_path / "base"))
    _with_scheduler(root, _class_name="DDIMScheduler", rescale_betas_zero_snr=True)
    with pytest.raises(PackError, match="pure noise"):
        load_diffusion(open_pack(root))
    _with_scheduler(root, prediction_type="sample", rescale_betas_zero_snr=False)
    with pytest.raises(PackError, match="predicts 'sample'"):
        load_diffusion(open_pack(root))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_truncated_weights_are_one_clear_line(
    tiny_pack_folder: Path, tmp_path: Path, part: str
) -> None:
    """A file cut in half is named as damaged, with the folder to fetch again."""
    root = Path(shutil.copytree(tiny_pack_folder, tmp_path / "pack"))
    weights = next((root / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(WeightsError, match="damaged or incomplete") as caught:
        load_diffusion(open_pack(root))
    assert "\n" not in str(caught.value)
