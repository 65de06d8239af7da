"""A pack: one folder of weights for each role, with their licence and revision.

The text-to-image part is a diffusers pipeline's folder, of one of `onbrand.models.families`. A
`pack.toml` beside its model_index.json may name more roles, each a subfolder in transformers'
layout:

    name = "pocket"
    licence = "Apache-2.0"
    revision = "1"

    [roles]
    identity = "identity"              # an image classifier; embedding = its logits
    alignment = "alignment"            # VisionTextDualEncoderModel, CLIP or SigLIP
    parsing = "parsing"                # a segmenter, labels = parts
    faces = "faces"                    # OpenCV's YuNet, its .onnx file alone
    clicks = "clicks"                  # a segmenter of five channels, or SAM
    expression = "expression"          # an image classifier of face crops
    tagger = "tagger"                  # an image classifier, labels "species:fox", or BLIP
    twin_identity = "twins/identity"   # an image classifier; evaluation only
    twin_alignment = "twins/alignment" # a VisionTextDualEncoderModel; evaluation only
    twin_pose = "twins/pose"           # a segmenter, as pose; evaluation only
    twin_expression = "twins/expression"  # as expression; evaluation only
    attributes = "twins/attributes"    # an image classifier, labels "species:fox"; evaluation only
    pose = "pose"                      # a segmenter, labels = COCO-17's joints, or ViTPose
    controlnet = "controlnet"          # a ControlNetModel of this very base
    identity_adapter = "identity_adapter"  # an IP-Adapter of this very base and identity encoder

A plain diffusers folder has no pack.toml: judges then come from the default pack. This module
reads names and JSON only; it never imports torch and never opens a pickle.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from onbrand.errors import PackError, instead, nearest
from onbrand.files import fingerprint_bytes
from onbrand.models.families import Family, part_names
from onbrand.models.layout import (
    VARIANTS,
    card_licence,
    check_pipeline,
    fingerprint_folders,
    need_safetensors,
    picture_size,
    refuse_file,
)
from onbrand.models.pack_files import read_pack_file, read_refused, read_words

__all__ = ["BUILT_IN", "DEFAULT_PACK", "JUDGE_ROLES", "Pack", "may_be_on_hub", "open_pack"]

DEFAULT_PACK = "pocket"
BUILT_IN: Mapping[str, Path] = {"pocket": Path(__file__).parent / "pocket"}
KNOWS: Mapping[str, str] = {"pocket": "drawings"}
"""What the eyes of a built-in pack were taught on, and nothing else."""
JUDGE_ROLES = (
    "identity", "alignment", "pose", "parsing", "clicks", "faces", "expression", "tagger", "safety",
    "person_detector", "twin_identity", "twin_alignment", "twin_pose", "twin_expression",
    "attributes",
)  # fmt: skip
ROLES = (*JUDGE_ROLES, "controlnet", "identity_adapter")

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
SPELLED = re.compile(r"[\w@$]+(?:-[\w@$]+)*")
DISGUISES = str.maketrans("013457@$", "oieastas")
OTHER_THINGS = ("gore-tex", "six-gore", "same-sex")  # compounds that mean nothing of the kind
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


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
            homes = [pack for pack in BUILT_IN if name in _fallback_roles(pack)]
            hint = f" The pack '{homes[0]}' has it." if homes else ""
            raise PackError(
                f"pack '{self.name}' has no model for the role '{name}'{other}. "
                f"{self.root} offers: {known}. Name it under [roles] in pack.toml.{hint}"
            )
        if name != "faces" or not any(folder.glob("*.onnx")):
            need_safetensors(folder)
        return folder

    def borrowed(self, names: Iterable[str]) -> list[str]:
        """Those of the roles that this pack lacks and its fallback has: its models serve for them.
        Nothing is looked at but names."""
        spare = _fallback_roles(self.fallback) if self.fallback else {}
        return [name for name in dict.fromkeys(names) if name not in self.roles and name in spare]

    @property
    def fallback_knows(self) -> str:
        """What the fallback's models were taught on, in a word."""
        return KNOWS.get(self.fallback or "", "their own kind of pictures")

    def role_fingerprint(self, name: str) -> str:
        """16 hex digits over a role's configuration and weights. Raises as `role` does."""
        return fingerprint_folders([self.role(name)])

    def role_fingerprints(self, names: Iterable[str]) -> dict[str, str]:
        """Role → what its model is, by name; roles that the pack and its fallback lack are left
        out."""
        found: dict[str, str] = {}
        for name in sorted(set(names)):
            with contextlib.suppress(PackError):
                found[name] = self.role_fingerprint(name)
        return found

    @cached_property
    def num_px(self) -> int:
        """Side of the pictures that the pack was trained on, in pixels."""
        return picture_size(self.root, self.family)

    @cached_property
    def family(self) -> Family:
        """What kind of base the text-to-image part is: sd15, sdxl, sd3 or flux."""
        return check_pipeline(self.root)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the configurations and weights of the text-to-image part."""
        return fingerprint_folders(
            [self.root / part for part in ("scheduler", *self.family.weighted)]
        )

    @cached_property
    def words_fingerprint(self) -> str:
        """16 hex digits over what makes tokens of prompts, and over the words the base has seen."""
        tokens = fingerprint_folders(sorted(self.root.glob("tokenizer*")))
        return fingerprint_bytes(" ".join([tokens, *sorted(self.vocabulary)]).encode())

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Lower-case words that the base has seen in captions; empty when the pack lists none.

        Each half of "wide-headed" is a word too. Raises PackError when the file is no such list.
        """
        path = self.root / "vocabulary.json"
        words = [word.lower() for word in read_words(path)] if path.is_file() else []
        return frozenset(words) | {half for w in words for half in w.split("-")}

    def unseen_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the base never saw, in order, each once; [] if unknown."""
        if not self.vocabulary:
            return []
        words = (
            w if w in self.vocabulary else w.removesuffix("'s")
            for w in WORD.findall(prompt.lower())
        )
        return list(dict.fromkeys(w for w in words if w not in self.vocabulary))

    @cached_property
    def refused_words(self) -> Mapping[str, str]:
        """Lower-case words that no prompt may hold, and what each is about: the pack's own list
        (refused.json), else its fallback's; empty where neither has one. Raises PackError when the
        file is no such list."""
        path = self.root / "refused.json"
        if not path.is_file():
            spare = BUILT_IN.get(self.fallback or "", self.root)
            path = spare / "refused.json"
        return read_refused(path) if path.is_file() else {}

    def refused_in(self, prompt: str) -> dict[str, str]:
        """Refused words of the prompt as they stand there, and what each is about; plurals, digits
        for letters ("n4ked") and other words joined to them do not hide them."""
        found = {}
        for word in SPELLED.findall(prompt):
            plain = word.lower().translate(DISGUISES).replace("_", "-")
            parts = [plain, *plain.split("-")]
            singular = [part.removesuffix("s") for part in parts]
            if plain in OTHER_THINGS:
                continue
            about = next(filter(None, map(self.refused_words.get, [*parts, *singular])), None)
            if about:
                found[word] = about
        return found


def may_be_on_hub(name: str) -> bool:
    """Whether the name has a hub id's form and is no folder here: only a download would tell."""
    return bool(HUB_ID.fullmatch(name)) and not Path(name).expanduser().exists()


def open_pack(name: str | Path, *, fallback: str | None = DEFAULT_PACK) -> Pack:
    """Find a pack: a built-in name, a folder, or a hub id `owner/name` or `owner/name@revision`.

    Nothing is loaded. Hub ids are downloaded through huggingface_hub unless they are cached.
    Raises PackError (no such pack, no pipeline there, a family that is not supported) and
    WeightsError (only pickles there); both say what was found and what to do.
    """
    text = str(name)
    if not text.strip():
        raise PackError("the base has no name: give a pack's name, a folder or a hub id")
    folder = BUILT_IN.get(text, Path(text).expanduser())
    if text in BUILT_IN and not folder.is_dir():
        raise PackError(
            f"the built-in pack '{text}' is not installed: {folder} does not exist. "
            "Rebuild it with scripts/pretrain, or pass a diffusers folder or a hub id as base."
        )
    if folder.is_file():
        refuse_file(folder)
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


def _read_folder(root: Path, *, name: str, fallback: str | None, revision: str = "") -> Pack:
    """The pack in `root`, checked for a family's pipeline in safetensors."""
    check_pipeline(root)
    told = read_pack_file(root)
    return Pack(
        name=told.name or name,
        root=root,
        licence=told.licence or card_licence(root),
        revision=told.revision or revision or "unversioned",
        roles={role: _role_folder(root, role, place) for role, place in told.roles.items()},
        fallback=fallback,
    )


def _role_folder(root: Path, role: str, place: str) -> Path:
    if role not in ROLES:
        raise PackError(
            f"{root / 'pack.toml'} names '{place}' for an unknown role '{role}': "
            f"{instead(role, ROLES)}"
        )
    folder = root / place
    wanted = "*.onnx" if role == "faces" else "config.json"
    try:
        inside = folder.resolve().is_relative_to(root.resolve())
        there = inside and any(folder.glob(wanted))
    except (OSError, ValueError) as error:  # too long a name, a zero byte in it
        raise PackError(
            f"{root / 'pack.toml'} names {place!r:.60} for the role '{role}', which can be no "
            f"folder: {getattr(error, 'strerror', None) or error}."
        ) from error
    if not there:
        said = f"holds no {wanted}" if inside else "lies outside the pack"
        raise PackError(
            f"{root / 'pack.toml'} names '{place}' for the role '{role}', but that folder {said}."
        )
    return folder


def _from_hub(text: str, fallback: str | None) -> Pack:
    """Download (or find in the cache) the pipeline's safetensors and read its folder."""
    repo, _, revision = text.partition("@")
    endings = ("*.json", "*.txt", "*.safetensors", "*.model")
    wanted = ["model_index.json", "README.md", "pack.toml", "vocabulary.json", "refused.json"]
    wanted += [f"{part}/{end}" for part in (*part_names(), *ROLES, "twins") for end in endings]
    wanted += [f"{role}/*.onnx" for role in ROLES]
    twins = [f"*.{variant}{mark}*" for variant in VARIANTS for mark in ".-"]
    root = _fetched(text, revision, wanted, twins)
    commit = root.name
    places = [str(PurePosixPath(place)) for place in read_pack_file(root).roles.values()]
    apart = [place for place in places if place.split("/")[0] not in (*ROLES, "twins")]
    if apart:  # folders of other names, which pack.toml alone tells
        more = [f"{place}/{end}" for place in apart for end in (*endings, "*.onnx")]
        root = _fetched(text, commit, more, twins)
    lone = [part for part in part_names() if _is_unweighted(root / part)]
    if lone:  # some repositories ship half precision alone
        halves = [
            f"{part}/*.{half}*" for part in lone for half in ("fp16*.safetensors", "fp16.json")
        ]
        root = _fetched(text, commit, halves)
    return _read_folder(root, name=repo, fallback=fallback, revision=commit)


def _fetched(text: str, revision: str, wanted: list[str], left: list[str] | None = None) -> Path:
    """The folder of a hub id's files of these patterns, but for those `left` out."""
    import huggingface_hub

    repo, _, asked = text.partition("@")
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repo, revision=revision or None, allow_patterns=wanted, ignore_patterns=left
            )
        )
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # the hub's client passes on its own errors and those of its network
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        at = f" at {asked}" if asked else ""
        raise PackError(
            f"could not fetch '{repo}'{at} from the Hugging Face hub, and no folder '{text}' "
            f"exists here: {reason}. Without a network, pass a folder that holds the pipeline."
        ) from error


def _is_unweighted(folder: Path) -> bool:
    """Whether weights belong there and none are."""
    has_config = (folder / "config.json").is_file()
    return has_config and not any(folder.glob("*.safetensors"))


def _fallback_roles(name: str) -> Mapping[str, Path]:
    """Roles of the fallback pack; none when that pack is not installed."""
    try:
        return open_pack(name, fallback=None).roles
    except PackError:
        return {}
