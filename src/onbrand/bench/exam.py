"""A reserved character's way through the road: drawn as a brand, trained, put to its prompts.

The consistency bench and the ablation ask the same questions of the same characters.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onbrand.artifacts.origin import PACKAGE, source_fingerprint
from onbrand.bench.characters import draw_brand, drawn_pictures, drawn_prompts, quick_recipe
from onbrand.errors import GateFailed
from onbrand.events import Listener, Noted
from onbrand.files import fingerprint_bytes, write_json_atomic, write_text_atomic
from onbrand.models.layout import fingerprint_folders
from onbrand.recipe import GATE_ROLES, LOSS_ROLES, loss_roles

if TYPE_CHECKING:
    from PIL.Image import Image

    from onbrand.artifacts import Arm
    from onbrand.models.packs import Pack

__all__ = [
    "Settings",
    "drawn_folder",
    "drawn_truly",
    "eyes",
    "figures",
    "questions",
    "start",
    "train",
]

JUDGES = ("twin_identity", "twin_alignment", "twin_expression", "twin_pose", "attributes",
          "parsing")  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a character's figures depend on; another value is another folder of results."""

    base: str
    pack: str
    recipe: str
    num_train: int = 20
    num_held_out: int = 8
    num_memory: int = 100
    num_gallery: int = 6
    num_prompts: int = 10
    num_per_prompt: int = 2
    num_steps: int = 20
    guidance: float = 4.0
    seed: int = 7
    learning_rates: tuple[float, ...] = ()

    def quick(self) -> Settings:
        """The same with hardly any pictures or steps: only what must run to see that it runs."""
        return replace(
            self, recipe=quick_recipe(self.recipe), num_train=6, num_held_out=3, num_memory=8,
            num_gallery=1, num_prompts=2, num_steps=4, learning_rates=self.learning_rates[:1],
        )  # fmt: skip

    @classmethod
    def of(cls, base: str, recipe: str, *, quick: bool, **more: Any) -> tuple[Pack, Settings]:
        """The base's pack, opened, and what characters of it are put to by that recipe.

        Raises RecipeError for one that is no valid recipe, and PackError.
        """
        from onbrand.models import open_pack
        from onbrand.recipe import Recipe, recipe_file

        Recipe.load(recipe)
        pack = open_pack(base)
        told = recipe_file(recipe).read_text(encoding="utf-8-sig")
        settings = cls(base=base, pack=pack.fingerprint, recipe=told, **more)
        return pack, settings.quick() if quick else settings

    def folder(self, work: Path) -> Path:
        """Where figures of these settings are kept; settings.json there tells them."""
        folder = work / self.key
        write_json_atomic(folder / "settings.json", self.to_dict())
        return folder

    def to_dict(self) -> dict[str, object]:
        """As in the JSON."""
        return {**asdict(self), "learning_rates": list(self.learning_rates)}

    @property
    def key(self) -> str:
        """A fingerprint of all of them."""
        return fingerprint_bytes(json.dumps(self.to_dict(), sort_keys=True).encode())


def eyes(pack: Pack) -> str:
    """A fingerprint of all that looks at a character's pictures, weights and code, and of who draws
    its line-up: with another one characters are measured anew, and nothing is trained or drawn
    again but what training looked through."""
    weights = fingerprint_folders([pack.role(name) for name in JUDGES])
    looked_through = pack.role_fingerprints({*GATE_ROLES, *loss_roles(LOSS_ROLES)})
    rooms = ("judging", "illustrator", "models/perception")
    code = [source_fingerprint(PACKAGE / room) for room in rooms]
    return fingerprint_bytes(f"{weights} {looked_through} {code}".encode())[:8]


def drawn_folder(identity: int, folder: Path) -> Path:
    """Where the character's pictures, brief and expected.json lie as drawn."""
    return folder / f"drawn-{identity:03d}"


def start(identity: int, settings: Settings, size_px: int, folder: Path, emit: Listener) -> Path:
    """The brand folder of a character: drawn and begun, or as an earlier run left it."""
    from onbrand import road

    brand = folder / f"brand-{identity:03d}"
    if (brand / "brief.toml").is_file():
        return brand
    drawn = drawn_folder(identity, folder)
    recipe = folder / "recipe.toml"
    write_text_atomic(recipe, settings.recipe)
    draw_brand(
        identity,
        drawn,
        num_train=settings.num_train,
        num_held_out=settings.num_held_out,
        num_prompts=settings.num_prompts,
        size_px=size_px,
        seed=settings.seed,
    )
    return road.new(
        str(brand),
        pictures=drawn / "pictures",
        brief=drawn / "brief.toml",
        recipe=str(recipe),
        base=settings.base,
        emit=emit,
    )


def train(brand: Path, emit: Listener) -> None:
    """Train the brand's recipe; a failed gate is told, and what was trained before it counts."""
    from onbrand import road

    try:
        road.train(brand, emit=emit)
    except GateFailed as failed:
        emit(Noted(f"{brand.name}: {failed}"))


def questions(identity: int, settings: Settings, size_px: int, drawn: Path) -> dict[str, Any]:
    """What `road.open_contest` is to ask of the character: prompts and what they name, seeds, the
    line-up it must be told from, pictures that were never trained on."""
    from onbrand.judging import character_gallery

    wanted = json.loads((drawn / "expected.json").read_text(encoding="utf-8"))
    return {
        "prompts": [entry["prompt"] for entry in wanted],
        "expected": [entry["attributes"] for entry in wanted],
        "num_per_prompt": settings.num_per_prompt,
        "seed": 1000 + settings.seed,
        "num_steps": settings.num_steps,
        "guidance": settings.guidance,
        "gallery": character_gallery(identity, num_pictures=settings.num_gallery, size_px=size_px),
        "held_out_for_memory": drawn_pictures(
            identity, settings.num_memory, size_px=size_px, seed=settings.seed
        ),
        "objectives": ("avatar", "scene"),
    }


def drawn_truly(identity: int, settings: Settings, size_px: int, drawn: Path) -> list[Image]:
    """The illustrator's own drawings of the prompts that `questions` has, a drawing a seed."""
    wanted = json.loads((drawn / "expected.json").read_text(encoding="utf-8"))
    scenes = [entry["scene"] for entry in wanted]
    return drawn_prompts(identity, scenes, settings.num_per_prompt, size_px=size_px)


def figures(arm: Arm) -> dict[str, float]:
    """An arm's figures by name, but for compositions: every prompt asks for one, so that true
    drawings, too, have one or two."""
    return {
        name: metric.value for name, metric in arm.metrics.items() if name != "composition_count"
    }
