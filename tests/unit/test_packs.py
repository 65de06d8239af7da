"""Packs: what is found, what is refused, and whether the message says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects
from tiny import ROLES
from tiny_hub import write_yunet

from onbrand.errors import PackError, WeightsError
from onbrand.models import Pack, may_be_on_hub, open_pack
from onbrand.models.control import load_controlnet
from onbrand.models.diffusion import load_diffusion
from onbrand.models.layout import fingerprint_folders
from onbrand.models.perception import load_faces
from onbrand.models.perception.hub.faces import YuNetFaces


def _hub(theirs: Path, here: Path, asked: list[str | None]) -> Callable[..., str]:
    """Stands in for the hub's download: copies what is asked for of `theirs`, notes the commit."""

    def download(
        repo: str,
        revision: str | None,
        allow_patterns: list[str],
        ignore_patterns: list[str] | None = None,
    ) -> str:
        asked.append(revision)
        every = [path.relative_to(theirs).as_posix() for path in theirs.rglob("*.*")]
        for name in filter_repo_objects(
            every, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        ):
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(theirs / name, here / name)
        return str(here)

    return download


@pytest.fixture
def copy_of_base(tiny_hub_base: Path, tmp_path: Path) -> Path:
    """A base folder that a test may spoil."""
    return Path(shutil.copytree(tiny_hub_base, tmp_path / "base"))


def test_a_pack_says_what_it_holds(tiny_pack: Pack) -> None:
    """pack.toml gives name, licence, revision and roles; the size comes from the configs."""
    assert (tiny_pack.name, tiny_pack.licence, tiny_pack.revision) == ("tiny", "Apache-2.0", "test")
    assert set(tiny_pack.roles) == set(ROLES)
    assert tiny_pack.role("identity") == tiny_pack.root / "identity"
    assert tiny_pack.num_px == 32


def test_a_plain_diffusers_folder_is_a_pack(tiny_hub_base: Path) -> None:
    """Without pack.toml the folder's name and its model card's licence are used."""
    pack = open_pack(tiny_hub_base)
    assert (pack.name, pack.licence) == ("hub_base", "creativeml-openrail-m")
    assert pack.roles == {}


def test_a_face_finder_needs_its_file_alone(copy_of_base: Path) -> None:
    """The .onnx file of OpenCV's model zoo in a folder of its own, with no config.json."""
    path = write_yunet(copy_of_base / "faces")
    (copy_of_base / "pack.toml").write_text('[roles]\nfaces = "faces"')
    finder = load_faces(open_pack(copy_of_base))
    assert isinstance(finder, YuNetFaces)
    assert finder.path == path


def test_face_finders_are_told_apart(copy_of_base: Path) -> None:
    """Another .onnx file is another fingerprint; a folder emptied since is said to hold none."""
    path = write_yunet(copy_of_base / "faces")
    (copy_of_base / "pack.toml").write_text('[roles]\nfaces = "faces"')
    before = open_pack(copy_of_base).role_fingerprints(["faces"])
    assert set(before) == {"faces"}
    path.write_bytes(path.read_bytes() + b"\0")
    assert open_pack(copy_of_base).role_fingerprints(["faces"]) != before
    pack = open_pack(copy_of_base)
    path.unlink()
    with pytest.raises(PackError, match="holds no weights"):
        pack.role("faces")


def test_a_pack_without_judges_borrows_them(tiny_hub_base: Path, tiny_pack_folder: Path) -> None:
    """A missing role comes from the fallback pack; without one the error names the role."""
    borrowing = open_pack(tiny_hub_base, fallback=str(tiny_pack_folder))
    assert borrowing.role("twin_identity") == tiny_pack_folder / "twin_identity"
    with pytest.raises(PackError, match=r"hub_base.*'depth'.*nor has the pack"):
        borrowing.role("depth")
    with pytest.raises(PackError, match="no model for the role 'identity'"):
        open_pack(tiny_hub_base, fallback=None).role("identity")


def test_a_misspelt_name_gets_a_suggestion() -> None:
    """A name that is no pack, no folder and no hub id is answered with the nearest pack."""
    with pytest.raises(PackError, match=r"no pack 'poket'.*Did you mean 'pocket'\?"):
        open_pack("poket")


def test_a_hub_id_without_network_says_what_was_looked_up() -> None:
    """Offline, a hub id becomes one clear line that names the id and the way out."""
    with pytest.raises(PackError, match=r"'nobody/no-such-model' at v2.*pass a folder") as caught:
        open_pack("nobody/no-such-model@v2")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_pipeline_is_listed(tmp_path: Path) -> None:
    """The error shows what lies in the folder that was passed."""
    (tmp_path / "holiday.png").touch()
    (tmp_path / "notes").mkdir()
    with pytest.raises(PackError, match=r"no model_index.json, only: holiday.png, notes/"):
        open_pack(tmp_path)


@pytest.mark.parametrize("name", ["model.ckpt", "pytorch_model.bin", "weights.pt", "weights.pth"])
def test_a_pickle_is_refused_with_a_way_out(tmp_path: Path, name: str) -> None:
    """A pickle is never opened, as a file or as a folder's only weights, and conversion is told."""
    (tmp_path / name).write_bytes(b"never read")
    for passed in (tmp_path, tmp_path / name):
        with pytest.raises(WeightsError, match=r"is a pickle.*safe_serialization=True"):
            open_pack(passed)


def test_a_network_that_breaks_off_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client passes on errors of its network library, which are no OSError."""

    def broken(*arguments: object, **settings: object) -> None:
        raise RuntimeError("the read operation timed out")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    with pytest.raises(PackError, match=r"could not fetch 'some/base'.*the read operation timed"):
        open_pack("some/base")


def test_pickled_parts_of_a_pipeline_are_refused(copy_of_base: Path) -> None:
    """A pipeline whose U-Net comes only as .bin is refused; beside safetensors it is ignored."""
    weights = copy_of_base / "unet" / "diffusion_pytorch_model.safetensors"
    weights.with_suffix(".bin").write_bytes(b"never read")
    open_pack(copy_of_base)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"unet/diffusion_pytorch_model.bin is a pickle"):
        open_pack(copy_of_base)


def test_a_single_file_checkpoint_is_explained(tmp_path: Path) -> None:
    """A .safetensors file is no pack: the error tells how to make a folder of it."""
    (tmp_path / "dream.safetensors").touch()
    with pytest.raises(PackError, match="from_single_file"):
        open_pack(tmp_path / "dream.safetensors")


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: _edit(root / "unet/config.json", in_channels=9), "takes 9 channels"),
        (
            lambda root: _edit(root / "model_index.json", transformer=["diffusers", "Flux"]),
            "with transformer",
        ),
        (
            lambda root: _edit(root / "model_index.json", scheduler=["diffusers", "FlowMatchX"]),
            "for flow matching",
        ),
        (
            lambda root: _edit(root / "model_index.json", unet=["diffusers", "UNet1D"]),
            "'unet' is UNet1D",
        ),
        (lambda root: _edit(root / "model_index.json", vae=[None, None]), "'vae' is missing"),
        (lambda root: shutil.rmtree(root / "scheduler"), "has no such folder"),
        (lambda root: (root / "model_index.json").write_text("{"), "model_index.json is damaged"),
        (lambda root: (root / "pack.toml").write_text("name ="), "pack.toml is no valid TOML"),
        (
            lambda root: (root / "pack.toml").write_text('[roles]\nidentity = "eyes"'),
            "holds no config.json",
        ),
        (
            lambda root: (root / "pack.toml").write_text('[roles]\nfaces = "unet"'),
            r"holds no \*\.onnx",
        ),
        (
            lambda root: (root / "pack.toml").write_text('[roles]\nidenitty = "unet"'),
            "unknown role 'idenitty': did you mean 'identity'",
        ),
        (
            lambda root: (root / "pack.toml").write_text('[roles]\nx = "unet"'),
            "unknown role 'x': there are identity, alignment",
        ),
        (
            lambda root: (root / "pack.toml").write_text('[roles]\nidentity = "../.."'),
            "lies outside the pack",
        ),
    ],
)
def test_a_spoiled_base_is_explained(
    copy_of_base: Path, spoil: Callable[[Path], object], said: str
) -> None:
    """Each way a folder can be the wrong model gives one line that names the place."""
    spoil(copy_of_base)
    with pytest.raises(PackError, match=said) as caught:
        open_pack(copy_of_base)
    assert str(copy_of_base) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_fingerprint_follows_the_weights(copy_of_base: Path) -> None:
    """One changed byte of a weight is another base; a changed model card is not."""
    before = open_pack(copy_of_base).fingerprint
    (copy_of_base / "README.md").write_text("changed", "utf-8")
    assert open_pack(copy_of_base).fingerprint == before
    weights = copy_of_base / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert open_pack(copy_of_base).fingerprint != before


def test_what_nothing_reads_makes_no_other_base(copy_of_base: Path) -> None:
    """Files of the same weights in half precision, beside the plain ones, leave the fingerprint as
    it is: a clone of a hub's repository is the base that the hub id fetches. Alone they count."""
    before = open_pack(copy_of_base).fingerprint
    unet = copy_of_base / "unet"
    for name in ("model.fp16", "model.bf16", "model-00001-of-00002.fp16", "model.non_ema"):
        (unet / f"diffusion_pytorch_{name}.safetensors").write_bytes(b"never read")
    (unet / "diffusion_pytorch_model.safetensors.index.fp16.json").write_text("{}")
    assert open_pack(copy_of_base).fingerprint == before
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    alone = open_pack(copy_of_base).fingerprint
    assert alone != before
    (unet / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"something else")
    assert open_pack(copy_of_base).fingerprint == alone, "bf16 is the one that is read"


def test_a_hub_id_fetches_what_is_read_and_nothing_beside(
    copy_of_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ONNX of a pipeline's parts, no variant beside plain weights; where a part has half
    precision alone, that."""
    part = copy_of_base / "unet"
    for name in (
        "model.onnx",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.bf16.safetensors",
        "model.non_ema.safetensors",
    ):
        (part / name).touch()  # fmt: skip
    text = copy_of_base / "text_encoder"
    (text / "model.safetensors").rename(text / "model.fp16.safetensors")
    (text / "model.fp16.bin").touch()
    write_yunet(copy_of_base / "faces")
    here = tmp_path / "snapshots" / "c0ffee"
    asked: list[str | None] = []

    monkeypatch.setattr(huggingface_hub, "snapshot_download", _hub(copy_of_base, here, asked))
    pack = open_pack("owner/base@v1")
    assert (pack.root, pack.revision, asked) == (here, "c0ffee", ["v1", "c0ffee"])
    fetched = {p.relative_to(here).as_posix() for p in here.rglob("*.*")}
    weights = {name for name in fetched if not name.endswith((".json", ".txt", ".md"))}
    assert weights == {
        "faces/yunet.onnx",
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    }
    load_diffusion(pack)
    with pytest.raises(PackError, match="copy of the base"):
        load_controlnet(pack)


def test_a_hub_pack_may_call_its_folders_as_it_likes(
    copy_of_base: Path, tiny_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pack.toml alone places is fetched too, of the same commit."""
    shutil.copytree(tiny_pack.role("identity"), copy_of_base / "eyes" / "who")
    shutil.copytree(tiny_pack.role("tagger"), copy_of_base / "tagger")
    (copy_of_base / "pack.toml").write_text('[roles]\nidentity = "./eyes/who"\ntagger = "tagger"')
    here = tmp_path / "snapshots" / "c0ffee"
    asked: list[str | None] = []

    monkeypatch.setattr(huggingface_hub, "snapshot_download", _hub(copy_of_base, here, asked))
    pack = open_pack("owner/base")
    assert pack.role("identity") == here / "eyes" / "who"
    assert asked == [None, "c0ffee"]


def test_words_the_base_never_saw_are_named(tiny_pack: Pack, tiny_hub_base: Path) -> None:
    """Unknown words come in order and once; a base without a vocabulary claims nothing."""
    prompt = "Kuro, a red fox's zeppelin at the Beach, kuro waving"
    assert tiny_pack.unseen_words(prompt) == ["kuro", "zeppelin"]
    assert open_pack(tiny_hub_base).unseen_words(prompt) == []


def test_hyphens_make_no_word_unseen(tiny_pack: Pack, copy_of_base: Path) -> None:
    """ "wide-headed" in the vocabulary covers it whole, and each of its halves."""
    (copy_of_base / "vocabulary.json").write_text('{"words": ["a", "wide-headed", "fox"]}')
    assert open_pack(copy_of_base).unseen_words("a wide-headed fox, headed Wide") == []
    assert open_pack(copy_of_base).unseen_words("a tall-headed fox") == ["tall"]


def test_large_files_are_told_apart_by_samples(tmp_path: Path) -> None:
    """A weight file over 64 MiB is read in spread chunks: its ends and its size still count."""
    path = tmp_path / "unet" / "model.safetensors"
    path.parent.mkdir()
    path.touch()

    def fingerprint(size: int, last: bytes = b"\0") -> str:
        with path.open("r+b") as file:
            file.truncate(size)
            file.seek(size - 1)
            file.write(last)
        return fingerprint_folders([path.parent])

    plain = fingerprint(65 << 20)
    assert fingerprint(65 << 20) == plain
    assert fingerprint(65 << 20, b"\1") != plain
    assert fingerprint((65 << 20) + 1) != plain


def test_only_a_hub_id_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders and names can be checked here and now; an empty name is said to be one."""
    monkeypatch.chdir(tmp_path)
    assert may_be_on_hub("owner/name")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert not may_be_on_hub("owner/name")
    assert not may_be_on_hub("pocket")
    with pytest.raises(PackError, match="has no name"):
        open_pack("")


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a fox waving in a forest", {}),
        ("a Sussex fox with a hens' nest, essex", {}),
        ("a NAKED fox and two corpses", {"NAKED": "nudity", "corpses": "violence"}),
        ("a n4ked fox, self-harm", {"n4ked": "nudity", "self-harm": "self-harm"}),
        ("a half-naked_fox", {"half-naked_fox": "nudity"}),
        ("corpses-and_self_harm", {"corpses-and_self_harm": "violence"}),
        ("self_harm", {"self_harm": "self-harm"}),
    ],
)
def test_refused_words_are_found_whatever_their_spelling(
    tiny_pack: Pack, prompt: str, found: dict[str, str]
) -> None:
    """Capitals, plurals, digits and words joined to it do not hide a word; longer words that hold
    one are no matter. A pack without a list has the built-in one."""
    assert tiny_pack.refused_in(prompt) == found
