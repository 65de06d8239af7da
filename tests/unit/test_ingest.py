"""Pictures and captions are found in every layout, and what is left out is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from onbrand.artifacts import Skip
from onbrand.curation.ingest import find, natural, nothing_usable, read_found, sift
from onbrand.errors import DatasetError, PictureError
from onbrand.events import silent


def draw(*files: Path) -> None:
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (40 * i % 255, 90, 120)).save(file)


def captions(root: Path) -> dict[str, str]:
    return {found.name: found.caption for found in find([root]).pictures}


def test_captions_beside_pictures(tmp_path: Path) -> None:
    """img.txt, img.caption and img.png.txt are read; line breaks become spaces."""
    draw(*(tmp_path / f"{n}.png" for n in "abcde"))
    (tmp_path / "a.txt").write_text("kuro\nwaving \n")
    (tmp_path / "b.caption").write_text("kuro sitting", encoding="utf-8-sig")
    (tmp_path / "c.png.txt").write_text("kuro sleeping", encoding="utf-16")
    (tmp_path / "d.txt").write_bytes("\ufeffkuro running".encode("utf-16-be"))
    assert captions(tmp_path) == {
        "a.png": "kuro waving",
        "b.png": "kuro sitting",
        "c.png": "kuro sleeping",
        "d.png": "kuro running",
        "e.png": "",
    }


def test_a_name_that_leaves_no_room_for_an_ending(tmp_path: Path) -> None:
    """A picture of the longest name that there can be has no caption beside it, and is a picture;
    metadata that names a longer one tells of no such file."""
    long = "k" * 251 + ".png"
    draw(tmp_path / long)
    rows = [{"file_name": long, "text": "kuro"}, {"file_name": "k" * 300, "text": "kuro"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert captions(tmp_path) == {long: "kuro"}
    assert [skip.path for skip in find([tmp_path]).skipped] == ["k" * 300]


def test_metadata_lines(tmp_path: Path) -> None:
    """metadata.jsonl gives text or prompt by file name, below its folder too; .txt wins over it."""
    draw(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "sub" / "c.png")
    rows = [
        {"file_name": "a.png", "text": "kuro waving"},
        {"file_name": "b.png", "prompt": "kuro sitting"},
        {"file_name": "./sub/c.png", "text": "kuro sleeping", "note": "Color variant"},
        {"file_name": "gone.png", "text": "x"},
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines, "", "{no json", "[1]"]))
    (tmp_path / "b.txt").write_text("by hand")
    finding = find([tmp_path])
    assert captions(tmp_path) == {
        "a.png": "kuro waving",
        "b.png": "by hand",
        "sub/c.png": "kuro sleeping",
    }
    assert [found.is_variant for found in finding.pictures] == [False, False, True]
    assert [skip.path for skip in finding.skipped] == ["gone.png"]
    assert "no such file" in finding.skipped[0].reason
    assert ["line 6" in finding.remarks[0], "line 7" in finding.remarks[1]] == [True, True]


def test_a_metadata_table(tmp_path: Path) -> None:
    """metadata.csv is read like metadata.jsonl, quoted commas, empty cells and text of
    two lines included."""
    draw(tmp_path / "a.png", tmp_path / "b.png")
    table = 'file_name,text,note\na.png,"kuro,\nwaving",\nb.png,kuro sitting,colour variant\n'
    (tmp_path / "metadata.csv").write_text(table)
    assert captions(tmp_path) == {"a.png": "kuro, waving", "b.png": "kuro sitting"}
    assert [found.is_variant for found in find([tmp_path]).pictures] == [False, True]
    (tmp_path / "metadata.csv").write_text("name,words\na.png,kuro\n")
    assert "line 2" in find([tmp_path]).remarks[0]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("metadata.csv", "", "names no picture"),
        ("metadata.csv", "file_name\na.png\n", "no text in 1 of its rows (line 2)"),
        (
            "metadata.csv",
            "file_name,text\na.png\nb.png,kuro\n",
            "no text in 1 of its rows (line 2)",
        ),
        ("metadata.csv", f'file_name,text\na.png,kuro\nb.png,"{"x" * 140_000}', "quote not closed"),
        ("metadata.csv", 'file_name,text\na.png,"kuro\nb.png,blue\n', "quote not closed"),
        ("metadata.jsonl", "{broken", "line 1: no valid JSON"),
        ("metadata.jsonl", '{"file_name": 7, "text": "x"}', "line 1: no file_name"),
        ("metadata.jsonl", '{"file_name": "a.png", "text": 5}', "line 1: its text is no text"),
        ("metadata.jsonl", '{"file_name": "../a.png", "text": "x"}', "lies outside the folder"),
    ],
)
def test_metadata_that_says_nothing_is_told(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    """Every way in which a metadata file can fail to give captions is remarked on, once."""
    draw(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / name).write_text(text)
    (remark,) = find([tmp_path]).remarks
    assert says in remark


def test_endings_in_capitals_are_read(tmp_path: Path) -> None:
    """01.TXT, 02.Caption and metadata.CSV are captions, as on systems where they are the same."""
    draw(*(tmp_path / f"{n}.png" for n in "abc"))
    (tmp_path / "a.TXT").write_text("kuro waving")
    (tmp_path / "b.Caption").write_text("kuro sitting")
    (tmp_path / "metadata.CSV").write_text("file_name,text\nc.png,kuro sleeping\n")
    assert list(captions(tmp_path).values()) == ["kuro waving", "kuro sitting", "kuro sleeping"]
    (alone,) = find([tmp_path / "a.png"]).pictures
    assert alone.caption == "kuro waving"


def test_line_ends_of_unicode_stay_in_json(tmp_path: Path) -> None:
    """U+2028 and U+0085 may stand in a JSON text, and end no line."""
    draw(tmp_path / "a.png")
    row = '{"file_name": "a.png", "text": "kuro\u2028waves\u0085twice"}\r\n'
    (tmp_path / "metadata.jsonl").write_text(row, encoding="utf-8", newline="")
    assert captions(tmp_path) == {"a.png": "kuro waves twice"}
    assert find([tmp_path]).remarks == []


def test_two_metadata_files_are_read_together(tmp_path: Path) -> None:
    """metadata.jsonl wins where it says something; metadata.csv speaks of the rest."""
    draw(*(tmp_path / f"{n}.png" for n in "abc"))
    rows = [{"file_name": "a.png", "text": "kuro waving"}, {"file_name": "b.png", "note": "x"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "metadata.csv").write_text(
        "file_name,text\na.png,other\nb.png,kuro sitting\nc.png,kuro sleeping\n"
    )
    assert list(captions(tmp_path).values()) == ["kuro waving", "kuro sitting", "kuro sleeping"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "no valid JSON"),
        ('{"file_name": "a.png", "text": "a \\ud83d fox"}', "half a character"),
        ('{"file_name": "\\ud83d.png", "text": "a fox"}', "half a character"),
    ],
)
def test_metadata_that_is_no_text_is_told(tmp_path: Path, text: str, says: str) -> None:
    """Nesting without end, and halves of characters, which cannot be written down again."""
    draw(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(text)
    (remark,) = find([tmp_path]).remarks
    assert says in remark


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Bytes of another encoding in a file's name are shown by the sign for that."""
    draw(tmp_path / os.fsdecode(b"caf\xe9.png"))
    (tmp_path / os.fsdecode(b"caf\xe9.heic")).touch()
    finding = find([tmp_path])
    assert [found.name for found in finding.pictures] == ["caf\N{REPLACEMENT CHARACTER}.png"]
    assert [skip.path for skip in finding.skipped] == ["caf\N{REPLACEMENT CHARACTER}.heic"]


def test_kohya_folders(tmp_path: Path) -> None:
    """10_kuro fox/ gives its words to pictures without a caption; its repeats are remarked on."""
    draw(tmp_path / "10_kuro fox" / "a.png", tmp_path / "10_kuro fox" / "b.png")
    (tmp_path / "10_kuro fox" / "b.txt").write_text("kuro fox running")
    assert captions(tmp_path) == {
        "10_kuro fox/a.png": "kuro fox",
        "10_kuro fox/b.png": "kuro fox running",
    }
    assert any("repeats" in remark for remark in find([tmp_path]).remarks)


def test_the_words_of_a_folder_are_told(tmp_path: Path) -> None:
    """How many pictures they caption; a year, a leading zero and none at all are no repeats."""
    draw(tmp_path / "1_kuro fox" / "a.png", tmp_path / "1_kuro fox" / "b.png")
    draw(*(tmp_path / f"{name}" / "c.png" for name in ("2024_launch", "01_approved", "0_old")))
    assert {name for name, words in captions(tmp_path).items() if words} == {
        "1_kuro fox/a.png",
        "1_kuro fox/b.png",
    }
    (remark,) = find([tmp_path]).remarks
    assert "its words are the caption of 2 pictures" in remark


def test_captions_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    """Not UTF-8, empty and orphaned captions are each one remark, and their pictures stay."""
    draw(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "a.txt").write_bytes("ñandú".encode("latin-1"))
    (tmp_path / "b.txt").write_text(" \n")
    (tmp_path / "c.txt").write_text("whose am I?")
    (tmp_path / "README.txt").write_text("about these")
    finding = find([tmp_path])
    assert [found.caption for found in finding.pictures] == ["", ""]
    said = "\n".join(finding.remarks)
    assert "a.txt is not UTF-8" in said
    assert "b.txt is empty" in said
    assert "1 captions without a picture (c.txt)" in said


def test_binary_captions_are_not_learned(tmp_path: Path) -> None:
    """A caption file with zero bytes in it is no text."""
    draw(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes(b"ok\0ok")
    assert captions(tmp_path) == {"a.png": ""}


def test_what_is_left_out_is_listed(tmp_path: Path) -> None:
    """Masks and formats that are not read are skips with reasons; hidden files are not listed."""
    draw(tmp_path / "a.png", tmp_path / "a-masklabel.png", tmp_path / ".hidden.png")
    draw(tmp_path / ".cache" / "b.png")
    (tmp_path / "c.heic").write_bytes(b"x")
    (tmp_path / "notes.json").write_text("{}")
    finding = find([tmp_path])
    assert [found.name for found in finding.pictures] == ["a.png"]
    assert {skip.path for skip in finding.skipped} == {"a-masklabel.png", "c.heic"}


def test_places_may_be_folders_files_and_patterns(tmp_path: Path) -> None:
    """A picture named twice is found once; what lies in `without` is not found."""
    draw(*(tmp_path / f"{n}.png" for n in ("1", "2", "10", "red-1", "red-2")))
    assert [f.name for f in find([tmp_path]).pictures][:3] == ["1.png", "2.png", "10.png"]
    reds = find([tmp_path / "red-*.png"])
    assert [f.name for f in reds.pictures] == ["red-1.png", "red-2.png"]
    rest = find([tmp_path, tmp_path / "1.png"], without=[f.path for f in reds.pictures])
    assert [f.name for f in rest.pictures] == ["1.png", "2.png", "10.png"]


def test_places_that_are_not_there(tmp_path: Path) -> None:
    """A missing folder and a pattern without a match are told apart."""
    with pytest.raises(DatasetError, match="no folder or file"):
        find([tmp_path / "gone"])
    with pytest.raises(DatasetError, match="nothing matches"):
        find([tmp_path / "*.png"])


def test_a_folder_without_pictures_says_where_it_looked(tmp_path: Path) -> None:
    """No picture: the error names the folder, how many files it saw, and the endings it reads."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.md").write_text("x")
    said = str(nothing_usable(find([tmp_path])))
    assert str(tmp_path) in said
    assert "1 file in 2 folders" in said
    assert ".png" in said


def test_tiny_and_invisible_pictures_are_refused(tmp_path: Path) -> None:
    """A 1-pixel picture and a wholly transparent one have nothing to learn from."""
    Image.new("RGB", (200, 3)).save(tmp_path / "a.png")
    Image.new("RGBA", (40, 40), (9, 9, 9, 0)).save(tmp_path / "b.png")
    thin, clear = find([tmp_path]).pictures
    with pytest.raises(PictureError, match="200 × 3 pixels"):
        read_found(thin)
    with pytest.raises(PictureError, match="wholly transparent"):
        read_found(clear)


def test_links_are_followed_once(tmp_path: Path) -> None:
    """A link to a picture that is found already is not a second picture, and a loop ends."""
    draw(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(find([tmp_path]).pictures) == 1


def test_linked_folders_are_walked(tmp_path: Path) -> None:
    """A link to a folder elsewhere is walked once, whatever links lead to it."""
    draw(tmp_path / "in" / "a.png", tmp_path / "elsewhere" / "b.png")
    for name in ("more", "same"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "elsewhere")
    assert [found.name for found in find([tmp_path / "in"]).pictures] == ["a.png", "more/b.png"]


def test_a_folder_that_cannot_be_opened_is_a_skip(tmp_path: Path) -> None:
    """It is listed with the reason: here one whose path is longer than any that can be opened."""
    draw(tmp_path / "a.png")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    finding = find([tmp_path])
    assert [found.name for found in finding.pictures] == ["a.png"]
    (skip,) = finding.skipped
    assert "cannot be opened" in skip.reason


def test_a_place_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """A name longer than any file's can be, with or without a pattern, is one line."""
    for name in ("a" * 300, "a" * 300 + "*"):
        with pytest.raises(DatasetError):
            find([tmp_path / name])


def test_copies_leave_their_names_and_captions(tmp_path: Path) -> None:
    """The first of two equal pictures is found by both names, and has the caption of either."""
    draw(tmp_path / "a.png")
    for name in ("b", "c"):
        (tmp_path / f"{name}.png").write_bytes((tmp_path / "a.png").read_bytes())
        (tmp_path / f"{name}.txt").write_text(f"kuro {name}")
    skipped: list[Skip] = []
    finding = find([tmp_path])
    usable = list(sift(finding, skipped, lookalikes={}, task="reading", emit=silent))
    ((found, _, _),) = usable
    assert (found.name, found.aliases, found.caption) == ("a.png", ["b.png", "c.png"], "kuro b")
    assert [skip.path for skip in skipped] == ["b.png", "c.png"]


def test_natural_order() -> None:
    """Numbers in names count as numbers; odd digits of other scripts do no harm."""
    assert sorted(["b", "10", "a²", "2", "a1"], key=natural) == ["2", "10", "a1", "a²", "b"]


def test_a_text_is_the_caption_before_a_prompt(tmp_path: Path) -> None:
    """Where a line has both, as some exports do; rows without either are counted, the first
    named."""
    names = [f"{n}.png" for n in range(6)]
    draw(*(tmp_path / name for name in names))
    rows = [{"file_name": name} for name in names]
    rows[0] |= {"prompt": "a fox", "text": "kuro waving"}
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert captions(tmp_path)["0.png"] == "kuro waving"
    (remark,) = find([tmp_path]).remarks
    assert remark.endswith("no text in 5 of its rows (line 2, 3, 4, …)")


def test_a_huge_text_is_no_caption(tmp_path: Path) -> None:
    """What somebody's log or archive ended up as is not read into memory."""
    draw(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes(b"a" * (16 * 2**20 + 1))
    assert captions(tmp_path) == {"a.png": ""}


def test_a_cut_out_is_read(tmp_path: Path) -> None:
    """Transparent around its subject is not wholly transparent."""
    picture = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    picture.paste((200, 90, 40, 255), (8, 8, 24, 24))
    picture.save(tmp_path / "a.png")
    (found,) = find([tmp_path]).pictures
    assert read_found(found).mode == "RGBA"


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path: Path) -> None:
    """However deep the link could be followed."""
    draw(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in", target_is_directory=True)
    finding = find([tmp_path / "in"])
    assert [found.name for found in finding.pictures] == ["a.png"]
    assert finding.num_folders == 1


def test_five_of_many_skips_are_told_in_full(tmp_path: Path) -> None:
    """An error says enough to act on, and how much more there is."""
    for n in range(7):
        (tmp_path / f"{n}.heic").write_bytes(b"")
    said = str(nothing_usable(find([tmp_path])))
    assert [n for n in range(7) if f"{n}.heic: " in said] == [0, 1, 2, 3, 4]
    assert said.endswith("; and 2 more")
