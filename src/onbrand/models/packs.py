"""A pack: one folder of weights for each role, with their licence and revision.

The text-to-image part is a diffusers `StableDiffusionPipeline` folder. A `pack.toml` beside its
model_index.json may name more roles, each a subfolder in transformers' layout:

    name = "pocket"
    licence = "Apache-2.0"
    revision = "1"

    [roles]
    identity = "identity"              # ResNetForImageClassification; embedding = its logits
    alignment = "alignment"            # VisionTextDualEncoderModel
    twin_identity = "twin_identity"    # ConvNextV2ForImageClassification; evaluation only
    attributes = "attributes"          # ResNetForImageClassification, labels "species:fox"

A plain diffusers folder has no pack.toml: judges then come from the default pack. This module
reads names and JSON only; it never imports torch and never opens a pickle.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from onbrand.errors import PackError, WeightsError, nearest

__all__ = ["DEFAULT_PACK", "JUDGE_ROLES", "Pack", "open_pack"]

DEFAULT_PACK = "pocket"
BUILT_IN: Mapping[str, Path] = {"pocket": Path(__file__).parent / "pocket"}
JUDGE_ROLES = ("identity", "alignment", "twin_identity", "attributes")

PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
PARTS = {
    "unet": {"UNet2DConditionModel"},
    "vae": {"AutoencoderKL"},
    "text_encoder": {"CLIPTextModel"},
    "tokenizer": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "scheduler": set[str](),  # any: the sampler is chosen in `diffusion`
}
WEIGHTED = ("unet", "vae", "text_encoder")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
CHUNK = 1 << 16


@dataclass(frozen=True)
class Pack:
    """One model per role. `roles` maps a role's name to its folder; `root` is the pipeline.

    `fallback` names the pack whose judges serve when this one has none.
    """

    name: str
    root: Path
    licence: str
    revision: str
    roles: Mapping[str, Path] = field(default_factory=dict)
    fallback: str | None = DEFAULT_PACK

    def role(self, name: str) -> Path:
        """Folder of the role's model, here or in the fallback pack.

        Raises PackError when neither has it, WeightsError when only a pickle lies there.
        """
        folder = self.roles.get(name)
        if folder is None and self.fallback is not None:
            spare = _fallback_roles(self.fallback)
            folder = spare.get(name)
        if folder is None:
            known = ", ".join(sorted(self.roles)) or "no roles beside text-to-image"
            other = f", nor has the pack '{self.fallback}'" if self.fallback else ""
            raise PackError(
                f"pack '{self.name}' has no model for the role '{name}'{other}. "
                f"{self.root} offers: {known}. Name it under [roles] in pack.toml."
            )
        _need_safetensors(folder)
        return folder

    @cached_property
    def num_px(self) -> int:
        """Side of the pictures that the pack was trained on, in pixels."""
        side = _json(self.root / "unet" / "config.json").get("sample_size")
        levels = _json(self.root / "vae" / "config.json").get("block_out_channels")
        if isinstance(side, list):
            side = side[0]
        if not isinstance(side, int) or not isinstance(levels, list):
            raise PackError(
                f"{self.root} does not say its picture size: unet/config.json needs sample_size "
                "and vae/config.json block_out_channels."
            )
        return side * 2 ** (len(levels) - 1)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the configurations and weights of the text-to-image part.

        Files of up to 64 MiB are read whole, larger ones in 64 spread chunks: a fine-tune of the
        same shape changes every tensor, so this tells bases apart without reading gigabytes.
        """
        digest = hashlib.sha256()
        for part in ("scheduler", *WEIGHTED):
            for path in sorted((self.root / part).glob("*")):
                if path.suffix == ".json" or path.suffix == ".safetensors":
                    digest.update(f"{part}/{path.name}:{path.stat().st_size}\n".encode())
                    _sample_into(digest, path)
        return digest.hexdigest()[:16]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Lower-case words that the base has seen in captions; empty when the pack lists none."""
        path = self.root / "vocabulary.json"
        words = _json(path).get("words", []) if path.is_file() else []
        return (
            frozenset(str(word).lower() for word in words)
            if isinstance(words, list)
            else frozenset()
        )

    def unseen_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the base never saw, in order, each once; [] if unknown."""
        if not self.vocabulary:
            return []
        words = (
            w if w in self.vocabulary else w.removesuffix("'s")
            for w in WORD.findall(prompt.lower())
        )
        return list(dict.fromkeys(w for w in words if w not in self.vocabulary))


def open_pack(name: str | Path, *, fallback: str | None = DEFAULT_PACK) -> Pack:
    """Find a pack: a built-in name, a folder, or a hub id `owner/name` or `owner/name@revision`.

    Nothing is loaded. Hub ids are downloaded through huggingface_hub unless they are cached.
    Raises PackError (no such pack, no pipeline there, a family that is not supported) and
    WeightsError (only pickles there); both say what was found and what to do.
    """
    text = str(name)
    folder = BUILT_IN.get(text, Path(text).expanduser())
    if text in BUILT_IN and not folder.is_dir():
        raise PackError(
            f"the built-in pack '{text}' is not installed: {folder} does not exist. "
            "Rebuild it with scripts/pretrain, or pass a diffusers folder or a hub id as base."
        )
    if folder.is_file():
        _refuse_file(folder)
    if folder.is_dir():
        return _read_folder(
            folder, name=text if text in BUILT_IN else folder.resolve().name, fallback=fallback
        )
    if HUB_ID.fullmatch(text):
        return _from_hub(text, fallback)
    guess = nearest(text, BUILT_IN)
    hint = f" Did you mean '{guess}'?" if guess else ""
    raise PackError(
        f"no pack '{text}': it is not built in ({', '.join(BUILT_IN)}), no folder of that name "
        f"exists here, and a hub id has the form owner/name.{hint}"
    )


def _read_folder(
    root: Path, *, name: str, fallback: str | None, revision: str = "", licence: str = ""
) -> Pack:
    """The pack in `root`, checked for a Stable-Diffusion pipeline in safetensors."""
    _check_pipeline(root)
    facts: dict[str, object] = {}
    toml = root / "pack.toml"
    if toml.is_file():
        try:
            facts = tomllib.loads(toml.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PackError(f"{toml} is no valid TOML: {error}") from error
    named = facts.get("roles", {})
    roles: dict[str, Path] = {}
    for role, place in named.items() if isinstance(named, dict) else ():
        roles[str(role)] = root / str(place)
        if not (roles[str(role)] / "config.json").is_file():
            raise PackError(
                f"{toml} names '{place}' for the role '{role}', but {root / str(place)} holds no config.json."
            )
    return Pack(
        name=str(facts.get("name", name)),
        root=root,
        licence=str(facts.get("licence", licence or _card_licence(root))),
        revision=str(facts.get("revision", revision or "unversioned")),
        roles=roles,
        fallback=fallback,
    )


def _check_pipeline(root: Path) -> None:
    """Raise unless `root` holds the parts of a Stable Diffusion text-to-image pipeline."""
    index = root / "model_index.json"
    if not index.is_file():
        found = sorted(p.name + ("/" if p.is_dir() else "") for p in root.iterdir())
        pickles = [n for n in found if Path(n).suffix in PICKLES]
        if pickles:
            _refuse_file(root / pickles[0])
        listing = ", ".join(found[:12]) + (", …" if len(found) > 12 else "") or "nothing"
        raise PackError(
            f"{root} is no diffusers pipeline: it has no model_index.json, only: {listing}. "
            "Pass the folder that StableDiffusionPipeline.save_pretrained wrote."
        )
    parts = _json(index)
    family = parts.get("_class_name")
    for part, classes in PARTS.items():
        entry = parts.get(part)
        kind = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        fits = kind is not None and (not classes or kind in classes)
        if not fits or not (root / part).is_dir():
            raise PackError(
                f"{root} is a {family} whose '{part}' is {kind or 'missing'}; this version trains "
                f"Stable Diffusion 1.x/2.x pipelines only"
                f"{' (' + part + ': ' + ' or '.join(sorted(classes)) + ')' if classes else ''}."
            )
    extra = [
        p for p in ("text_encoder_2", "text_encoder_3", "transformer") if _present(parts.get(p))
    ]
    if extra:
        raise PackError(
            f"{root} is a {family} with {', '.join(extra)}; this version trains Stable Diffusion 1.x/2.x pipelines only."
        )
    for part in WEIGHTED:
        _need_safetensors(root / part)
    channels = _json(root / "unet" / "config.json").get("in_channels", 4)
    if channels != 4:
        raise PackError(
            f"{root}/unet takes {channels} channels: that is an inpainting or depth model. "
            "Pass the text-to-image model of the family (4 channels)."
        )


def _present(entry: object) -> bool:
    return isinstance(entry, list) and any(part is not None for part in entry)


def _need_safetensors(folder: Path) -> None:
    """Raise unless the folder holds safetensors; say how to convert when it holds a pickle."""
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    if any(p.suffix == ".safetensors" for p in files):
        return
    pickles = [p for p in files if p.suffix in PICKLES]
    if pickles:
        _refuse_file(pickles[0])
    listing = ", ".join(p.name for p in files[:8]) or "nothing"
    raise PackError(f"{folder} holds no weights: no .safetensors file there, only: {listing}.")


def _refuse_file(path: Path) -> None:
    """Raise for a file where a folder was wanted, or for a pickle."""
    if path.suffix in PICKLES:
        raise WeightsError(
            f"{path} is a pickle, which can run code when it is opened; it is refused. If you trust "
            "its source, convert it once in a throw-away environment with diffusers: "
            "StableDiffusionPipeline.from_pretrained(FOLDER) or .from_single_file(FILE), then "
            ".save_pretrained(OUT, safe_serialization=True), and pass OUT."
        )
    raise PackError(
        f"{path} is a single file; a pack is a folder in diffusers' layout. Convert it once: "
        "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(OUT), and pass OUT."
    )


def _from_hub(text: str, fallback: str | None) -> Pack:
    """Download (or find in the cache) the pipeline's safetensors and read its folder."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo, _, revision = text.partition("@")
    endings = ("*.json", "*.txt", "*.safetensors")
    wanted = ["model_index.json", "README.md", "pack.toml", "vocabulary.json"]
    wanted += [f"{part}/{ending}" for part in PARTS for ending in endings]
    try:
        root = huggingface_hub.snapshot_download(
            repo,
            revision=revision or None,
            allow_patterns=wanted,
            ignore_patterns=["*.fp16.*", "*non_ema*"],
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PackError(
            f"could not fetch '{repo}'{' at ' + revision if revision else ''} from the Hugging Face "
            f"hub, and no folder '{text}' exists here: {reason} Without a network, pass a folder "
            "that holds the pipeline."
        ) from error
    commit = Path(root).name
    return _read_folder(Path(root), name=repo, fallback=fallback, revision=commit)


def _fallback_roles(name: str) -> Mapping[str, Path]:
    """Roles of the fallback pack; none when that pack is not installed."""
    try:
        return open_pack(name, fallback=None).roles
    except PackError:
        return {}


def _card_licence(root: Path) -> str:
    """The licence that the model card's front matter states, or "unknown"."""
    card = root / "README.md"
    if not card.is_file():
        return "unknown"
    found = re.search(r"^licen[sc]e:\s*['\"]?([^\s'\"]+)", card.read_text("utf-8", "replace"), re.M)
    return found.group(1) if found else "unknown"


def _json(path: Path) -> dict[str, object]:
    """A JSON object; PackError when it is missing or damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise PackError(f"{path} is missing.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PackError(f"{path} is damaged: {error}.") from error
    if not isinstance(value, dict):
        raise PackError(f"{path} is damaged: a JSON object was expected.")
    return value


def _sample_into(digest: hashlib._Hash, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= 64 << 20:
            while block := file.read(1 << 20):
                digest.update(block)
            return
        for i in range(64):
            file.seek((size - CHUNK) * i // 63)
            digest.update(file.read(CHUNK))
