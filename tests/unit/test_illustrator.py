"""The illustrator: same seed, same picture; what it says of a picture is true of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest

from onbrand.illustrator import (
    ATTRIBUTES,
    PARTS,
    RESERVED_IDS,
    TRAITS,
    Character,
    Scene,
    action,
    attributes,
    caption,
    character,
    describe,
    illustrate,
    indistinguishable,
    lookalikes,
    mascot_captions,
    pretraining_character,
    random_scene,
)


def _part(parts: np.ndarray, name: str) -> np.ndarray:
    return parts == PARTS.index(name)


def test_the_same_seed_draws_the_same_picture() -> None:
    """Pixels, labels and words depend on nothing but character, scene, size and seed."""
    scene = random_scene(np.random.default_rng(4))
    one, two = (illustrate(character(9), scene, 96, seed=5) for _ in range(2))
    assert np.array_equal(one.pixels, two.pixels)
    assert np.array_equal(one.parts, two.parts)
    assert one.caption == two.caption
    assert not np.array_equal(one.pixels, illustrate(character(9), scene, 96, seed=6).pixels)


def test_reserved_characters_never_enter_pretraining() -> None:
    """No pretraining draw has a reserved id, nor looks like a reserved character or its doubles."""
    reserved = [character(k) for k in RESERVED_IDS]
    kept_apart = {c.signature for c in reserved}
    kept_apart |= {double.signature for c in reserved for double in lookalikes(c)}
    drawn = [pretraining_character(k) for k in range(2_500)]
    assert not {c.id for c in drawn} & set(RESERVED_IDS)
    assert not {c.signature for c in drawn} & kept_apart


def test_the_space_of_characters_is_large() -> None:
    """More than a million distinct looks, and draws hardly ever repeat."""
    assert math.prod(len(words) for words in TRAITS.values()) > 1_000_000
    looks = {pretraining_character(k).signature for k in range(1_000)}
    assert len(looks) > 990


@pytest.mark.parametrize("identity", [0, 3, 17, 101])
def test_a_lookalike_differs_in_the_one_trait_it_names(identity: int) -> None:
    """Eight look-alikes, one changed trait each, and the change can be seen in the picture."""
    person = character(identity)
    scene = Scene(style="flat")
    own = illustrate(person, scene, 128, seed=1).pixels
    doubles = lookalikes(person)
    assert len(doubles) == 8
    for double in doubles:
        changed = [
            f.name
            for f in fields(Character)
            if f.name != "changed_trait" and getattr(person, f.name) != getattr(double, f.name)
        ]
        assert changed == [double.changed_trait]
        other = illustrate(double, scene, 128, seed=1).pixels
        assert (np.abs(own.astype(int) - other).max(axis=2) > 12).sum() > 25


def test_more_lookalikes_than_there_are_is_an_error() -> None:
    """All can be had, each of them another; one more is refused."""
    with pytest.raises(ValueError, match="character 0 has 45 look-alikes, 500 were asked for"):
        lookalikes(character(0), 500)
    assert len({double.signature for double in lookalikes(character(0), 45)}) == 45


def test_drawings_are_indistinguishable_where_the_scene_hides_the_change() -> None:
    """A sleeper's eyes have no shape; awake they do, and a colour shows always."""
    person = replace(character(0), eyes="dot")
    other = replace(person, eyes="sparkling")
    for expression, hidden in (("sleepy", True), ("happy", False)):
        scene = Scene(expression=expression)
        one, two = (illustrate(who, scene, 128, seed=1).pixels for who in (person, other))
        assert indistinguishable(one, two) == hidden
    painted = replace(person, colour=next(c for c in TRAITS["colour"] if c != person.colour))
    pixels = [illustrate(who, Scene(), 128, seed=1).pixels for who in (person, painted)]
    assert not indistinguishable(*pixels)


@pytest.mark.parametrize("seed", range(4))
def test_captions_are_untrue_by_one_attribute(seed: int) -> None:
    """Twenty different ones, of which the first alone says nothing but what is drawn; one that
    only leaves words out is not among them."""
    who, scene = character(seed), random_scene(np.random.default_rng(seed))
    true, *others = mascot_captions(who, scene, np.random.default_rng(seed), 20, wording=seed)
    assert true == caption(who, scene, np.random.default_rng((seed, 0xCA)))
    assert len(set(others) - {true}) == 19
    for text in others:
        said = Counter(text.replace(",", "").split()) - Counter(true.replace(",", "").split())
        assert set(said) - {"a", "an"}, f"{text} is as true as {true}"


def test_any_attribute_may_be_the_untrue_one() -> None:
    """With one untrue caption each, colours, poses, places… all have their turn."""
    who, scene = character(2), Scene(prop="cup", place="beach")
    changed = set()
    for seed in range(60):
        true, other = mascot_captions(who, scene, np.random.default_rng(seed), 2, wording=1)
        changed |= set(true.replace(",", "").split()) - set(other.replace(",", "").split())
    assert {who.colour, who.species, "cup", "beach", "day", "standing"} <= changed


@pytest.mark.parametrize("name", list(ATTRIBUTES))
def test_every_word_of_the_vocabulary_can_be_drawn(name: str) -> None:
    """Each pose, place, prop… draws at an odd size, shows a head with eyes, and stays labelled."""
    for k, word in enumerate(ATTRIBUTES[name]):
        scene = replace(Scene(), **{name: word})
        drawn = illustrate(character(k), scene, 72, seed=k)
        assert drawn.pixels.shape == (72, 72, 3)
        assert drawn.pixels.std() > 12
        assert _part(drawn.parts, "head").sum() > 150
        assert _part(drawn.parts, "eyes").any()


@pytest.mark.parametrize("name", ["place", "prop"])
def test_a_list_may_grow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenes are drawn over as many words as a list has."""
    monkeypatch.setitem(ATTRIBUTES, name, (*ATTRIBUTES[name], ATTRIBUTES[name][1]))
    drawn = {getattr(random_scene(np.random.default_rng(k)), name) for k in range(300)}
    assert drawn == set(ATTRIBUTES[name])


@pytest.mark.parametrize("trait", list(TRAITS))
def test_every_trait_changes_the_picture(trait: str) -> None:
    """No trait is a word without a drawing: its values give different pictures."""
    person = replace_traits(
        character(2), species="cat", outfit="scarf", accessory="flower", eyes="round",
        belly="cream", ears="usual", mark="none",
    )  # fmt: skip
    pictures = [
        illustrate(replace_traits(person, **{trait: word}), Scene(), 96, seed=1).pixels.tobytes()
        for word in TRAITS[trait]
    ]
    assert len(set(pictures)) == len(pictures)


def replace_traits(person: Character, **traits: str) -> Character:
    """`person` with some traits exchanged."""
    kept = {f.name: getattr(person, f.name) for f in fields(Character)}
    return Character(**{**kept, **traits})


def test_the_words_say_what_is_drawn() -> None:
    """Captions name species, colour, pose and place; the action names the prop; a subject replaces
    the description."""
    rng = np.random.default_rng(0)
    for k in range(60):
        person, scene = character(1000 + k), random_scene(rng)
        words = caption(person, scene, rng)
        assert person.species in words
        assert person.colour in words
        assert scene.pose in words
        place = scene.backdrop if scene.place == "plain" else scene.place.removesuffix("s")
        assert place in words
        if scene.prop != "none":
            assert scene.prop in action(scene)
    mine = caption(character(3), Scene(backdrop="mint"), rng, subject="kuro the fox")
    assert "kuro the fox" in mine
    assert character(3).colour not in mine


def test_the_description_spells_out_what_can_be_seen() -> None:
    """`describe` names outfit, accessory and mark when there are any."""
    for k in range(40):
        person = character(k)
        words = describe(person)
        assert person.species in words
        for trait in (person.outfit, person.accessory):
            assert trait == "none" or trait in words
        assert words == describe(person)


def test_keypoints_lie_on_their_parts() -> None:
    """An eye's keypoint lies on an eye (or on glasses before it), inside the frame."""
    rng = np.random.default_rng(1)
    hits = total = 0
    for k in range(40):
        scene = replace(random_scene(rng), expression="happy", framing="full body")
        drawn = illustrate(character(300 + k), scene, 128, seed=k)
        for name in ("left_eye", "right_eye"):
            x, y, inside = drawn.keypoints[name]
            assert inside
            total += 1
            near = drawn.parts[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4]
            hits += bool({"eyes", "accessory"} & {PARTS[v] for v in np.unique(near)})
    assert hits / total > 0.97


def test_attributes_are_words_of_their_lists() -> None:
    """Ground truth for classifiers stays inside the published vocabulary."""
    rng = np.random.default_rng(2)
    lists = {**ATTRIBUTES, **TRAITS}
    for k in range(50):
        truth = attributes(character(k), random_scene(rng))
        assert all(value in lists[name] for name, value in truth.items())


def test_sizes_and_wrong_words_are_checked() -> None:
    """A scene refuses words it does not know; a picture is never smaller than 16 px."""
    with pytest.raises(ValueError, match="pose is one of"):
        Scene(pose="moonwalking")
    with pytest.raises(ValueError, match="16 or more"):
        illustrate(character(0), Scene(), 8)
    with pytest.raises(ValueError, match="0 or more"):
        character(-1)
    assert illustrate(character(0), Scene(), 600).pixels.shape == (600, 600, 3)


def test_drawing_is_fast() -> None:
    """Well over forty pictures per second of processor time even on a busy machine (about 150 on a
    quiet core of 2.5 GHz)."""
    rng = np.random.default_rng(3)
    scenes = [random_scene(rng) for _ in range(40)]
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        for k, scene in enumerate(scenes):
            illustrate(character(k), scene, 128, seed=k)
        best = max(best, len(scenes) / (time.process_time() - start))
    assert best > 40
