"""Pictures from prompts: one sampler for previews, gates and shipping.

A picture is a function of (model, prompt, seed, settings) alone: its noise comes from a CPU
generator of its own and its embedding is padded to full length, so neither the batch nor the
pictures before it matter (beyond the last bits of a float).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

from onbrand.errors import ModelError, PromptError
from onbrand.events import Advanced, Finished, Listener, Started, Warned, silent
from onbrand.models.readers import set_readers_aside

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from onbrand.models.diffusion import Conditioning, DiffusionModel

__all__ = ["sample", "starting_noise"]

TASK = "sampling"


def sample(
    model: DiffusionModel,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    num_steps: int = 20,
    guidance: float = 4.0,
    guidance_rescale: float = 0.0,
    negative_prompt: str = "",
    sampler: str = "",
    size_px: int | None = None,
    batch_size: int | None = None,
    beside: Sequence[Sequence[str]] = (),
    controlnet: Any = None,
    drawings: Sequence[Image.Image] = (),
    control_strength: float = 1.0,
    emit: Listener = silent,
) -> list[Image.Image]:
    """One RGB picture per pair (prompts[i], seeds[i]), in their order.

    `guidance` is classifier-free guidance (1 switches it off, arXiv 2207.12598), or what a network
    distilled from it is told (FLUX, which has no negative prompt); `guidance_rescale` the share of
    its contrast that is taken back (arXiv 2305.08891, section 3.4; U-Nets only), `sampler` a name
    of models.samplers (default: the pack's own), `size_px` the side of the picture (default: the
    pack's), `batch_size` how many are made at once (default: models.device.pictures_at_once). The
    model's adapter, if one is attached, takes part. Several identities that the model shows
    without masks stand side by side, in a picture that is as much wider (models.identity.windows);
    `beside[k][i]` says what number k + 2 of them does in picture i, in place of prompts[i].
    With a `controlnet` (models.control) picture i follows `drawings[i]` (generation.control), its
    residuals weighed by `control_strength`. guidance_rescale has no effect then.
    Raises PromptError for an empty prompt, unequal counts or impossible settings, PackError for a
    ControlNet where the base's family has none here, and ModelError when the model makes something
    that is no number.
    """
    import torch

    from onbrand.models.adapters import merged_lora
    from onbrand.models.device import pictures_at_once
    from onbrand.models.diffusion import Conditioning
    from onbrand.models.identity.windows import canvas_px
    from onbrand.models.samplers import check_sampler

    check_sampler(sampler)
    side_px = size_px or model.num_px
    width_px = canvas_px(model, side_px)
    if batch_size is None:
        batch_size = max(1, pictures_at_once(side_px) * side_px // width_px)
    _check(model, prompts, seeds, num_steps, batch_size, side_px)
    if controlnet is not None:
        _check_drawings(prompts, drawings, side_px, width_px)
    told = _told(model, prompts, beside)
    every = [*chain.from_iterable(told), negative_prompt]
    _tell_of_unread(model, every, negative_prompt, guidance, guidance_rescale, emit)
    emit(Started(TASK, len(prompts), "pictures"))
    pictures: list[Image.Image] = []
    with torch.inference_mode(), _evaluating(model), merged_lora(model):
        known = _encode(model, every, batch_size)
        negative = known[negative_prompt]
        negative = negative if negative_prompt else model.without_prompt(negative)
        for first in range(0, len(prompts), batch_size):
            chosen = range(first, min(first + batch_size, len(prompts)))
            latents = _denoise(
                model,
                [Conditioning.stack([known[row[i]] for i in chosen]) for row in told],
                Conditioning.stack([negative for _ in chosen]),
                starting_noise(model, [seeds[i] for i in chosen], side_px, width_px),
                (num_steps, guidance, guidance_rescale),
                sampler,
                controlnet,
                [drawings[i] for i in chosen] if controlnet is not None else [],
                control_strength,
            )
            pictures += _to_pictures(model.decode(latents), [prompts[i] for i in chosen])
            emit(Advanced(TASK, len(pictures), {}))
    emit(Finished(TASK, {"pictures": len(pictures), "steps": num_steps}))
    return pictures


def _told(
    model: DiffusionModel, prompts: Sequence[str], beside: Sequence[Sequence[str]]
) -> list[Sequence[str]]:
    """The prompts of each window. Raises PromptError where `beside` is not one for each other."""
    num = model.way.num_windows if model.way is not None else 1
    told = [prompts, *beside] if beside else [prompts] * num
    if len(told) != num or any(len(row) != len(prompts) for row in told):
        raise PromptError(
            f"{num - 1} identities stand beside the first: each needs {len(prompts)} prompts, "
            f"there are {[len(row) for row in beside]}."
        )
    return told


def _tell_of_unread(
    model: DiffusionModel,
    texts: Sequence[str],
    negative: str,
    guidance: float,
    rescale: float,
    emit: Listener,
) -> None:
    """Warn of a negative prompt and of ends of prompts that the base does not read. Raises
    PromptError for a guidance_rescale that it does not take."""
    if rescale and not model.rescales_guidance:
        raise PromptError(
            f"guidance_rescale is {rescale:g}, which {model.family.title} does not take: "
            "leave it at 0."
        )
    if negative and not model.reads_negative:
        emit(Warned(f'{model.family.title} reads no negative prompt: "{negative}" is ignored'))
    elif negative and guidance <= 1:
        emit(Warned(f'guidance is {guidance:g}, which is off: "{negative}" is ignored'))
    for text in dict.fromkeys(texts):
        if lost := _unread(model, text):
            emit(Warned(f'"{text}" is too long: its end is not read, from "{lost}" on'))


def _unread(model: DiffusionModel, prompt: str) -> str:
    """The first word that the text encoder does not read whole; "" where it reads all."""
    words = prompt.split()
    cuts = (bool(model.cut_off(" ".join(words[: num + 1]))) for num in range(len(words)))
    return next(compress(words, cuts), "") if model.cut_off(prompt) else ""


def starting_noise(
    model: DiffusionModel, seeds: Sequence[int], side_px: int, width_px: int | None = None
) -> Tensor:
    """Normal noise [b, c, h/f, w/f] float32 of a square, or of that width; row i depends on
    seeds[i] only."""
    import torch

    height, width = (px // model.vae_factor for px in (side_px, width_px or side_px))
    shape = (model.num_latent_channels, height, width)
    rows = [torch.randn(shape, generator=torch.Generator("cpu").manual_seed(s)) for s in seeds]
    return torch.stack(rows)


def _check(
    model: DiffusionModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    num_steps: int,
    batch_size: int,
    side_px: int,
) -> None:
    if len(prompts) != len(seeds):
        raise PromptError(
            f"{len(prompts)} prompts but {len(seeds)} seeds: each picture needs one of both. "
            "Repeat a prompt once per seed."
        )
    if any(not prompt.strip() for prompt in prompts):
        raise PromptError("a prompt is empty: say what the picture shows.")
    bad = next((seed for seed in seeds if not 0 <= seed < 2**63), None)
    if bad is not None:
        raise PromptError(f"a seed is {bad}; seeds are whole numbers from 0 to 2^63 − 1.")
    if not 1 <= num_steps <= model.most_steps:
        raise PromptError(f"num_steps is {num_steps}; it must lie in 1 … {model.most_steps}.")
    if batch_size < 1:
        raise PromptError(f"batch_size is {batch_size}; it must be at least 1.")
    unit = model.unit_px
    if side_px < unit or side_px % unit:
        raise PromptError(f"size_px is {side_px}; this base makes multiples of {unit} px.")


def _check_drawings(
    prompts: Sequence[str], drawings: Sequence[Image.Image], side_px: int, width_px: int
) -> None:
    if len(drawings) != len(prompts):
        raise PromptError(f"{len(prompts)} prompts but {len(drawings)} drawings to follow.")
    if width_px != side_px:
        raise PromptError("several identities follow a drawing with a mask each only.")


class _evaluating:
    """Dropout off while pictures are made; every module's mode is put back after."""

    def __init__(self, model: DiffusionModel) -> None:
        self._modules = model.modules()
        self._modes: list[bool] = []

    def __enter__(self) -> None:
        self._modes = [bool(module.training) for module in self._modules]
        for module in self._modules:
            module.eval()

    def __exit__(self, *_: object) -> None:
        for module, mode in zip(self._modules, self._modes, strict=True):
            module.train(mode)


def _encode(
    model: DiffusionModel, prompts: Sequence[str], batch_size: int
) -> dict[str, Conditioning]:
    """The row of each distinct prompt."""
    distinct = list(dict.fromkeys(prompts))
    known: dict[str, Conditioning] = {}
    for first in range(0, len(distinct), batch_size):
        part = distinct[first : first + batch_size]
        told = model.encode_prompts(part)
        known.update((prompt, told[i]) for i, prompt in enumerate(part))
    set_readers_aside(model)
    return known


def _denoise(
    model: DiffusionModel,
    prompts_n: Sequence[Conditioning],
    negative: Conditioning,
    noise: Tensor,
    settings: tuple[int, float, float],
    sampler: str,
    controlnet: Any,
    drawings: Sequence[Image.Image],
    control_strength: float,
) -> Tensor:
    """Clean latents [b, c, h, w] from noise through diffusers' pipeline and the model's sampler;
    `prompts_n` of each window, which is one as a rule."""
    from onbrand.models.identity.windows import side_by_side

    num_steps, guidance, rescale = settings
    height, width = (side * model.vae_factor for side in noise.shape[-2:])
    told = model.told(prompts_n[0], negative, guidance, rescale)
    if controlnet is not None:
        told.pop("guidance_rescale", None)  # no ControlNet pipeline takes it
        told["image"] = list(drawings)
        told["controlnet_conditioning_scale"] = float(control_strength)
    pipe = model.pipeline(controlnet, sampler, reads=False)
    with model.arithmetic(), side_by_side(model, height, prompts_n):
        output: Any = pipe(
            latents=model.pack_latents(noise.to(model.device, model.dtype)),
            num_inference_steps=num_steps,
            height=height,
            width=width,
            output_type="latent",
            **told,
        )
    return model.unpack_latents(output.images, noise)


def _to_pictures(pixels_bchw: Tensor, prompts: Sequence[str]) -> list[Image.Image]:
    import torch
    from PIL import Image

    pixels = pixels_bchw.float().cpu()
    for row, prompt in zip(pixels, prompts, strict=True):
        if not bool(torch.isfinite(row).all()):
            raise ModelError(
                f'the model made no picture but NaN for "{prompt}". Its weights overflow in this '
                "precision or its LoRA has diverged; use float32 or an earlier checkpoint."
            )
    bytes_bhwc = pixels.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [Image.fromarray(row.contiguous().numpy()) for row in bytes_bhwc]
