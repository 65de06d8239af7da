"""Caches know their content; augmentation and batches are functions of their seeds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from brand_folder import draw_picture, tiny_brief, tiny_dataset
from PIL import Image

from onbrand.models.diffusion import DiffusionModel
from onbrand.recipe import Augment
from onbrand.training import augment, batches
from onbrand.training.cache import (
    Examples,
    Store,
    Texts,
    brand_examples,
    encoder_fingerprint,
    module_fingerprint,
    to_pixels,
)
from onbrand.training.noise_levels import NoiseLevels

GENTLE = Augment(
    flip=False,
    rotate_degrees=5,
    scale_fraction=0.08,
    shift_fraction=0.05,
    brightness_fraction=0.05,
)
STILL = Augment(
    flip=False, rotate_degrees=0, scale_fraction=0, shift_fraction=0, brightness_fraction=0
)


def examples(num: int = 3, num_variants: int = 2) -> Examples:
    latents = tuple(torch.full((num_variants, 4, 2, 2), float(i)) for i in range(num))
    prompts = tuple(tuple(f"p{i}v{v}" for v in range(num_variants)) for i in range(num))
    return Examples(tuple(f"{i}.png" for i in range(num)), latents, prompts)


@pytest.fixture
def texts(tiny_model: DiffusionModel) -> Texts:
    return Texts(tiny_model, frozen=True)


def draw(texts: Texts, step: int, **changes: object) -> batches.Batch:
    settings: dict[str, object] = {
        "seed": 3,
        "step": step,
        "batch_size": 2,
        "noise_levels": NoiseLevels.uniform(1000),
        **changes,
    }
    return batches.draw_batch(examples(), texts, **settings)


def test_the_store_makes_a_thing_once_and_again_when_a_fact_changes(tmp_path: Path) -> None:
    """Equal facts are read from disk; another picture, size or encoder is another entry."""
    store = Store(tmp_path)
    made: list[int] = []

    def make() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"latents": torch.arange(4.0)}

    facts = {"picture": "aa", "size_px": 32, "encoder": "e1"}
    store.tensors("latents", facts, make)
    again = store.tensors("latents", dict(reversed(facts.items())), make)
    assert len(made) == 1
    assert again["latents"].tolist() == [0, 1, 2, 3]
    for change in ({"picture": "bb"}, {"size_px": 64}, {"encoder": "e2"}):
        store.tensors("latents", facts | change, make)
    assert len(made) == 4


def test_a_damaged_cache_file_is_made_again(tmp_path: Path) -> None:
    """A truncated entry never reaches training and never stops it."""
    store = Store(tmp_path)
    facts = {"picture": "aa"}
    store.tensors("latents", facts, lambda: {"latents": torch.ones(8)})
    path = store.path("latents", facts)
    path.write_bytes(path.read_bytes()[:20])
    got = store.tensors("latents", facts, lambda: {"latents": torch.zeros(8)})
    assert got["latents"].tolist() == [0] * 8


def test_a_fingerprint_sees_one_changed_weight() -> None:
    """Equal weights agree, in any memory format; one changed number does not."""
    torch.manual_seed(0)
    one = torch.nn.Conv2d(3, 4, 1)
    other = torch.nn.Conv2d(3, 4, 1)
    other.load_state_dict(one.state_dict())
    other.to(memory_format=torch.channels_last)
    assert module_fingerprint(one) == module_fingerprint(other)
    with torch.no_grad():
        other.weight[0, 0, 0, 0] += 1e-3
    assert module_fingerprint(one) != module_fingerprint(other)


@pytest.mark.parametrize("setting", ["scaling_factor", "shift_factor"])
def test_latents_follow_the_autoencoders_configuration(
    tiny_model: DiffusionModel, tmp_path: Path, setting: str
) -> None:
    """The same weights with another factor or shift: what was encoded before is not met again."""
    dataset, store = tiny_dataset(tmp_path / "brand", num=2), Store(tmp_path / "cache")

    def encoded(store: Store) -> list[torch.Tensor]:
        made = brand_examples(
            dataset, tiny_brief(), tiny_model, store,
            augment=STILL, num_variants=1, size_px=32, seed=1,
        )  # fmt: skip
        return list(made.latents)

    before, told = encoded(store), encoder_fingerprint(tiny_model)
    assert all(torch.equal(*pair) for pair in zip(before, encoded(store), strict=True))
    tiny_model.vae.register_to_config(**{setting: 0.25})
    after = encoded(store)
    assert encoder_fingerprint(tiny_model) != told
    assert not torch.equal(after[0], before[0])
    fresh = encoded(Store(tmp_path / "other"))
    assert all(torch.equal(*pair) for pair in zip(after, fresh, strict=True))


def test_a_frozen_prompt_is_encoded_once(tiny_model: DiffusionModel) -> None:
    """Embeddings are kept while the text encoder is frozen, and made anew while it trains."""
    frozen, live = Texts(tiny_model, frozen=True), Texts(tiny_model, frozen=False)
    before = frozen.embed(["a fox", "a cat", "a fox"]).tokens
    assert torch.equal(before[0], before[2])
    torch.testing.assert_close(before, live.embed(["a fox", "a cat", "a fox"]).tokens)
    with torch.no_grad():
        for weight in tiny_model.parts["text_encoder"].parameters():
            weight.mul_(1.5)
    assert torch.equal(frozen.embed(["a cat"]).tokens[0], before[1])
    assert not torch.allclose(live.embed(["a cat"]).tokens[0], before[1], atol=1e-3)


def test_moves_depend_on_the_picture_and_the_seed_only() -> None:
    """The same picture and seed move alike; the first variant stands still."""
    moves = augment.moves("aa", GENTLE, 6, seed=1, backdrops=None)
    assert moves == augment.moves("aa", GENTLE, 6, seed=1, backdrops=None)
    assert moves != augment.moves("aa", GENTLE, 6, seed=2, backdrops=None)
    assert moves[0] == augment.Move()
    assert not any(move.flip for move in moves)
    assert all(abs(move.turn_degrees) <= 5 and abs(move.scale - 1) <= 0.08 for move in moves)
    assert len(augment.moves("aa", STILL, 6, seed=1, backdrops=None)) == 1


def test_cut_outs_stand_on_many_backgrounds_and_say_so() -> None:
    """Variants of a picture with alpha differ in background, and the caption names it."""
    moves = augment.moves("aa", STILL, 8, seed=1, backdrops=augment.BACKGROUNDS)
    names = Counter(move.backdrop.name for move in moves if move.backdrop)
    assert len(names) >= 7
    picture = draw_picture(1, cut_out=True)
    alpha = np.asarray(picture.getchannel("A"), np.float32) / 255
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    blue = next(b for b in augment.BACKGROUNDS if b.name == "pale blue")
    drawn = augment.draw(white, alpha, augment.Move(backdrop=blue), 40)
    assert tuple(drawn[0, 0]) == blue.top_rgb
    inside = alpha == 1
    np.testing.assert_array_equal(drawn[inside], np.asarray(white)[inside])
    assert augment.caption_on("waving", blue) == "waving, on a pale blue background"
    for told in (
        "on a plain white background",
        "on white background",
        "against a Light-Grey background",
    ):
        assert augment.caption_on(f"waving {told}", blue) == "waving, on a pale blue background"
    for kept in ("waving with a balloon", "a fox with a red scarf, trees in the background"):
        assert augment.caption_on(kept, blue) == f"{kept}, on a pale blue background"
    both = augment.caption_on("waving with a balloon on a white background", blue)
    assert both == "waving with a balloon, on a pale blue background"
    said = augment.caption_on("waving on a plain white background", blue)
    assert said == "waving, on a pale blue background"
    assert augment.caption_on("waving in a forest", None) == "waving in a forest"


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ("waving, white background", "waving"),
        ("waving, simple background, holding a cup", "waving, holding a cup"),
        ("transparent background, waving", "waving"),
        ("waving against the white background", "waving"),
        ("waving in front of a white background", "waving"),
        ("waving, isolated on a white backdrop", "waving"),
        ("a white hat and white background", "a white hat"),
        ("wearing blue, red and white background", "wearing blue"),
        ("waving on white, smiling", "waving, smiling"),
        ("waving on white.", "waving"),
        ("waving; white background.", "waving"),
        ("waving.", "waving"),
        ("waving, isolated on plain black", "waving"),
        ("riding on a white horse", "riding on a white horse"),
        ("on white ice, balloons in the background", "on white ice, balloons in the background"),
        ("against the background of a castle", "against the background of a castle"),
        ("a fox, blue sky background", "a fox, blue sky background"),
    ],
)
def test_no_way_of_saying_a_plain_background_stays(told: str, left: str) -> None:
    """With or without "on a", as taggers write it too; what says more does."""
    pink = next(b for b in augment.BACKGROUNDS if b.name == "pink")
    assert augment.caption_on(told, pink) == f"{left}, on a pink background"


def test_a_backdrop_of_two_colours_runs_from_top_to_bottom() -> None:
    """Its first row is the upper colour, its last the lower one."""
    teal = next(b for b in augment.BACKGROUNDS if b.name == "teal")
    assert teal.top_rgb != teal.bottom_rgb
    blank, nothing = Image.new("RGB", (40, 40), "white"), np.zeros((40, 40), np.float32)
    drawn = augment.draw(blank, nothing, augment.Move(backdrop=teal), 40)
    assert tuple(drawn[0, 0]) == teal.top_rgb
    assert tuple(drawn[-1, 0]) == teal.bottom_rgb


def test_backdrops_keep_to_words_that_the_base_knows() -> None:
    """A backdrop whose name the base never saw is left out; white stays."""
    known = augment.known_backdrops(lambda text: ["teal"] if "teal" in text else [])
    assert "teal" not in [b.name for b in known]
    assert len(known) == len(augment.BACKGROUNDS) - 1
    assert [b.name for b in augment.known_backdrops(lambda text: ["all"])] == ["white"]


def test_a_move_turns_shifts_and_keeps_the_size() -> None:
    """A shifted subject lands where the shift says; an opaque picture has no blank border."""
    picture = Image.new("RGB", (40, 40), (90, 160, 90))
    picture.paste((250, 20, 20), (16, 16, 24, 24))
    moved = augment.draw(picture, None, augment.Move(shift_x=0.25), 40)
    assert moved.shape == (40, 40, 3)
    red = np.argwhere(moved[..., 0] > 200)
    assert abs(red[:, 1].mean() - 29.5) < 0.6
    assert moved[..., 1].min() > 10
    turned = augment.draw(picture, None, augment.Move(turn_degrees=5, scale=0.9), 40)
    assert turned.reshape(-1, 3).max(0)[2] < 120, "a white or black corner came in"


def test_saturation_moves_colours_towards_grey_and_away() -> None:
    """0 is grey of the same lightness, 1 the picture; other moves stay as without it."""
    picture = Image.new("RGB", (40, 40), (200, 100, 50))
    grey = augment.draw(picture, None, augment.Move(saturation=0.0), 40)
    assert len(np.unique(grey)) == 1
    assert abs(int(grey[20, 20, 0]) - 124) <= 1  # 0.299 · 200 + 0.587 · 100 + 0.114 · 50
    strong = augment.draw(picture, None, augment.Move(saturation=1.2), 40)[20, 20].astype(int)
    assert np.ptp(strong) > 150
    few, more = Augment(rotate_degrees=5), Augment(rotate_degrees=5, saturation_fraction=0.2)
    plain, coloured = (
        augment.moves("a", settings, 3, seed=1, backdrops=None) for settings in (few, more)
    )
    assert plain[1].turn_degrees == coloured[1].turn_degrees
    assert coloured[1].saturation != 1
    assert plain[1].saturation == 1


def test_pictures_become_pixels_in_minus_one_to_one() -> None:
    """Channels first, black -1, white 1."""
    got = to_pixels([Image.new("RGB", (2, 2), "white"), np.zeros((2, 2, 3), np.uint8)])
    assert got.shape == (2, 3, 2, 2)
    assert got[0].unique().tolist() == [1.0]
    assert got[1].unique().tolist() == [-1.0]


def test_batches_are_functions_of_seed_and_step(texts: Texts) -> None:
    """Step 5 is the same whether or not steps 0 to 4 were drawn before."""
    late = draw(texts, 5)
    for step in range(5):
        draw(texts, step)
    again = draw(texts, 5)
    assert torch.equal(late.noise, again.noise)
    assert torch.equal(late.timesteps, again.timesteps)
    assert late.contents == again.contents
    assert not torch.equal(late.noise, draw(texts, 6).noise)


def test_each_pass_shows_every_picture_once_and_its_variants_in_turn(texts: Texts) -> None:
    """Six steps of two pictures over three: each picture four times, each variant twice."""
    seen = Counter(content for step in range(6) for content in draw(texts, step).contents)
    assert seen == {(picture, variant): 2 for picture in range(3) for variant in range(2)}


def test_fewer_pictures_than_a_batch_repeat(texts: Texts) -> None:
    """A batch larger than the dataset repeats pictures instead of failing."""
    batch = draw(texts, 0, batch_size=7)
    assert len(batch.contents) == 7
    assert {p for p, _ in batch.contents} == {0, 1, 2}


def test_class_pictures_follow_the_brands_in_a_batch(texts: Texts) -> None:
    """Prior samples come last, with their own prompts and noise levels."""
    prior = Examples(("c0",), (torch.full((1, 4, 2, 2), 9.0),), (("a fox",),))
    batch = draw(texts, 0, prior=prior, num_prior=3)
    assert batch.num_brand == 2
    assert batch.latents.shape[0] == 5
    assert batch.latents[2:].unique().tolist() == [9.0]
    assert torch.equal(batch.embeddings.tokens[2:], texts.embed(["a fox"] * 3).tokens)
    assert batch.names[2:] == ("c0",) * 3


def test_class_pictures_come_in_an_order_of_their_own(texts: Texts) -> None:
    """As many class pictures as the brand has do not march in step with it."""
    batches = [draw(texts, step, prior=examples(), num_prior=2) for step in range(6)]
    assert any(not torch.equal(one.latents[:2], one.latents[2:]) for one in batches)
