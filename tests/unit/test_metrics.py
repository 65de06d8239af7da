"""The figures: each against a value that can be worked out by hand or was published."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from onbrand.errors import DatasetError
from onbrand.illustrator import RESERVED_IDS, character, illustrate, random_scene
from onbrand.judging import (
    OWN,
    ArmPictures,
    Eyes,
    Gallery,
    Judge,
    References,
    character_gallery,
    evaluation_prompts,
    folder_gallery,
    scorer,
)
from onbrand.judging import metrics as m
from onbrand.judging.colour import (
    ciede2000,
    dominant_colours,
    hex_to_lab,
    palette_distance,
    srgb_to_lab,
    subject_mask,
)

# Sharma, Wu, Dalal 2005, table 1: L1 a1 b1, L2 a2 b2, ΔE00
SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def flat(colour: str, size_px: int = 32) -> Image.Image:
    return Image.new("RGB", (size_px, size_px), colour)


def disc(colour: str, ground: str, size_px: int = 64) -> Image.Image:
    picture = flat(ground, size_px)
    edge = size_px // 4
    ImageDraw.Draw(picture).ellipse((edge, edge, size_px - edge, size_px - edge), fill=colour)
    return picture


def mean_colour(pictures: list[Image.Image]) -> np.ndarray:
    """An encoder for tests: the direction of the centre's mean colour around grey."""
    middle = [np.asarray(p.convert("RGB").resize((8, 8)), float)[3:5, 3:5] for p in pictures]
    rows = np.array([colours.mean((0, 1)) - 127.0 for colours in middle])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def turned(shares: list[float]) -> np.ndarray:
    """Unit vectors, 0 to the right and 1 upwards."""
    angles = np.array(shares) * np.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def aligned(pictures: list[Image.Image], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Two towers for tests: brighter pictures fit longer texts, of up to ten letters."""
    bright = [np.asarray(p.convert("L"), float).mean() / 255 for p in pictures]
    return turned(bright), turned([len(t) / 10 for t in texts])


EYES = Eyes(mean_colour, aligned)


def test_ciede2000_matches_every_published_pair() -> None:
    """The formula gives the 34 published values in both directions, to four decimals."""
    rows = np.array([line.split() for line in SHARMA.strip().splitlines()], float)
    assert rows.shape == (34, 7)
    np.testing.assert_allclose(ciede2000(rows[:, :3], rows[:, 3:6]), rows[:, 6], atol=5e-5)
    np.testing.assert_allclose(ciede2000(rows[:, 3:6], rows[:, :3]), rows[:, 6], atol=5e-5)


def test_lab_of_known_colours() -> None:
    """White, black and pure red land on their tabled L*a*b* values."""
    lab = hex_to_lab(["#ffffff", "#000000", "#ff0000"])
    np.testing.assert_allclose(lab[0], [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(lab[1], [0, 0, 0], atol=0.02)
    np.testing.assert_allclose(lab[2], [53.24, 80.09, 67.20], atol=0.05)
    np.testing.assert_allclose(srgb_to_lab(np.array([1.0, 0, 0])), lab[2])


def test_palette_distance_reads_the_subject_and_not_the_background() -> None:
    """A red disc is on a red palette and off a blue one, whatever it stands on."""
    for ground in ("#ffffff", "#2040ff", "#101010"):
        picture = disc("#e03020", ground)
        assert palette_distance(picture, ["#e03020", "#111111"]) < 2
        assert palette_distance(picture, ["#2040ff"]) > 30


def test_subject_mask_uses_alpha_when_there_is_one() -> None:
    """A cut-out's own alpha is the mask, exactly."""
    picture = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    picture.paste((10, 200, 30, 255), (5, 5, 15, 15))
    assert subject_mask(picture).sum() == 100


def test_subject_mask_finds_drawn_subjects() -> None:
    """On drawn scenes the estimated mask overlaps the true one by more than 0.7 on average."""
    rng, overlaps = np.random.default_rng(3), []
    for number in range(24):
        drawn = illustrate(character(number), random_scene(rng), size_px=128, seed=number)
        truth = drawn.subject
        found = subject_mask(Image.fromarray(drawn.pixels))
        overlaps.append((truth & found).sum() / (truth | found).sum())
    assert np.mean(overlaps) > 0.7


def test_dominant_colours_are_weighted_by_area_and_repeatable() -> None:
    """Three quarters red and a quarter blue come back as such, twice the same; specks do not."""
    picture = flat("#ff0000", 40)
    picture.paste((0, 0, 255), (0, 0, 10, 40))
    picture.paste((0, 255, 0), (9, 0, 13, 4))  # a quarter of it on the blue
    mask = np.ones((40, 40), bool)
    colours, share = dominant_colours(picture, mask)
    assert share.tolist() == pytest.approx([0.75, 0.25])
    np.testing.assert_allclose(colours[0], hex_to_lab(["#ff0000"])[0], atol=0.1)
    again = dominant_colours(picture, mask)
    np.testing.assert_array_equal(colours, again[0])


def test_identity_error_is_zero_for_the_real_and_positive_for_the_wrong() -> None:
    """Generated = real gives no error; orthogonal pictures give the whole ceiling."""
    real = np.array([[1.0, 0, 0], [0.8, 0.6, 0]])
    ceiling = m.self_similarity(real)
    assert ceiling == pytest.approx(0.8)
    assert m.identity_error(m.identity_scores(real, real), ceiling) == 0.0
    wrong = np.array([[0.0, 0, 1]])
    assert m.identity_error(m.identity_scores(wrong, real), ceiling) == pytest.approx(0.8)


def test_self_similarity_needs_a_pair() -> None:
    """One held-out picture is refused with what to do about it."""
    with pytest.raises(DatasetError, match="hold out at least 2"):
        m.self_similarity(np.ones((1, 3)))


def test_a_copy_is_memorised_and_a_new_layout_is_not() -> None:
    """A training picture, mirrored too, falls under the threshold; a new one does not."""
    rng = np.random.default_rng(0)
    who = character(RESERVED_IDS[0])
    drawn = [
        Image.fromarray(illustrate(who, random_scene(rng), size_px=64, seed=n).pixels)
        for n in range(40)
    ]
    train, held_out, fresh = (m.layouts(drawn[a:b]) for a, b in ((0, 15), (15, 35), (35, 40)))
    threshold = m.memorisation_threshold(held_out, train)
    mirrored = m.layouts([p.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for p in drawn[:15]])
    nudged = m.layouts(
        [
            p.transform(p.size, Image.Transform.AFFINE, (1, 0, 1, 0, 1, -1), fillcolor="white")
            for p in drawn[:15]
        ]
    )
    for copies in (train, mirrored, nudged):
        index, distance = m.nearest_layout(copies, train)
        assert (distance < threshold).all()
        assert index.tolist() == list(range(15))
    assert (m.nearest_layout(fresh, train)[1] < threshold).mean() < 0.5


def test_layout_distance_sees_shapes_and_not_flat_backgrounds() -> None:
    """0 against itself, near 0 on another tint of ground, far when the shape is elsewhere."""
    same, tinted = disc("#e03020", "#f0f0f0"), disc("#d82c24", "#e4ecf4")
    moved = Image.new("RGB", same.size, "#f0f0f0")
    moved.paste(same.crop((16, 16, 48, 48)), (0, 0))
    rows = m.layouts([same, tinted, moved])
    distances = m.layout_distance(rows, rows)
    np.testing.assert_allclose(distances, distances.T, atol=1e-9)
    np.testing.assert_allclose(np.diag(distances), 0, atol=1e-9)
    assert distances[0, 1] < 0.1
    assert distances[0, 2] > 0.5


def test_diversity_only_compares_pictures_of_one_prompt() -> None:
    """Two equal pictures of a prompt have none, and lone prompts are left out."""
    one, other = disc("#e03020", "#ffffff"), disc("#2030e0", "#ffffff")
    layout = m.layouts([one, one, other, other])
    values, names = m.diversity(layout, ["a", "a", "b", "c"])
    assert names == ["a"]
    assert values.tolist() == pytest.approx([0.0])


def test_gallery_is_the_line_up_of_the_design() -> None:
    """20 characters with 8 look-alikes each are 180 identities, the brand first; chance follows."""
    gallery = character_gallery(3, num_pictures=1, size_px=16)
    assert len(gallery.names) == 180
    assert gallery.names[0] == OWN
    assert gallery.chance == pytest.approx(1 / 180)
    assert sum("like this brand" in name for name in gallery.names) == 8


def test_folder_gallery_leaves_the_brand_to_the_judge() -> None:
    """A folder's look-alikes are an identity each; the brand itself still counts for chance."""
    likes = [(name, flat("#ff0000")) for name in ("red-1", "red-2", "red.v1", "red.v2", "16")]
    gallery = folder_gallery(likes, num_others=1, num_pictures=1, size_px=16)
    assert OWN not in gallery.names
    names = ("red", "red.v1", "red.v2", "16")
    assert gallery.names[:4] == tuple(f"look-alike {name}" for name in names)
    assert len(gallery.pictures[0]) == 2
    assert gallery.chance == pytest.approx(1 / (4 + 9 + 1))


def references(**changes: object) -> References:
    real = [disc("#e03020", "#ffffff"), disc("#d03028", "#f8f0f0"), disc("#e83818", "#f0f0f0")]
    gallery = Gallery(("blue", "green"), ((flat("#0000ff"),), (flat("#00ff00"),)))
    settings: dict[str, object] = {"train": real[:1], "held_out": real[1:], "gallery": gallery}
    return References(**(settings | changes))


def test_judge_prefers_the_right_brand_and_reports_every_picture() -> None:
    """Pictures like the real ones win on identity and retrieval; per-picture scores keep order."""
    refs = references(palette=["#e03020"])
    judge = Judge(EYES, refs)
    right = judge.measure(
        ArmPictures("detail", [disc("#e03020", "#f4f0f0"), disc("#0020e0", "#f4f0f0")], ["a", "b"])
    )
    assert [score.right for score in right.pictures] == [True, False]
    assert right.arm.metrics["retrieval_fraction"].value == 0.5
    assert right.pictures[0].identity > right.pictures[1].identity
    assert right.pictures[0].palette < 3 < right.pictures[1].palette
    assert "diversity" not in right.arm.metrics
    assert judge.measure_real().metrics["retrieval_fraction"].value == 1.0


def test_judging_does_not_depend_on_the_company_a_picture_keeps() -> None:
    """A picture scores the same alone as among others: no batch changes a figure."""
    pictures = [disc(c, "#ffffff") for c in ("#e03020", "#20e030", "#2030e0")]
    judge = Judge(EYES, references())
    together = judge.measure(ArmPictures("x", pictures, ["a", "b", "c"])).pictures
    for number, picture in enumerate(pictures):
        alone = judge.measure(ArmPictures("x", [picture], ["abc"[number]])).pictures[0]
        assert alone.identity == pytest.approx(together[number].identity, abs=1e-12)
        assert alone.alignment == pytest.approx(together[number].alignment, abs=1e-12)
        assert alone.right == together[number].right
        assert alone.nearest_distance == pytest.approx(together[number].nearest_distance)


def test_real_pictures_are_held_against_their_own_captions() -> None:
    """The ceiling of alignment is that of those that have a caption; without any it is left out."""
    bright = [flat("#ffffff"), flat("#808080"), flat("#000000")]
    told = references(held_out=bright, held_out_texts=["a", "b", ""])
    found = Judge(EYES, told).measure_real().metrics
    expected = m.alignment(*EYES.align(bright[:2], ["a", "b"])).mean()
    assert found["alignment"].value == pytest.approx(expected)
    silent = references(held_out=bright)
    assert "alignment" not in Judge(EYES, silent).measure_real().metrics


def test_alignment_ratio_is_against_the_base_on_the_same_texts() -> None:
    """Pictures that differ as their texts do have all of the base's; turned round, none of it."""
    dark, bright = flat("#404040"), flat("#c0c0c0")
    texts = ["short", "very long"]
    base = ArmPictures("base", [dark, bright], texts)
    arm = ArmPictures("detail", [flat("#202020"), flat("#e0e0e0")], texts)
    found = Judge(EYES, references(), base=base).measure(arm).arm.metrics
    assert found["alignment_ratio"].value == pytest.approx(1, abs=0.05)
    wrong = ArmPictures("detail", [bright, dark], texts)
    found = Judge(EYES, references(), base=base).measure(wrong).arm.metrics
    assert found["alignment_ratio"].value == pytest.approx(-1, abs=0.05)
    for text in ("other", "short"):  # not the base's; its, but alone, so that it has no direction
        lone = ArmPictures("detail", [dark], [text])
        found = Judge(EYES, references(), base=base).measure(lone).arm.metrics
        assert "alignment_ratio" not in found


def test_one_text_alone_is_compared_by_its_plain_alignment() -> None:
    """Without a second text there is no direction, and the ratio is that of the cosines."""
    base = ArmPictures("base", [flat("#ffffff")], ["0123456789"])
    arm = ArmPictures("detail", [flat("#808080")], ["0123456789"])
    found = Judge(EYES, references(), base=base).measure(arm).arm.metrics
    assert "directional_alignment" not in found
    assert found["alignment_ratio"].value == pytest.approx(np.sin(128 / 255 * np.pi / 2))


def test_directional_alignment_leaves_out_what_all_pictures_share() -> None:
    """A trait on every picture turns it away from every text; the directions stay as they were."""
    rng = np.random.default_rng(0)
    texts, trait = rng.normal(size=(8, 16)), rng.normal(size=16) * 3
    exact, marked, crossed = texts, texts + trait, texts[::-1] + trait
    assert m.directional_alignment(exact, texts) == pytest.approx(np.ones(8))
    assert m.directional_alignment(marked, texts) == pytest.approx(np.ones(8))
    assert m.directional_alignment(crossed, texts).mean() < 0.2
    assert np.isnan(m.directional_alignment(marked, texts[[0] * 8])).all()


def test_attributes_count_what_the_prompt_named() -> None:
    """One of two named attributes seen is a half; unnamed ones do not count."""
    eyes = Eyes(mean_colour, aligned, lambda ps: [{"pose": "waving", "prop": "cup"}] * len(ps))
    wanted = [{"pose": "waving", "prop": "ball"}]
    arm = ArmPictures("x", [flat("#ff0000")], ["a"], expected=wanted)
    found = Judge(eyes, references()).measure(arm).arm.metrics
    assert found["attributes_fraction"].value == 0.5


def test_arm_refuses_pictures_without_texts() -> None:
    """Unequal lists are refused before anything is measured."""
    with pytest.raises(ValueError, match="each picture needs its own text"):
        ArmPictures("x", [flat("#ff0000")], [])


def test_training_score_has_the_numbers_that_gates_use() -> None:
    """Identity, alignment and diversity come from the encoders that were passed in."""
    score = scorer(mean_colour, aligned, [flat("#ff0000")])
    found = score([flat("#ff0000"), flat("#fe0000")], ["same", "same"])
    assert set(found) == {"identity", "alignment", "diversity"}
    assert found["identity"] == pytest.approx(1, abs=1e-3)
    two = score([flat("#202020"), flat("#e0e0e0")], ["shrt", "longer"])
    assert two["directional_alignment"] == pytest.approx([1, 1], abs=1e-4)


def test_evaluation_prompts_never_repeat_validation_ones() -> None:
    """What chose a checkpoint does not grade it; the list is filled up, and always the same."""
    prompts = ["waving", "running", "waving", "sitting"]
    chosen = evaluation_prompts(prompts, validation={"waving", "running"}, num=6)
    assert chosen[0] == "sitting"
    assert not {"waving", "running"} & set(chosen)
    assert len(set(chosen)) == 6
    assert chosen == evaluation_prompts(prompts, validation=["running", "waving"], num=6)
    assert len(set(evaluation_prompts([], validation=[], num=400))) == 400


def test_frechet_distance_is_that_of_gaussians() -> None:
    """0 to itself; of two diagonal Gaussians |Δμ|² + Σ (σ − σ')²; unequal widths are refused."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(4000, 3))
    one = (one - one.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(one, rowvar=False))).T
    other = one * [1.0, 2.0, 3.0] + [0.5, 0.0, 0.0]
    assert m.frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert m.frechet_distance(one, other) == pytest.approx(0.25 + 0 + 1 + 4)
    assert m.frechet_distance(other, one) == pytest.approx(5.25)
    with pytest.raises(ValueError, match="cannot be compared"):
        m.frechet_distance(one, one[:, :2])
