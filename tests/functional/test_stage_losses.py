"""Every loss that a stage may have, on a tiny pack through the real engine."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from brand_folder import tiny_brief, tiny_dataset, tiny_recipe
from PIL import Image
from safetensors.torch import load_file
from tiny_families import FAMILY_NAMES
from tiny_hub import build_caption
from torch import Tensor

from onbrand import training
from onbrand.artifacts.brand_model import BrandModel
from onbrand.artifacts.dataset import Dataset
from onbrand.brief import Brief
from onbrand.curation import tags_of
from onbrand.errors import DatasetError, PackError, RecipeError
from onbrand.events import Advanced, Event, Noted
from onbrand.generation import sample
from onbrand.models.diffusion import load_diffusion
from onbrand.models.packs import Pack
from onbrand.recipe import OWN_LOSSES, SEEN_LOSSES, Recipe, Stage
from onbrand.road.picture import with_lora
from onbrand.training.batches import Batch, draw_batch
from onbrand.training.cache import Examples, Texts
from onbrand.training.focus import AVATAR_WEIGHT, focus_of, head_weight
from onbrand.training.lenses import Content, Lens
from onbrand.training.looks import look
from onbrand.training.noise_levels import NoiseLevels

LORA = "pytorch_lora_weights.safetensors"
SHORT = {"batch_size": 2, "learning_rate": 1e-2, "loss_max_timestep": 1000}
LOOKS = (*SEEN_LOSSES, *OWN_LOSSES)
EVERYTHING = {**dict.fromkeys(LOOKS, 0.1), "adversarial": 0.1, "prior": 1.0, "weights": 0.01}


def blind(pictures: Sequence[Image.Image], texts: Sequence[str], /) -> dict[str, float]:
    """A figure that needs no encoder."""
    return {"identity": float(np.asarray(pictures[0]).mean()), "alignment": 1.0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five training pictures, tagged as curation tags them; who waves is happy."""
    made = tiny_dataset(tmp_path_factory.mktemp("brand"))
    told = [a.caption.replace("waving", "waving happily") for a in made.assets]
    assets = zip(made.assets, told, strict=True)
    return replace(made, assets=[replace(a, caption=t, tags=tags_of(t)) for a, t in assets])


class FaceInTheMiddle:
    """A face finder that always finds one."""

    def boxes(self, pixels_bchw: Tensor) -> list[Tensor]:
        h, w = pixels_bchw.shape[-2:]
        return [torch.tensor([[w / 4, h / 4, 3 * w / 4, 3 * h / 4, 1.0]]) for _ in pixels_bchw]


def recipe_of(**stage: object) -> Recipe:
    return tiny_recipe(stage=[{"kind": "expression", "num_steps": 3, **SHORT, **stage}])


def run(dataset: Dataset, recipe: Recipe, pack: Pack, out: Path, **more: object) -> BrandModel:
    return training.train(
        dataset, tiny_brief(), recipe, pack, out, sample=sample, score=blind, **more
    )


@pytest.fixture(scope="module")
def plain(
    dataset: Dataset, tiny_pack: Pack, tmp_path_factory: pytest.TempPathFactory
) -> BrandModel:
    """A stage of reconstruction alone, that others are compared with."""
    return run(dataset, recipe_of(), tiny_pack, tmp_path_factory.mktemp("plain"))


def weights(model: BrandModel) -> bytes:
    return (model.checkpoint() / LORA).read_bytes()


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_all_losses_at_once_are_finite_and_logged(
    name: str, dataset: Dataset, family_pack: Callable[[str], Pack], tmp_path: Path
) -> None:
    """An expression stage with every loss there is, on every family: each is in the log, and the
    sum is right."""
    model = run(dataset, recipe_of(losses=EVERYTHING), family_pack(name), tmp_path / "model")
    (log,) = training.loss_curves(model.root).values()
    assert [line["step"] for line in log] == [1, 2, 3]
    for line in log:
        assert {*EVERYTHING, "critic", "reconstruction"} <= set(line)
        said = line["reconstruction"] + line["critic"]
        said += sum(weight * line[name] for name, weight in EVERYTHING.items())
        assert line["loss"] == pytest.approx(said, rel=1e-4)
    kept = load_file(model.checkpoint() / LORA)
    assert not [name for name in kept if "critic" in name]


def test_a_stage_with_a_critic_resumes_to_the_same_bytes(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Stopped after its second step and called again, it ends as the run that never stopped."""
    recipe = recipe_of(losses=EVERYTHING)
    whole = run(dataset, recipe, tiny_pack, tmp_path / "whole")

    def press(event: Event) -> None:
        if isinstance(event, Advanced) and (event.task, event.done) == ("expression", 2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(dataset, recipe, tiny_pack, tmp_path / "cut", emit=press)
    assert weights(run(dataset, recipe, tiny_pack, tmp_path / "cut")) == weights(whole)


@pytest.mark.parametrize("name", [*LOOKS, "adversarial", "prior", "weights"])
def test_each_loss_alone_moves_the_weights(
    name: str,
    plain: BrandModel,
    dataset: Dataset,
    tiny_pack: Pack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loss in the table changes what is trained; its column is in the log."""
    monkeypatch.setattr(  # an untrained parser finds no face
        "onbrand.models.perception.expression.load_faces", lambda pack, device: FaceInTheMiddle()
    )
    with_it = run(dataset, recipe_of(losses={name: 5.0}), tiny_pack, tmp_path / "with")
    assert weights(with_it) != weights(plain)
    (log,) = training.loss_curves(with_it.root).values()
    assert all(name in line for line in log)


def test_only_what_is_named_counts_in_own_pictures(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Of captions that name nothing the eyes know, nothing is asked: the losses are 0."""
    untold = replace(dataset, assets=[replace(a, tags=[]) for a in dataset.assets])
    losses = {"own_expression": 1.0, "own_tags": 1.0}
    model = run(untold, recipe_of(losses=losses), tiny_pack, tmp_path / "model")
    (log,) = training.loss_curves(model.root).values()
    assert [line["own_expression"] for line in log] == [0.0] * len(log)
    assert [line["own_tags"] for line in log] == [0.0] * len(log)


def test_regularised_weights_stay_nearer_to_the_base(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """With a heavy weight on ‖ΔW‖² the adapter's up matrices end smaller."""

    def size(model: BrandModel) -> float:
        kept = load_file(model.checkpoint() / LORA)
        return sum(float(t.square().sum()) for name, t in kept.items() if "lora_B" in name)

    steps = {"num_steps": 12}
    plain = run(dataset, recipe_of(**steps), tiny_pack, tmp_path / "plain")
    kept = {"weights": 1000.0}
    held = run(dataset, recipe_of(losses=kept, **steps), tiny_pack, tmp_path / "held")
    assert size(held) < 0.8 * size(plain)


def test_the_adversarial_loss_begins_late(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """from_fraction 0.5 of four steps: none in the first two, then in both."""
    term = {"weight": 0.1, "from_fraction": 0.5}
    recipe = recipe_of(losses={"adversarial": term}, num_steps=4)
    model = run(dataset, recipe, tiny_pack, tmp_path / "model")
    (log,) = training.loss_curves(model.root).values()
    assert ["adversarial" in line for line in log] == [False, False, True, True]


def test_every_loss_is_the_same_in_parts(dataset: Dataset, tiny_pack: Pack, tmp_path: Path) -> None:
    """A step of four pictures, whole and in two parts: all that chance decides (a critic's noise,
    where a face is cropped) goes by the sample, not by its place in the part."""
    losses = {**EVERYTHING, "adversarial": {"weight": 0.1, "from_fraction": 0.0}}
    logs = []
    for parts in (1, 2):
        recipe = recipe_of(losses=losses, batch_size=4, gradient_accumulation=parts)
        out = tmp_path / str(parts)
        model = run(dataset, recipe, tiny_pack, out, cache=tmp_path / "cache")
        logs.append(next(iter(training.loss_curves(model.root).values())))
    whole, parted = logs
    for name in (*LOOKS, "adversarial", "critic", "reconstruction"):
        assert parted[0][name] == pytest.approx(whole[0][name], rel=1e-4, abs=1e-6), name


def test_a_critic_sees_where_activations_are_recomputed(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """gradient_checkpointing changes no loss of a stage with a critic."""
    logs = []
    for name, recomputed in (("kept", False), ("recomputed", True)):
        recipe = recipe_of(losses={"adversarial": {"weight": 0.1, "from_fraction": 0.0}})
        recipe = recipe.model_copy(update={"gradient_checkpointing": recomputed})
        model = run(dataset, recipe, tiny_pack, tmp_path / name)
        (log,) = training.loss_curves(model.root).values()
        logs.append([line["adversarial"] for line in log])
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)


def test_a_lens_never_looks_at_samples_noisier_than_its_gate(tiny_pack: Pack) -> None:
    """Two lenses of different reach see the samples that each may see, decoded once."""
    model = load_diffusion(tiny_pack)
    side = model.num_px // model.vae_factor
    latents = torch.zeros(4, model.num_latent_channels, side, side)
    batch = Batch(
        latents=latents,
        noise=latents,
        timesteps=torch.tensor([50, 300, 800, 10]),
        embeddings=model.encode_prompts(["fox"] * 4),
        num_brand=3,  # the last is a class picture, which nothing looks at
        contents=((0, 0), (1, 1), (2, 2)),
        names=("a", "b", "c", "d"),
        rows=(0, 1, 2, 3),
        step_timesteps=torch.tensor([50, 300, 800, 10]),
        step_num_brand=3,
    )
    seen: dict[str, list[tuple[int, int]]] = {}

    def lens(name: str) -> Lens:
        def watch(shown: Tensor, contents: Sequence[Content], seed: int, step: int) -> Tensor:
            assert len(shown) == len(contents)
            seen[name] = list(contents)
            return torch.ones(len(shown))

        return watch

    stage = Stage.model_validate(
        {
            "kind": "expression",
            "num_steps": 1,
            "loss_max_timestep": 400,
            "losses": {"pose": {"weight": 1, "max_timestep": 100}, "identity": 0.5},
        }
    )
    lenses = {"pose": lens("pose"), "identity": lens("identity")}
    found = look(model, lenses, stage, latents, latents, batch, seed=0, step=0)
    assert seen == {"pose": [(0, 0)], "identity": [(0, 0), (1, 1)]}
    assert {k: round(float(v), 6) for k, v in found.items()} == {"pose": 1.0, "identity": 1.0}


def test_a_stage_sees_only_the_pictures_with_its_tags(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """`only` filters by tag; epochs count the pictures that are left; none left is an error."""
    tags = [tag for asset in dataset.train for tag in asset.tags]
    pose = next(tag for tag in tags if tag.startswith("pose:"))
    num = sum(pose in asset.tags for asset in dataset.train)
    assert 0 < num < len(dataset.train), "the tiny dataset must have other poses, too"
    recipe = recipe_of(only=[pose], num_steps=None, num_epochs=3, batch_size=2)
    (plan,) = training.plan(dataset, recipe)
    assert plan.num_steps == -(-3 * num // 2)
    with pytest.raises(DatasetError, match=r"pose:flying.*captions tell"):
        run(dataset, recipe_of(only=["pose:flying"]), tiny_pack, tmp_path / "model")


def test_a_loss_whose_eye_is_missing_is_refused(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """A pack without a pose estimator cannot have the pose loss, and says so."""
    roles = {name: path for name, path in tiny_pack.roles.items() if name != "pose"}
    blind_pack = replace(tiny_pack, roles=roles, fallback=None)
    with pytest.raises(PackError, match="'pose'"):
        run(dataset, recipe_of(losses={"pose": 1.0}), blind_pack, tmp_path / "model")


def test_a_captioner_teaches_no_tags(dataset: Dataset, tiny_pack: Pack, tmp_path: Path) -> None:
    """Words have no gradient: refused before any work, though the pack has the role."""
    told = replace(tiny_pack, roles={**tiny_pack.roles, "tagger": build_caption(tmp_path / "blip")})
    with pytest.raises(PackError, match="writes captions"):
        run(dataset, recipe_of(losses={"own_tags": 1.0}), told, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_losses_belong_to_kinds_of_stages() -> None:
    """A pose loss in appearance is refused and says where it belongs; so is no length or two."""
    stage = {"kind": "appearance", "num_steps": 2}
    with pytest.raises(RecipeError, match="'expression'"):
        tiny_recipe(stage=[{**stage, "losses": {"pose": 1.0}}])
    with pytest.raises(ValueError, match="num_steps or num_epochs"):
        tiny_recipe(stage=[{**stage, "num_epochs": 2}])


@pytest.mark.parametrize("mode", ["tokens", "modulation", "attended"])
def test_an_identity_trains_beside_the_lora_and_comes_back(
    mode: str, dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """Each way learns with the LoRA, resumes to the same bytes, and draws the same from disk."""
    recipe = tiny_recipe(
        stage=[{"kind": "appearance", "num_steps": 4, "losses": {"prior": 1.0}, **SHORT}],
        identity={"mode": mode},
    )

    def press(event: Event) -> None:
        if isinstance(event, Advanced) and (event.task, event.done) == ("appearance", 2):
            signal.raise_signal(signal.SIGINT)

    whole = run(dataset, recipe, tiny_pack, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(dataset, recipe, tiny_pack, tmp_path / "cut", emit=press)
    cut = run(dataset, recipe, tiny_pack, tmp_path / "cut")
    kept = {path.name for path in whole.checkpoint().glob("*.safetensors")}
    assert "identity.safetensors" in kept
    for name in kept - {"resume.safetensors"}:
        assert (cut.checkpoint() / name).read_bytes() == (whole.checkpoint() / name).read_bytes()
    model = with_lora(load_diffusion(tiny_pack), whole.checkpoint())
    assert model.way is not None
    assert model.way.name == mode
    assert model.way.who_nd is not None
    first = sample(model, ["waving"], seeds=[1], num_steps=2)[0]
    bare = sample(with_lora(model, None), ["waving"], seeds=[1], num_steps=2)[0]
    assert model.way is None
    assert np.abs(np.asarray(first, int) - np.asarray(bare, int)).max() > 0


def test_the_objective_decides_how_much_the_head_counts(
    dataset: Dataset, tiny_pack: Pack, plain: BrandModel, tmp_path: Path
) -> None:
    """An avatar's head counts more by itself, a scene's does not; a stage may say otherwise, and a
    changed objective trains anew."""
    avatar = tiny_brief().model_copy(update={"objective": "avatar"})

    def trained(brief: Brief, out: Path, **stage: object) -> bytes:
        recipe = recipe_of(**stage)
        return weights(training.train(dataset, brief, recipe, tiny_pack, out, sample=sample,
                                      score=blind))  # fmt: skip

    heavy = trained(avatar, tmp_path / "avatar")
    assert heavy != weights(plain)
    assert trained(avatar, tmp_path / "told", head_weight=1) == weights(plain)
    assert trained(tiny_brief(), tmp_path / "heavy", head_weight=AVATAR_WEIGHT) == heavy
    assert trained(tiny_brief(), tmp_path / "avatar") == weights(plain)


def test_class_pictures_have_no_head_to_look_at(tiny_pack: Pack) -> None:
    """The focus is 1 outside the head and in class pictures, the weight where a head is sure."""
    heads = (torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]]),)
    examples = Examples(("a.png",), (torch.zeros(1, 4, 2, 2),), (("a",),), heads)
    prior = Examples(("c",), (torch.zeros(1, 4, 2, 2),), (("c",),))
    texts = Texts(load_diffusion(tiny_pack), frozen=True)
    batch = draw_batch(
        examples, texts, seed=1, step=0, batch_size=1, noise_levels=NoiseLevels.uniform(10),
        prior=prior, num_prior=1,
    )  # fmt: skip
    focus = focus_of(batch, examples, 3.0)
    assert focus is not None
    assert focus[0, 0].tolist() == [[3.0, 1.0], [2.0, 1.0]]
    assert focus[1, 0].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert focus_of(batch, prior, 3.0) is None


def test_a_pack_without_a_parser_of_its_own_has_no_heads(
    dataset: Dataset, tiny_pack: Pack, tmp_path: Path
) -> None:
    """The built-in parser, taught drawings, does not decide what a head is in a hub base's
    pictures: an avatar's head counts as the rest there, which the run says; a recipe that weighs it
    is obeyed."""
    avatar = tiny_brief().model_copy(update={"objective": "avatar"})
    bare = replace(tiny_pack, roles={k: v for k, v in tiny_pack.roles.items() if k != "parsing"})
    stage = recipe_of().stage[0]
    assert head_weight(stage, avatar, tiny_pack) == AVATAR_WEIGHT
    assert head_weight(stage, avatar, bare) == 1
    assert head_weight(stage.model_copy(update={"head_weight": 2.0}), avatar, bare) == 2
    heard: list[Event] = []
    training.train(
        dataset, avatar, recipe_of(), bare, tmp_path / "model", sample=sample, score=blind,
        emit=heard.append,
    )  # fmt: skip
    (said,) = [e.message for e in heard if isinstance(e, Noted) and "head" in e.message]
    assert "names none of its own" in said
