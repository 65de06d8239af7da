"""The one training loop: the brand's stages and scripts/pretrain run on it.

    loop = Loop(folder, dict(unet.named_parameters()), Settings(num_steps=400, learning_rate=1e-4))
    loop.resume()                              # continues where a killed run stopped; False if new
    loop.run(step, every={100: preview})       # step(index) -> (loss, {"name": number})
    with loop.averaged(): ...                  # the parameters are the moving average in here

The loop owns the optimisers (AdamW, and Muon for the matrices named), warmup + schedule, gradient
clipping, loss scaling, the moving average, log.jsonl and resume.safetensors in `folder`. It knows
nothing of models or data: `step` computes a scalar loss from the step's index alone (draw data and
noise with `generator(seed, index, sample)`), therefore a run resumed after a kill is bit-identical
on CPU to one that never stopped, resume.safetensors included. Where several processes train
together (workers.py) their gradients are added up here, and only the first one writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from onbrand.errors import ArtifactError, NonFiniteLoss
from onbrand.events import Advanced, Finished, Listener, Started, silent
from onbrand.files import make_folder, storage_errors
from onbrand.recipe import OptimizerName
from onbrand.training.guards import interrupt_flag, is_due
from onbrand.training.optimisers import Optimisers, is_moment
from onbrand.training.workers import ALONE, Workers

__all__ = [
    "Loop",
    "Part",
    "Settings",
    "Step",
    "generator",
    "learning_rate_at",
    "noise",
    "read_log",
]

Part = tuple[Tensor, Mapping[str, float]]
"""A scalar loss, and numbers to log."""

Step = Callable[[int], Part | Iterable[Part]]
"""step(index) -> the step's loss and numbers, or its parts one after the other, whose losses,
gradients and numbers add up. The loop calls loss.backward(), unless a loss does not require grad:
then step itself has filled the parameters' .grad."""

FIRST_SCALE = 2.0**16
SCALE_GROWS_AFTER = 2000  # steps without an overflow; both as torch.amp.GradScaler has them


@dataclass(frozen=True, slots=True)
class Settings:
    """What the loop needs to know; a stage copies these from its recipe.

    `ema_decay` None keeps no average. `floor_fraction` is where the cosine ends, as a share of the
    learning rate. `checkpoint_every` and `log_every` count steps (0: only at the end); slow steps
    are kept oftener, and what takes long to write seldomer (see guards.is_due).
    `scales_loss` is for float16: the loss is multiplied before backward, so that small gradients do
    not vanish, and a step that overflows is taken again at half the scale (Micikevicius et al.,
    arXiv 1710.03740, section 3.2).
    """

    num_steps: int
    learning_rate: float
    seed: int = 7
    warmup_steps: int = 0
    schedule: Literal["cosine", "constant"] = "cosine"
    floor_fraction: float = 0.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    max_grad_norm: float = 1.0
    ema_decay: float | None = None
    checkpoint_every: int = 0
    log_every: int = 1
    optimizer: OptimizerName = "adamw"
    scales_loss: bool = False


def generator(seed: int, step: int, sample: int) -> torch.Generator:
    """A CPU generator that depends on (seed, step, sample) only, never on what ran before."""
    digest = hashlib.blake2b(f"{seed}/{step}/{sample}".encode(), digest_size=8).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest, "little") >> 1)


def noise(shape: Sequence[int], seed: int, step: int, samples: Sequence[int]) -> Tensor:
    """Normal noise [len(samples), *shape] float32, each row a function of (seed, step, sample)."""
    rows = [torch.randn(tuple(shape), generator=generator(seed, step, s)) for s in samples]
    return torch.stack(rows)


def learning_rate_at(step: int, settings: Settings) -> float:
    """Learning rate of update `step` (from 0): linear warmup, then cosine to the floor or flat."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "constant":
        return settings.learning_rate * warm
    span = max(1, settings.num_steps - settings.warmup_steps)
    done = min(1.0, max(0.0, (step - settings.warmup_steps) / span))
    floor = settings.floor_fraction
    return (
        settings.learning_rate * warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))
    )


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of folder/log.jsonl that are whole, oldest first (a kill may cut the last one)."""
    lines: list[dict[str, Any]] = []
    path = folder / "log.jsonl"
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(line))
    return lines


class Loop:
    """Optimiser, schedule, average, log and checkpoint of one training run in `folder`.

    `parameters` maps stable names to the leaf tensors that are trained; `buffers` (a batch norm's
    running statistics, say) are only saved and restored. `matrices` names the parameters that Muon
    trains; the others are AdamW's. Public state:
    `step` (updates done), `seconds` (spent in `run`, over all resumes), `saving_s` (of the last
    save).
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping[str, torch.nn.Parameter],
        settings: Settings,
        *,
        buffers: Mapping[str, Tensor] | None = None,
        matrices: Collection[str] = (),
        task: str = "training",
        emit: Listener = silent,
        workers: Workers = ALONE,
    ) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self.task = task
        self.emit = emit
        self.step = 0
        self.seconds = 0.0
        self.saving_s = 0.0
        self._workers = workers
        self._stopped = False
        self._buffers = dict(buffers or {})
        self._names = sorted(parameters)
        self._parameters: list[Tensor] = [parameters[n] for n in self._names]
        self._optimisers = Optimisers(
            dict(zip(self._names, self._parameters, strict=True)),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=settings.betas,
            matrices=matrices,
            kind=settings.optimizer,
        )
        self._scale = FIRST_SCALE if settings.scales_loss else 1.0
        self._since_overflow = 0
        self._average = (
            None if settings.ema_decay is None else [p.detach().clone() for p in self._parameters]
        )

    @property
    def checkpoint_path(self) -> Path:
        """The one resume file; written beside itself and swapped in, so it is always whole."""
        return self.folder / "resume.safetensors"

    def run(
        self,
        step: Step,
        *,
        every: Mapping[int, Callable[[int], Mapping[str, float] | None]] | None = None,
        until: int | None = None,
        limit_s: float | None = None,
        blame: Callable[[int], str] | None = None,
    ) -> bool:
        """Train to `until` (default num_steps) or for `limit_s` seconds; True when all is done.

        `every` maps a period in steps to a function of the number of steps done; numbers it
        returns go to the log. `blame(index)` says which samples of a step have a loss or gradient
        that is no number. SIGINT ends the step at hand, saves, and raises KeyboardInterrupt.
        Raises NonFiniteLoss (nothing of that step is applied) and StorageError (disk full).
        """
        goal = min(self.settings.num_steps, until or self.settings.num_steps)
        self._truncate_log()
        self.emit(Started(self.task, goal, "steps"))
        began = mark = saved = time.monotonic()

        def goes_on() -> bool:
            within = limit_s is None or mark - began < limit_s
            return self.step < goal and not self._stopped and within

        with interrupt_flag() as interrupted:
            while goes_on():
                numbers = self._update(step, blame)
                self.step += 1
                now = time.monotonic()
                self.seconds, mark = self.seconds + now - mark, now
                extra: dict[str, float] = {}
                for period, function in (every or {}).items():
                    if self.step % period == 0:
                        extra |= dict(function(self.step) or {})
                self._record(numbers, extra, last=not goes_on())
                stopping, since = self._workers.any(interrupted.is_set()), time.monotonic() - saved
                if stopping or is_due(
                    self.step, self.settings.checkpoint_every, since, self.saving_s
                ):
                    self.save()
                    saved = time.monotonic()
                if stopping:
                    raise KeyboardInterrupt
        self.save()
        finished = self._stopped or self.step >= self.settings.num_steps
        if finished:
            self.emit(Finished(self.task, {"steps": self.step, "seconds": round(self.seconds, 1)}))
        return finished

    def stop(self) -> None:
        """End the run after the step at hand, as if all steps were done."""
        self._stopped = True

    def _update(self, step: Step, blame: Callable[[int], str] | None) -> dict[str, float]:
        """One optimiser update; returns loss, learning rate, gradient norm and step's numbers."""
        rate = learning_rate_at(self.step, self.settings)
        numbers, norm = self._gradients(step)
        while self._scale > 1 and math.isfinite(numbers["loss"]) and not math.isfinite(norm):
            self._scale, self._since_overflow = self._scale / 2, 0
            self._forget()
            numbers, norm = self._gradients(step)
        for name, value in (("loss", numbers["loss"]), ("gradient", norm)):
            if not math.isfinite(value):
                self._forget()
                where = f" for {blame(self.step)}" if blame else ""
                self._forget()
                raise NonFiniteLoss(
                    f"{self.task}: the {name} is {value} at step {self.step}{where}. Nothing of it "
                    "is applied, the checkpoint before it is kept: lower learning_rate (now "
                    f"{self.settings.learning_rate:g}), or look at the pictures, and train again."
                )
        self._optimisers.step(rate)
        self._follow()
        if self.settings.scales_loss:
            self._since_overflow += 1
            if self._since_overflow == SCALE_GROWS_AFTER:
                self._scale, self._since_overflow = self._scale * 2, 0
            numbers["loss_scale"] = self._scale
        return {"loss": numbers.pop("loss"), "learning_rate": rate, "grad_norm": norm, **numbers}

    def _gradients(self, step: Step) -> tuple[dict[str, float], float]:
        """The step's numbers, its loss among them, and the norm of its clipped, unscaled gradient;
        parts and processes added up."""
        made = step(self.step)
        total: dict[str, float] = {"loss": 0.0}
        for loss, numbers in [made] if isinstance(made, tuple) else made:
            total["loss"] += float(loss.detach())
            for name, value in numbers.items():
                total[name] = total.get(name, 0.0) + value
            if loss.requires_grad:
                torch.autograd.backward([loss * self._scale])
        total = self._workers.add(self._parameters, total)
        if self._scale != 1:
            grads = [p.grad for p in self._parameters if p.grad is not None]
            torch._foreach_mul_(grads, 1 / self._scale)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self.settings.max_grad_norm)
        return total, float(norm)

    def _forget(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average; early on it follows faster (min(decay, (1+n)/(10+n)), as TF does)."""
        if self._average is None or self.settings.ema_decay is None:
            return
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._average, self._parameters, 1 - decay)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the parameters hold the moving average (if one is kept); restored after."""
        if self._average is None:
            yield
            return
        kept = [p.detach().clone() for p in self._parameters]
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._average)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._parameters, kept)

    def _record(self, numbers: Mapping[str, float], extra: Mapping[str, float], last: bool) -> None:
        period = self.settings.log_every
        self.emit(Advanced(self.task, self.step, {**numbers, **extra}))
        asked = extra or last or (period and self.step % period == 0)
        if not (asked and self._workers.is_first):
            return
        line = {"step": self.step, "seconds": round(self.seconds, 4), **numbers, **extra}
        make_folder(self.folder)
        with (
            storage_errors(self.folder),
            (self.folder / "log.jsonl").open("a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(line) + "\n")

    def _truncate_log(self) -> None:
        """Drop lines that a killed run wrote after its last checkpoint: they will come again."""
        kept = [line for line in read_log(self.folder) if line.get("step", 0) <= self.step]
        path = self.folder / "log.jsonl"
        if path.exists() and self._workers.is_first:
            with storage_errors(self.folder):
                fresh = path.with_suffix(".tmp")
                fresh.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
                fresh.replace(path)

    def save(self) -> Path:
        """Write resume.safetensors: parameters, optimiser, average; step and settings as JSON.

        Two runs at the same step write the same bytes: seconds stand in log.jsonl alone.
        """
        if not self._workers.is_first:
            return self.checkpoint_path
        began = time.monotonic()
        tensors: dict[str, Tensor] = {}
        for i, (name, parameter) in enumerate(zip(self._names, self._parameters, strict=True)):
            tensors[f"parameter/{name}"] = parameter.detach()
            if self._average is not None:
                tensors[f"average/{name}"] = self._average[i]
        tensors |= self._optimisers.state()
        tensors |= {f"buffer/{name}": value for name, value in self._buffers.items()}
        tensors = {k: v.contiguous() for k, v in tensors.items()}
        facts: dict[str, Any] = {"step": self.step, "settings": asdict(self.settings)}
        if self.settings.scales_loss:
            facts |= {"scale": self._scale, "since_overflow": self._since_overflow}
        fresh = self.checkpoint_path.with_suffix(".tmp")
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, str(fresh), metadata={"loop": json.dumps(facts)})
            with open(fresh, "rb+") as file:
                os.fsync(file.fileno())  # or a power cut could leave the name without the bytes
            os.replace(fresh, self.checkpoint_path)
        self.saving_s = time.monotonic() - began
        return self.checkpoint_path

    @torch.no_grad()
    def resume(self) -> bool:
        """Continue from resume.safetensors if it is there; False for a fresh run.

        The schedule follows this loop's settings, so num_steps may be raised to train on.
        Raises ArtifactError for a damaged file or one that lacks a parameter (another model's).
        """
        if not self.checkpoint_path.exists():
            return False
        try:
            self._read_checkpoint()
        except (SafetensorError, KeyError, ValueError) as error:
            raise ArtifactError(
                f"{self.checkpoint_path} cannot be gone on from ({error}): it is damaged, or of "
                "another model. Delete it, and what it was a checkpoint of begins anew"
            ) from error
        lines = [line for line in read_log(self.folder) if line.get("step", 0) <= self.step]
        self.seconds = float(lines[-1]["seconds"]) if lines else 0.0
        return True

    def _read_checkpoint(self) -> None:
        with safe_open(str(self.checkpoint_path), "pt") as file:
            facts = json.loads(file.metadata()["loop"])
            present = set(file.keys())
            for i, (name, parameter) in enumerate(zip(self._names, self._parameters, strict=True)):
                parameter.copy_(file.get_tensor(f"parameter/{name}"))
                if self._average is not None and f"average/{name}" in present:
                    self._average[i].copy_(file.get_tensor(f"average/{name}"))
            for name, value in self._buffers.items():
                value.copy_(file.get_tensor(f"buffer/{name}"))
            kept = sorted(key for key in present if is_moment(key))
            self._optimisers.restore(kept, file.get_tensor)
        self.step = int(facts["step"])
        self._scale = float(facts.get("scale", self._scale))
        self._since_overflow = int(facts.get("since_overflow", 0))
