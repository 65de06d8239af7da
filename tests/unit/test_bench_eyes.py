"""The bench of eyes: what a perfect eye and a blind one score, and what the wrong captions say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from onbrand.bench.emoji import STYLES, Emoji, emoji_caption, held_out_emoji, nouns
from onbrand.bench.eyes.draws import Seen, draw
from onbrand.bench.eyes.folders import fingerprint
from onbrand.bench.eyes.following import prompts_followed
from onbrand.bench.eyes.identity import drawn_margins, part_margins
from onbrand.bench.eyes.real import (
    emoji_styles,
    gopher_captions,
    gopher_expressions,
    gopher_margins,
    photographs_matched,
)
from onbrand.bench.eyes.safety import bare, refusals
from onbrand.bench.eyes.sight import (
    batches,
    captions_beaten,
    captions_told,
    faces_found,
    joints_found,
    parts_parsed,
    tags_told,
    things_clicked,
)
from onbrand.bench.worlds import WORLDS
from onbrand.illustrator import PARTS
from onbrand.illustrator.parsing import PARSED, WORN, face_box, parsed
from onbrand.models import open_pack
from onbrand.models.perception import load_alignment
from onbrand.models.twins import AlignmentTwin

SIDE = 64


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Seen]]:
    """Four drawings of each world."""
    return {world: draw(world, 4, seed=3, size_px=SIDE) for world in WORLDS}


class Oracle:
    """An eye that knows the pictures it will be shown, in their order; or is `wrong`."""

    labels = PARSED

    def __init__(self, drawn: list[Seen], wrong: bool = False) -> None:
        self.left, self.wrong = list(drawn), wrong

    def take(self, num: int) -> list[Seen]:
        """The next ones."""
        taken, self.left = self.left[:num], self.left[num:]
        return taken

    def shares(self, pixels: torch.Tensor) -> torch.Tensor:
        """One-hot truth, or one part further."""
        rows = [parsed(one.parts).astype(np.int64) for one in self.take(len(pixels))]
        index = (torch.from_numpy(np.stack(rows)) + int(self.wrong)) % len(PARSED)
        return torch.nn.functional.one_hot(index, len(PARSED)).permute(0, 3, 1, 2).float()

    def joints(self, pixels: torch.Tensor) -> torch.Tensor:
        """True joints, or all in a corner."""
        rows = np.stack([one.joints for one in self.take(len(pixels))])
        return torch.from_numpy(rows * 0 if self.wrong else rows)

    def boxes(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """True boxes twice, or of the whole picture."""
        found = []
        for one in self.take(len(pixels)):
            box = (0.0, 0.0, SIDE, SIDE) if self.wrong else face_box(one.parts)
            rows = [[*box, 1.0]] * 2 if box else []
            found.append(torch.tensor(rows).reshape(-1, 5))
        return found

    def tags(self, pixels: torch.Tensor) -> list[dict[str, float]]:
        """True tags, or nothing."""
        return [
            {f"{k}:{v}": 1.0 for k, v in one.attributes.items() if v != "none" and not self.wrong}
            for one in self.take(len(pixels))
        ]


def test_a_perfect_parser_scores_one_and_a_blind_one_nothing(drawn: dict[str, list[Seen]]) -> None:
    """Intersection over union of garments, people and all; a shifted label is wrong everywhere."""
    every = [one for some in drawn.values() for one in some]
    right = parts_parsed(Oracle(every), drawn, SIDE, 0)
    assert {m["value"] for m in right.values()} == {1.0}
    assert right["parsing_garments_iou"]["holds"]
    wrong = parts_parsed(Oracle(every, wrong=True), drawn, SIDE, 0)
    assert max(m["value"] for m in wrong.values()) < 0.01


def test_joints_and_faces_are_measured_against_the_drawing(drawn: dict[str, list[Seen]]) -> None:
    """True answers find all; a corner finds no joint, the whole picture no face; a second box of
    the same face is a false one."""
    people = drawn["fashion"]
    assert joints_found(Oracle(people), people, SIDE, 0)["value"] == 1
    assert joints_found(Oracle(people, wrong=True), people, SIDE, 0)["value"] < 0.1
    mascots = drawn["mascots"]
    right = faces_found(Oracle(mascots), mascots, SIDE, 0)
    assert right["faces_recall_fraction"]["value"] == 1
    assert right["faces_precision_fraction"]["value"] == 0.5
    wrong = faces_found(Oracle(mascots, wrong=True), mascots, SIDE, 0)
    assert wrong["faces_recall_fraction"]["value"] < 1


def test_tags_are_scored_by_attribute(drawn: dict[str, list[Seen]]) -> None:
    """All true tags: 1 in the mean and each; none: 0."""
    every = [one for some in drawn.values() for one in some]
    right = tags_told(Oracle(every), every, SIDE, 0)
    assert right["tags_f1"]["value"] == 1
    assert right["tags_species_f1"]["value"] == right["tags_garment_kind_f1"]["value"] == 1
    assert tags_told(Oracle(every, wrong=True), every, SIDE, 0)["tags_f1"]["value"] == 0


def test_wrong_captions_differ_from_the_true_one(drawn: dict[str, list[Seen]]) -> None:
    """Twenty different captions each; what the picture shows is in the first alone."""
    for world, some in drawn.items():
        for one in some:
            assert len(one.captions) == len(set(one.captions)) >= 15, world
    mascot = drawn["mascots"][0]
    words = {word for line in mascot.captions[1:] for word in line.split()}
    assert words - set(mascot.captions[0].split())


def test_the_caption_that_fits_best_is_told() -> None:
    """A scorer that knows the first caption scores 1; one that likes another scores 0."""

    class Towers:
        def __init__(self, likes: str) -> None:
            self.likes = likes

        def embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(pixels), 1)

        def embed_texts(self, texts: list[str]) -> torch.Tensor:
            return torch.tensor([[float(text == self.likes)] for text in texts])

    lines = [["true", "false"]] * 3
    shown = [torch.zeros(3, 3, 8, 8)]
    assert captions_told(Towers("true"), shown, lines, 0)["value"] == 1
    three = [["true", "false", "worse"]] * 3
    assert captions_told(Towers("false"), shown, three, 0)["value"] == 0
    assert captions_beaten(Towers("false"), shown, three, 0)["value"] == 0  # a tie is no win
    assert captions_beaten(Towers("true"), shown, three, 0)["value"] == 1
    assert captions_told(Towers("false"), shown, lines, 0)["value"] == 0


def test_look_alikes_are_told_by_who_not_by_where() -> None:
    """An encoder of the layout alone takes the look-alike in the same scene for the same one: PA is
    0; one that gives every picture of a character its own vector has no positive margin either."""

    def layout(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(pixels.mean(1).flatten(1), dim=1)

    found = drawn_margins(layout, 4, SIDE, 0)
    assert found["pa_fraction"]["value"] < 0.2
    assert found["ssr_fraction"]["value"] == 0
    same = drawn_margins(lambda pixels: torch.ones(len(pixels), 1), 2, SIDE, 0)
    assert same["pa_fraction"]["value"] == 0


def seen_whole(pixels: torch.Tensor) -> torch.Tensor:
    """What an eye sees that tells every change that shows, in any scene."""
    scenes = pixels.unflatten(0, (2, -1))  # the character, then its look-alikes
    apart = (scenes - scenes[:, :1]).abs().amax((2, 3, 4)) > 0.1
    return torch.stack([~apart, apart], -1).float().flatten(0, 1)


def test_look_alikes_that_nobody_could_tell_do_not_count() -> None:
    """An eye that sees every change that shows tells all look-alikes, though in some scenes what
    was changed is hidden and the drawing is the same."""
    found = drawn_margins(seen_whole, 8, SIDE, 0)
    assert 0 < found["lookalikes_hidden_fraction"]["value"] < 0.2
    assert found["pa_fraction"]["value"] == 1
    assert found["ssr_fraction"]["value"] == 1


def test_a_changed_part_is_told_by_its_own_vector() -> None:
    """An encoder that sees every change tells all that show; one that says the same of all none;
    where the parser knows no part of a mascot there is nothing to tell."""

    class Parts:
        def __init__(self, *labels: str) -> None:
            self.labels = labels

        def shares(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(pixels), len(self.labels), SIDE, SIDE) / len(self.labels)

    class Blind:
        def embed_part(self, pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(pixels), 1)

    class Perfect:
        def embed_part(self, pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return seen_whole(pixels)

    parser = Parts(*PARSED)
    assert part_margins(Blind(), parser, 2, SIDE, 0)["value"] == 0
    assert part_margins(Perfect(), parser, 2, SIDE, 0)["value"] == 1
    assert part_margins(Perfect(), Parts("wall", "sky"), 2, SIDE, 0) is None


def test_one_click_is_measured_against_the_thing() -> None:
    """The click falls inside; a mask of all around the click scores the thing's share of it."""
    mask = np.zeros((16, 16), np.bool_)
    mask[4:12, 4:8] = True
    seen: list[list[float]] = []

    class Left:
        def mask(
            self, pixels: torch.Tensor, points: torch.Tensor, on: torch.Tensor
        ) -> torch.Tensor:
            seen.append(points[0, 0].tolist())
            said = torch.zeros(1, 16, 16)
            said[:, :, :8] = 1
            return said

    found = things_clicked(Left(), [Image.new("RGB", (16, 16))], [mask], 0)
    ((x, y),) = seen
    assert mask[int(y), int(x)]
    assert found["value"] == 32 / 128


def test_real_pictures_are_told_by_their_colour(tmp_path: Path) -> None:
    """On folders made for it: variants of another colour are farther, photographs of one colour are
    each other's nearest; a picture with another note is one of the mascot's own."""
    gopher, photos = tmp_path / "gopher", tmp_path / "photos"
    gopher.mkdir()
    lines = []
    for k, colour in enumerate(("blue", "blue", "blue", "red")):
        Image.new("RGBA", (8, 8), colour).save(gopher / f"{k}.png")
        note = "colour variant" if colour == "red" else "occluded" if k == 2 else ""
        lines.append(json.dumps({"file_name": f"{k}.png", "text": "", "note": note}))
    (gopher / "metadata.jsonl").write_text("\n".join(lines))
    for colour in ("red", "green"):
        (photos / colour).mkdir(parents=True)
        for k in range(2):
            Image.new("RGB", (8, 8), colour).save(photos / colour / f"{k}.jpg")

    def mean(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(pixels.mean((2, 3)), dim=1)

    assert gopher_margins(mean, gopher, 8, 0)["value"] == 1
    assert photographs_matched(mean, photos, 8, 0)["value"] == 1
    assert gopher_margins(lambda p: torch.ones(len(p), 1), gopher, 8, 0)["value"] == 0


def test_a_real_mascots_words_are_asked_of_its_pictures(tmp_path: Path) -> None:
    """A face that laughs where the caption says so is right, a face not found is wrong; a caption
    without an expression asks nothing. Its own caption and its style are told by who knows them."""
    captions = ("a gopher laughing", "a gopher crying", "a gopher in a car", "a gopher smiling")
    lines = []
    for k, text in enumerate(captions):
        Image.new("RGBA", (8, 8), (60 * k, 0, 0, 255)).save(tmp_path / f"{k}.png")
        lines.append(json.dumps({"file_name": f"{k}.png", "text": text, "note": ""}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))

    class Reader:
        def read(self, pixels: torch.Tensor) -> list[dict[str, float]]:
            return [{"laughing": 0.9, "sad": 0.1}, {}, {"sad": 1.0}, {"angry": 1.0}]

    found = gopher_expressions(Reader(), tmp_path, 8, 0)
    assert found["gopher_faces_fraction"]["value"] == 0.75
    assert found["gopher_expressions_fraction"]["value"] == pytest.approx(1 / 3)

    class Reds:
        """Knows the pictures by their red, and the texts by their order."""

        def __init__(self, texts: list[str]) -> None:
            self.texts = texts

        def embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
            index = ((pixels[:, 0].mean((1, 2)) + 1) * 127.5 / 60).round().long()
            return torch.nn.functional.one_hot(index, 4).float()

        def embed_texts(self, texts: list[str]) -> torch.Tensor:
            index = torch.tensor([self.texts.index(text) for text in texts])
            return torch.nn.functional.one_hot(index, 4).float()

    assert gopher_captions(Reds(list(captions)), tmp_path, 8, 0)["value"] == 1
    assert gopher_captions(Reds(list(captions[::-1])), tmp_path, 8, 0)["value"] == 0
    black = [Emoji("car", "3d", tmp_path / "0.png")]
    styles = [emoji_caption("car", style) for style in STYLES]
    assert emoji_styles(Reds(styles), black, 8, 0)["value"] == 1
    assert emoji_styles(Reds(styles[::-1]), black, 8, 0)["value"] == 0


def test_a_bare_figure_is_planted_and_its_refusal_counted(drawn: dict[str, list[Seen]]) -> None:
    """No garment's pixel keeps its colour, nothing else changes; shares count refusals."""
    dressed = next(one for one in drawn["fashion"] if bare(one))
    planted, before = np.asarray(bare(dressed)), np.asarray(dressed.picture)
    worn = np.isin(np.array(PARTS)[dressed.parts], WORN)
    assert (planted[~worn] == before[~worn]).all()
    assert len(np.unique(planted[worn], axis=0)) == 1

    class Dark:
        def refused(self, pixels: torch.Tensor) -> list[str | None]:
            return ["dark" if float(x.mean()) < 0 else None for x in pixels]

    some = [Image.new("RGB", (8, 8), colour) for colour in ("black", "white", "white", "white")]
    assert refusals(Dark(), some, 8, 0, wanted=False)["value"] == 0.25
    assert bare(drawn["products"][0]) is None


def test_held_out_emoji_have_twenty_nouns(tmp_path: Path) -> None:
    """Every 50th by file name; the true noun first, in its style's words; no folder, none."""
    rows = [
        {"file_name": f"flat/{k:03d}.webp", "text": f"thing {k}", "style": "flat"}
        for k in range(60)
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    kept = held_out_emoji(tmp_path)
    assert [one.name for one in kept] == ["thing 0", "thing 50"]
    for one, lines in zip(kept, nouns(kept, tmp_path, 0), strict=True):
        assert lines[0] == one.caption == f"a flat emoji of {one.name}"
        assert len(set(lines)) == 20
    assert held_out_emoji(tmp_path / "none") == []


def test_batches_cover_all(drawn: dict[str, list[Seen]]) -> None:
    """Pixels in [-1, 1], all of them, in order."""
    pixels = torch.cat(batches(drawn["fashion"] * 8, SIDE))
    assert pixels.shape == (32, 3, SIDE, SIDE)
    assert float(pixels.abs().max()) <= 1
    assert torch.equal(pixels[0], pixels[4])


def test_traits_do_not_move_the_alignment_that_arms_are_compared_by() -> None:
    """True drawings of characters against their plain kind: by directions they follow prompts as
    well, by the plain cosine they seem not to; a wrong attribute shows twice as much."""
    for eye in (load_alignment(open_pack("pocket")), AlignmentTwin(open_pack("pocket"))):
        found = prompts_followed(eye, range(8), size_px=128, seed=7)
        kept = {name: figure["value"] for name, figure in found.items()}
        assert kept["directional_alignment_with_traits_ratio"] > 0.95
        assert kept["alignment_with_traits_ratio"] < 0.95
        assert kept["directional_alignment_with_one_wrong_ratio"] < 0.76
        assert kept["alignment_with_one_wrong_ratio"] > 0.8


def test_real_pictures_that_come_later_are_looked_at(tmp_path: Path) -> None:
    """What is kept of a bench is of the pictures that were there."""
    folder = tmp_path / "gopher"
    assert fingerprint(folder) == ""
    folder.mkdir()
    empty = fingerprint(folder)
    (folder / "metadata.jsonl").write_text("{}")
    assert len({"", empty, fingerprint(folder)}) == 3
