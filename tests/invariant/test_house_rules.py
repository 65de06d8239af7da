"""The house rules of the design, checked over the tree itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "onbrand"
BANNED_NAMES = {"utils", "util", "helpers", "common", "manager", "misc", "base"}
# built from halves, so that this file does not find itself
BANNED_WORDS = ("# no" + "qa", "type: " + "ignore", "TO" + "DO", "FIX" + "ME", "Magic" + "Mock")
MOST_LINES_PER_FILE = 400
MOST_LINES_PER_FUNCTION = 80


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


ALL_FILES = python_files("src", "tests", "examples", "scripts")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_module_is_named_for_nothing() -> None:
    """No file or folder of the package carries a name that says nothing (utils, helpers, …)."""
    bad = [p for p in PACKAGE.rglob("*") if p.stem.lower().strip("_") in BANNED_NAMES]
    assert not [p for p in bad if p.is_dir() or p.suffix == ".py"]


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    """Every file and every function can be read in one sitting."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES_PER_FILE
    long = {
        f"{node.name}, line {node.lineno}": (node.end_lineno or 0) - node.lineno + 1
        for node in functions(ast.parse(text))
    }
    assert {k: v for k, v in long.items() if v > MOST_LINES_PER_FUNCTION} == {}


@pytest.mark.parametrize("path", python_files("scripts"), ids=lambda p: p.name)
def test_no_script_that_trains_looks_through_a_twin(path: Path) -> None:
    """The contract of imports, which knows the package alone, holds for pretraining as well."""
    named = [
        name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    ]
    assert not [name for name in named if name.startswith("onbrand.models.twins")]


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_silenced_or_left_for_later(path: Path) -> None:
    """No linter is silenced, no work is left as a note, and nothing is mocked."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [
        f"{n}: {line}" for n, line in enumerate(lines, 1) if any(w in line for w in BANNED_WORDS)
    ]
    assert found == []


@pytest.mark.parametrize("path", python_files("src"), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_offers(path: Path) -> None:
    """Every module has a docstring and an __all__ whose names are defined and documented."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "no module docstring"
    offered: list[str] | None = None
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            offered = list(ast.literal_eval(node.value))
    assert offered is not None, "no __all__"
    defined = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    undocumented = [n for n in offered if n in defined and not ast.get_docstring(defined[n])]
    assert undocumented == []


@pytest.mark.parametrize("path", python_files("tests"), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_test_says_what_it_proves(path: Path) -> None:
    """Every test has a docstring whose first line says what it proves."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [
        node.name
        for node in functions(tree)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_only_models_loads_weights() -> None:
    """`from_pretrained` is called in the room `models` and nowhere else in the package."""
    callers = {
        path.relative_to(PACKAGE).parts[0]
        for path in python_files("src")
        if re.search(r"\bfrom_pretrained\(", path.read_text(encoding="utf-8"))
    }
    assert callers <= {"models"}


def test_no_code_asks_which_pack_it_has() -> None:
    """The built-in pack gets no branch of its own anywhere in the package."""
    asks = re.compile(r"""(==|!=|\bis|\bin)\s*\(?["']pocket["']""")
    asking = {
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in python_files("src")
        for line in path.read_text(encoding="utf-8").splitlines()
        if asks.search(line)
    }
    assert asking == set()


def test_the_shipped_weights_fit_their_budget() -> None:
    """All weights in the package together stay within the 48 MiB the design allows."""
    weights = [p for p in PACKAGE.rglob("*") if p.suffix in {".safetensors", ".onnx"}]
    assert sum(p.stat().st_size for p in weights) <= 48 * 2**20
    pickles = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}
    assert [p for p in PACKAGE.rglob("*") if p.suffix in pickles] == []


def test_real_pictures_are_not_copied_into_the_project() -> None:
    """No picture of ../shared/data lies in the tree: they are measured on, not shipped."""
    shared = ROOT.parent / "shared" / "data"
    if not shared.is_dir():
        pytest.skip(f"no folder {shared}")
    theirs = {
        p.stat().st_size: p for p in shared.rglob("*") if p.suffix in {".png", ".webp", ".jpg"}
    }
    copied = [
        p
        for folder in ("src", "docs", "examples", "tests")
        for p in (ROOT / folder).rglob("*")
        if p.suffix in {".png", ".webp", ".jpg"}
        and (other := theirs.get(p.stat().st_size)) is not None
        and other.read_bytes() == p.read_bytes()
    ]
    assert copied == []
