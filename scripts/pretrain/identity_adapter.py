"""Role identity_adapter: a new character is followed from its pictures, without any training.

IP-Adapter's decoupled cross-attention (arXiv 2308.06721) beside the frozen base, fed by the role
`identity`. Each picture is told by the mean embedding of one to three *other* pictures of its
character, so that scene, pose and light cannot be copied, and by a caption that leaves out most of
what the character looks like: else the words would tell all and the pictures nothing. One time in
ten the identity is nobody's (zeros), one in ten there is no caption.
Every `--every` steps it saves model/ and a sheet: of each reserved character its three reference
pictures, then what is drawn of them.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from draw import PICTURES_EACH
from halves import stepper
from latents import Latents, latent_options
from numpy.typing import NDArray
from options import parser, prepare, printer, train
from pictures import to_tensor
from PIL import Image
from torch import Tensor, nn
from unet import levels, schedule
from worlds import people_and_scenes

from onbrand.generation import sample
from onbrand.illustrator import Character, caption, character, illustrate, random_scene
from onbrand.models.diffusion import DiffusionModel, load_diffusion
from onbrand.models.identity import IdentityWay, load_adapter, open_way, save_way
from onbrand.models.packs import Pack, open_pack
from onbrand.models.perception import IdentityEncoder, mean_identity
from onbrand.sheet import tiles
from onbrand.training.engine import Loop, Settings, generator, noise

__all__ = ["Followed", "Source", "main", "named"]

SIZE_PX = 128
ENCODE_BATCH = 64
NUM_REFERENCES = 3
PROMPTS = (
    "a {who}, waving happily, in a forest by day",
    "a {who}, sitting sadly, holding a balloon, on a plain pale blue background",
    "a {who}, jumping, at a market at night",
    "a {who}, standing with a surprised face, on a beach at sunset",
)


class Followed(nn.Module):
    """The frozen base with its adapter as one module, so that replicas hold all."""

    def __init__(self, model: DiffusionModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = model.network, model.parts["text_encoder"]

    def forward(self, x_bchw: Tensor, t_b: Tensor, tokens_bs: Tensor, who_bd: Tensor) -> Tensor:
        """The predicted v, [b, 4, s, s]."""
        with torch.no_grad():
            words = self.text_encoder(tokens_bs)[0]
        v: Tensor = self.unet(
            x_bchw, t_b, encoder_hidden_states=words,
            added_cond_kwargs={"image_embeds": [who_bd[:, None]]},
        ).sample  # fmt: skip
        return v


def named(person: Character, rng: np.random.Generator) -> str | None:
    """How a caption names the character: by its kind as a rule, at times with its colour, at times
    as any mascot; None spells it out as captions do."""
    roll = rng.random()
    mascot = " mascot" if rng.random() < 0.6 else ""
    if roll < 0.15:
        return None
    if roll < 0.3:
        return "a mascot"
    colour = f"{person.colour} " if roll < 0.45 else ""
    noun = f"{colour}{person.species}{mascot}"
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


@torch.no_grad()
def embeddings(latents: Latents, num: int, pack: Pack, folder: Path) -> Tensor:
    """[num, d] float32 of the first `num` rows by the pack's identity encoder, kept in `folder`, a
    file for each encoder and drawn set."""
    encoder = pack.role_fingerprint("identity")
    path = folder / f"embeddings-{encoder}-{latents.drawn.digest}.npy"
    if path.exists():
        kept = torch.from_numpy(np.load(path))
        if len(kept) == num:
            return kept
    eye, rows = IdentityEncoder(pack), []
    for first in range(0, num, ENCODE_BATCH):
        chosen = range(first, min(num, first + ENCODE_BATCH))
        rows.append(eye.embed(to_tensor(np.stack([latents.pixels(i) for i in chosen]))))
    made = torch.cat(rows).float()
    folder.mkdir(parents=True, exist_ok=True)
    np.save(path, made.numpy())
    return made


class Source:
    """(step, share) -> noisy latents, timesteps, tokens, v, weights, identities of that share."""

    def __init__(
        self, options: argparse.Namespace, latents: Latents, model: DiffusionModel, who_nd: Tensor
    ) -> None:
        self.options, self.latents, self.model, self.who_nd = options, latents, model, who_nd
        self.noising, self.levels = schedule(), levels(options.log_snr)
        self.num_people = len(who_nd) // PICTURES_EACH

    def row(self, step: int, sample: int) -> tuple[int, str, Tensor]:
        """A row, what is said of it and who is told, all functions of (seed, step, sample)."""
        rng = np.random.default_rng((self.options.seed, step, sample, 0x1D))
        subject = int(rng.integers(self.num_people))
        shown, *others = rng.permutation(PICTURES_EACH - 1).tolist()  # the last is a look-alike
        first = PICTURES_EACH * subject
        index = self.latents.drawn.labels[first]["subject"]  # a set may begin at any subject
        person, scene, _ = list(people_and_scenes(index))[shown]
        told = [first + k for k in others[: int(rng.integers(1, NUM_REFERENCES + 1))]]
        who = F.normalize(self.who_nd[told].mean(0), dim=0)
        text = caption(person, scene, rng, named(person, rng))
        roll = rng.random()
        if roll < 0.1:
            who = torch.zeros_like(who)
        return first + shown, "" if 0.05 < roll < 0.15 else text, who

    def __call__(self, step: int, share: slice) -> dict[str, Tensor]:
        o = self.options
        chosen = range(o.batch)[share]
        picked = [self.row(step, k) for k in chosen]
        rows: NDArray[np.int64] = np.array([row for row, _, _ in picked])
        x0 = self.latents.fetch(rows)
        eps = noise(tuple(x0.shape[1:]), o.seed, step, chosen)
        mix = torch.randperm(o.batch, generator=generator(o.seed, step, -3))
        t = self.levels.draw(o.seed, step, o.batch)[mix][share]
        tokens = self.model.parts["tokenizer"](
            [text for _, text, _ in picked], padding="max_length", truncation=True, max_length=77,
            return_tensors="pt",
        ).input_ids  # fmt: skip
        weights = self.latents.weights(rows, o.detail_weight)
        seen = self.noising.alphas_cumprod[t].sqrt()[:, None, None, None]
        return {
            "x": self.noising.add_noise(x0, eps, t).contiguous(memory_format=torch.channels_last),
            "t": t,
            "tokens": tokens,
            "v": self.noising.get_velocity(x0, eps, t),
            "weights": 1 + (weights - 1) * seen,
            "who": torch.stack([who for _, _, who in picked]),
        }


def loss_of(followed: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Weighted squared error of v."""
    v = followed(batch["x"], batch["t"], batch["tokens"], batch["who"]).float()
    error = (v - batch["v"]).square()
    return (error * batch["weights"]).mean(), {"error": float(error.detach().mean())}


def references(num: int) -> list[list[Image.Image]]:
    """Three pictures each of the first `num` reserved characters."""
    shown = []
    for k in range(num):
        rng = np.random.default_rng((k, 0x1D4))
        pictures = [illustrate(character(k), random_scene(rng), SIZE_PX, seed=k * 9 + j).pixels
                    for j in range(NUM_REFERENCES)]  # fmt: skip
        shown.append([Image.fromarray(p) for p in pictures])
    return shown


def as_tensor(pictures: list[Image.Image]) -> Tensor:
    """[b, 3, h, w] in [-1, 1]."""
    return to_tensor(np.stack([np.asarray(p) for p in pictures]))


@torch.no_grad()
def evaluate(
    model: DiffusionModel, pack: Pack, path: Path, num: int, steps: int
) -> dict[str, float]:
    """Write the sheet. The encoder's cosine of what is drawn to the references, and how often the
    nearest of all characters' references is the right one; of pictures told nobody, beside them.
    It is the eye that the adapter is told by: `onbrand bench training --part follow` grades by the
    twin, which nothing that trains may reach."""
    known = references(num)
    encoder = IdentityEncoder(pack)
    who = [mean_identity(encoder, as_tensor(p)) for p in known]
    prompts = [text.format(who=character(k).species) for k in range(num) for text in PROMPTS]
    told = torch.stack([w for w in who for _ in PROMPTS])
    drawn = drawn_of(model, prompts, told, steps)
    plain = drawn_of(model, prompts, torch.zeros_like(told), steps)
    columns = NUM_REFERENCES + len(PROMPTS)
    rows = [
        picture
        for k in range(num)
        for picture in [*known[k], *drawn[k * len(PROMPTS) : (k + 1) * len(PROMPTS)]]
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles(rows, columns).save(path)
    real = torch.stack(who)
    right = torch.arange(num).repeat_interleave(len(PROMPTS))
    found = {}
    for name, pictures in (("", drawn), ("_nobody", plain)):
        near = encoder.embed(as_tensor(pictures)) @ real.T
        found[f"cosine{name}"] = round(float(near[range(len(right)), right].mean()), 4)
        found[f"right{name}"] = round(float((near.argmax(1) == right).float().mean()), 4)
    return found


def drawn_of(
    model: DiffusionModel, prompts: list[str], who_bd: Tensor, num_steps: int
) -> list[Image.Image]:
    """A picture of each prompt and identity, seeds 0, 1, 2, …"""
    assert model.way is not None
    pictures: list[Image.Image] = []
    for k, (prompt, who) in enumerate(zip(prompts, who_bd, strict=True)):
        model.way.show(who[None])
        pictures += sample(model, [prompt], seeds=[k], num_steps=num_steps)
    return pictures


def main(arguments: list[str] | None = None) -> None:
    """Train; save the adapter and a sheet as it goes."""
    p = parser("identity_adapter", steps=3000, batch=24)
    p.add_argument("--rate", type=float, default=1e-3)
    p.add_argument("--every", type=int, default=500, help="steps between saves")
    p.add_argument("--num", type=int, default=12, help="characters of the sheet")
    p.add_argument("--sampling-steps", type=int, default=12)
    p.add_argument("--detail-weight", type=float, default=4.0, help="of faces, marks and props")
    p.add_argument("--log-snr", type=float, default=0.0, help="about which timesteps are drawn")
    p.add_argument("--base", default="pocket", help="the pack it is for; name its --vae too")
    p.add_argument("--people", type=int, default=14_000, help="characters to learn from")
    p.add_argument("--afresh", action="store_true", help="not from the pack's own adapter")
    latent_options(p)
    options = p.parse_args(arguments)
    prepare(options)
    latents = Latents.open(options)
    pack = open_pack(options.base)
    model = load_diffusion(pack, device=options.device)
    num = PICTURES_EACH * min(options.people, len(latents.mascots) // PICTURES_EACH)
    who = embeddings(latents, num, pack, options.out)
    if "identity_adapter" in pack.roles and not options.afresh:
        way: IdentityWay = load_adapter(model, pack)
    else:
        way = open_way(model, "attended", embedding_dim=who.shape[1], seed=options.seed)
    way.trainable(True)
    trained = way.parameters()
    settings = Settings(
        num_steps=options.steps, learning_rate=options.rate, seed=options.seed, warmup_steps=100,
        floor_fraction=0.05, weight_decay=0.01, ema_decay=0.995, checkpoint_every=250, log_every=50,
    )  # fmt: skip
    loop = Loop(options.out, trained, settings, task="identity_adapter", emit=printer())
    loop.resume()
    step = stepper(Followed(model), Source(options, latents, model, who), loss_of, options)

    def save(done: int) -> None:
        began = time.monotonic()
        with loop.averaged():
            save_way(model, options.out / "model", {})
            (options.out / "model" / "identity.safetensors").unlink()  # the pack keeps fp16
            found = evaluate(
                model, pack, options.out / "samples" / f"{done:06d}.png", options.num,
                options.sampling_steps,
            )  # fmt: skip
        (options.out / "scores.json").write_text(json.dumps({"steps": done, **found}))
        print(f"saved at {done} in {time.monotonic() - began:.0f} s: {found}", flush=True)

    train(loop, step, {options.every: save}, options)
    if loop.step % options.every:  # else it was saved just now
        save(loop.step)


if __name__ == "__main__":
    main()
