"""Whether eyes keep their answers: what moves with a picture, and what counts as the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from onbrand.bench.eyes.asked import WORLDS_OF, question
from onbrand.bench.eyes.draws import Seen, draw
from onbrand.bench.eyes.sturdy import CHANGES, Move, Question, steadiness
from onbrand.illustrator import PARTS
from onbrand.judging.looking import to_pixels

SIDE = 64


def asked(say: Callable[..., Sequence[object]], pictures: list[Image.Image]) -> dict[str, Question]:
    """One role, whose answers stay where they are equal."""
    return {"it": Question(pictures, say, lambda one, two, move: float(one == two))}


def test_steadiness_sees_what_a_change_does() -> None:
    """An eye that says one thing stays the same; one that reads a corner's shade is moved by a
    shift; one that counts its place in the batch is caught when the batch is turned round."""
    pictures = [one.picture for one in draw("products", 4, seed=3, size_px=SIDE)]
    calm = steadiness(asked(lambda x, *_: [1.0] * len(x), pictures), SIDE, 0)
    assert {m["value"] for m in calm.values()} == {1.0}
    nervous = steadiness(asked(lambda x, *_: x.sum((1, 2, 3)).tolist(), pictures), SIDE, 0)
    assert nervous["same_after_jpeg_fraction"]["value"] == 0
    assert nervous["same_it_fraction"]["value"] == 0
    assert nervous["same_in_any_order_fraction"]["value"] == 1
    order = steadiness(asked(lambda x, *_: list(range(len(x))), pictures), SIDE, 0)
    assert order["same_in_any_order_fraction"]["value"] < 1


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        (lambda k: {"a": torch.ones(2) * (1 + 1e-6 * k)}, True),
        (lambda k: {"a": torch.ones(2) * (1 + 1e-3 * k)}, False),
        (lambda k: {"a": {"b": 1 + 1e-3 * k}}, False),
        (lambda k: {str(k): 1.0}, False),
        (lambda k: torch.zeros(k), False),
        (lambda k: torch.arange(20_000) == k, True),  # two labels differ
        (lambda k: torch.arange(2_000) == k, False),
    ],
)
def test_order_may_change_a_ten_thousandth(answer: Callable[[int], object], same: bool) -> None:
    """Numbers and shares of labels that differ by less between places in a batch are the same."""
    pictures = [Image.new("RGB", (8, 8))] * 4
    question = Question(
        pictures, lambda x, *_: [answer(k) for k in range(len(x))], lambda one, two, move: 1.0
    )
    found = steadiness({"it": question}, 8, 0)["same_in_any_order_fraction"]
    assert found["holds"] is same


def test_the_worst_change_counts_for_a_role() -> None:
    """Answers that only a shift moves: 1 after JPEG and crop; 0 after the shift and for all."""
    dark = [Image.new("RGB", (SIDE, SIDE), (k, 0, 0)) for k in (0, 90)]

    def shifted(pixels: torch.Tensor, numbers: Sequence[int], move: Move) -> list[float]:
        return [float(move.scale == 1 and move.offset > 0)] * len(pixels)

    found = steadiness(asked(shifted, dark), SIDE, 0)
    values = {name: figure["value"] for name, figure in found.items()}
    assert values == {
        "same_it_fraction": 0.0, "same_after_jpeg_fraction": 1.0, "same_after_crop_fraction": 1.0,
        "same_after_shift_fraction": 0.0, "same_in_any_order_fraction": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_moves_what_it_says_it_moves(name: str) -> None:
    """The middle of a square lies, afterwards, where the change's move has it."""
    change = CHANGES[name]
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[20:30, 70:90] = 255
    rows, columns = np.nonzero(np.asarray(change.apply(Image.fromarray(pixels)))[..., 0] > 127)
    middle = torch.tensor([columns.mean(), rows.mean()]) + 0.5
    assert torch.allclose(change.move(128)(torch.tensor([80.0, 25.0]).double()), middle, atol=0.3)


class Square:
    """An eye for the bright square in a picture: it sees where it is, and how bright."""

    labels = ("nothing", "square")

    def shares(self, pixels: torch.Tensor) -> torch.Tensor:
        """One-hot."""
        lit = pixels[:, 0] > 0
        return torch.stack([~lit, lit], 1).float()

    def boxes(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Of the square."""
        found = []
        for lit in pixels[:, 0] > 0:
            at = lit.nonzero()
            top, left, bottom, right = (*at.amin(0).tolist(), *(at.amax(0) + 1).tolist())
            found.append(torch.tensor([[left, top, right, bottom, 1.0]]))
        return found

    def joints(self, pixels: torch.Tensor) -> torch.Tensor:
        """All in its middle."""
        middles = [(box[0, :2] + box[0, 2:4]) / 2 - 0.5 for box in self.boxes(pixels)]
        return torch.stack([torch.cat([m, torch.ones(1)]).expand(17, 3) for m in middles])

    def mask(self, pixels: torch.Tensor, points: torch.Tensor, on: torch.Tensor) -> torch.Tensor:
        """The square, where it was clicked on."""
        lit = pixels[:, 0] > 0
        column, row = points[:, 0].round().long().T
        return (lit & lit[torch.arange(len(lit)), row, column][:, None, None]).float()

    def bright(self, pixels: torch.Tensor) -> torch.Tensor:
        """In the middle of its shades."""
        return torch.stack([lit[lit > 0].median() for lit in pixels[:, 0]])

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """How bright it is, as an angle."""
        angle = self.bright(pixels) * 1.5
        return torch.stack([angle.cos(), angle.sin()], 1)

    embed_pixels = embed

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """What brightness a text says."""
        angle = torch.tensor([float(text) for text in texts]) * 1.5
        return torch.stack([angle.cos(), angle.sin()], 1)

    def read(self, pixels: torch.Tensor) -> list[dict[str, float]]:
        """Whether it is bright."""
        return [{"bright": share, "dark": 1 - share} for share in self.bright(pixels).tolist()]

    tags = read

    def probabilities(self, pixels: torch.Tensor) -> list[dict[str, dict[str, float]]]:
        """The same, of the attribute "light"."""
        return [{"light": said} for said in self.read(pixels)]


def squares() -> list[Seen]:
    """Squares of 6 px and four brightnesses in pictures of 128."""
    seen = []
    for k, shade in enumerate((150, 170, 215, 245)):
        pixels, parts = np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128), np.uint8)
        pixels[50:56, 30 + 8 * k : 36 + 8 * k] = shade
        parts[50:56, 30 + 8 * k : 36 + 8 * k] = PARTS.index("product")
        bright = shade / 127.5 - 1
        captions = [f"{bright:.2f}", "-0.5", "0"]
        picture = Image.fromarray(pixels)
        seen.append(Seen(picture, parts, np.zeros((17, 3)), {"light": ""}, captions, k))
    return seen


@pytest.mark.parametrize("role", WORLDS_OF)
def test_each_role_is_asked_what_moves_with_the_picture(role: str) -> None:
    """An eye that follows a square in the picture, and sees its brightness, keeps its answers; so
    it does in any order."""
    found = steadiness({role: question(role, Square(), squares(), 128)}, 128, 0)
    least = 0.6 if role == "clicks" else 0.95  # cropping blurs the edge of 6 px
    assert found[f"same_{role}_fraction"]["value"] >= least
    assert found["same_in_any_order_fraction"]["value"] == 1


SHIFT = Move(1.0, 8.0)  # eight pixels right and down


def stays(role: str, before: object, after: object, size_px: int = 100) -> float:
    """What the role's question says of two answers, the picture being shifted between."""
    return question(role, Square(), squares(), size_px).stays(before, after, SHIFT)


def test_boxes_stay_where_they_moved_with_the_picture() -> None:
    """One by one, with nothing added, and cut at the picture's edge; what stays where it was in the
    picture has moved with respect to what it shows."""
    box = torch.tensor([[10.0, 10.0, 20.0, 20.0, 0.9]])
    moved = torch.tensor([[18.0, 18.0, 28.0, 28.0, 0.8]])
    assert stays("faces", box, moved) == 1
    assert stays("faces", box, box) == 0
    assert stays("faces", box, torch.cat([moved, box])) == 0
    assert stays("faces", box, box[:0]) == 0
    assert stays("faces", box[:0], box[:0]) == 1
    edge = torch.tensor([[80.0, 80.0, 100.0, 100.0, 0.9]])
    assert stays("faces", edge, torch.tensor([[88.0, 88.0, 100.0, 100.0, 0.9]])) == 1


def test_joints_stay_within_a_twentieth_of_the_side() -> None:
    """Four of a hundred pixels beside is there, six is not; a joint that was not seen, or that has
    left the picture, does not count."""
    joints = torch.tensor([[20.0, 20.0, 0.9], [50.0, 50.0, 0.9]])
    near, far = torch.tensor([8.0, 12.0, 0.0]), torch.tensor([8.0, 14.0, 0.0])
    assert stays("pose", joints, joints + near) == 1
    assert stays("pose", joints, joints + far) == 0
    unseen = joints * torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.5]])
    assert stays("pose", unseen, torch.stack([unseen[0] + near, unseen[1] + far])) == 1
    left = torch.tensor([[20.0, 20.0, 0.9], [95.0, 50.0, 0.9]])
    assert stays("pose", left, torch.stack([left[0] + near, left[1] + far])) == 1


def test_maps_are_laid_on_each_other_as_the_picture_moved() -> None:
    """Labels and masks that moved along agree; of those that did not, what overlaps counts."""
    labels = torch.arange(100).expand(100, 100)  # each column another label
    moved = torch.roll(labels, 8, 1)
    assert stays("parsing", labels, moved) == 1
    assert stays("parsing", labels, labels) == 0
    mask = torch.zeros(100, 100)
    mask[20:40, 20:40] = 1
    assert stays("clicks", mask, torch.roll(mask, (8, 8), (0, 1))) == 1
    assert stays("clicks", mask, mask) == pytest.approx(12 * 12 / (2 * 400 - 144))
    assert stays("clicks", mask * 0, mask * 0) == 1


def test_words_stay_when_none_is_lost_or_new() -> None:
    """All of a tagger's; of an expression and of attributes the surest alone; none is an answer,
    too."""
    one, other = {"a": 0.9, "b": 0.6}, {"a": 0.9, "b": 0.95}
    assert stays("tagger", one, other) == 1
    assert stays("tagger", one, {"a": 0.9}) == 0
    assert stays("expression", one, {"a": 0.5, "c": 0.4}) == 1
    assert stays("expression", one, other) == 0
    assert stays("expression", {}, {}) == 1
    assert stays("expression", one, {}) == 0
    assert stays("attributes", {"x": one, "y": one}, {"x": one, "y": one}) == 1
    assert stays("attributes", {"x": one, "y": one}, {"x": one, "y": other}) == 0


def test_another_caption_or_neighbour_is_another_answer() -> None:
    """The best of the captions, and the nearest of the others, which the drawing itself is not."""
    for role in ("alignment", "identity"):
        assert stays(role, torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.9])) == 1
        assert stays(role, torch.tensor([0.1, 0.3]), torch.tensor([0.4, 0.3])) == 0
    shown = squares()
    pixels = to_pixels([one.picture for one in shown], 128)
    near = question("identity", Square(), shown, 128).say(pixels, range(4), Move())
    assert [int(row.argmax()) for row in near] == [1, 0, 3, 2]
    assert [float(row[k]) for k, row in enumerate(near)] == [-1.0] * 4
    fits = question("alignment", Square(), shown, 128).say(pixels, range(4), Move())
    assert [int(row.argmax()) for row in fits] == [0] * 4
