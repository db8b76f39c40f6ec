"""What the import contract (`lint-imports`) does not see: hidden imports, equal names, sizes."""

import ast
import re
from collections import Counter

import pytest

from tests.support.paths import ROOT

FLOORS = ("data_gen", "dmenet_tf", "serving")  # from the lowest
MODULES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
LINES_MAX = 320
ENTRY_NAMES = {"__init__", "__main__"}


def string_constants(path):
    """The strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if text and id(node) not in documentation:
            yield node.value


@pytest.mark.parametrize("floor", FLOORS[:-1])
def test_no_upward_import_is_hidden_in_a_string(floor):
    above = "|".join(FLOORS[FLOORS.index(floor) + 1 :])
    for path in (ROOT / floor).rglob("*.py"):
        for text in string_constants(path):
            assert not re.fullmatch(rf"({above})(\.\w+)+(:\w+)?", text), f"{path}: {text!r}"


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=str)
def test_no_module_shares_its_name_with_one_beside_or_above_it(folder):
    """In one room, in the rooms below it, and at the root of its package a name means one thing."""
    names = Counter(path.stem for path in folder.glob("*.py") if path.stem not in ENTRY_NAMES)
    names += Counter(path.name for path in folder.iterdir() if (path / "__init__.py").exists())
    assert max(names.values(), default=1) == 1
    if folder.parent != ROOT:
        root = ROOT / folder.relative_to(ROOT).parts[0]
        assert not names.keys() & {path.stem for path in root.glob("*.py")} - ENTRY_NAMES


def test_a_file_can_be_read_in_one_go():
    files = [*MODULES, *(ROOT / "tests").rglob("*.py")]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {str(path): count for path, count in lines.items() if count > LINES_MAX}


def test_no_test_imports_another_test():
    for path in (ROOT / "tests").rglob("*.py"):
        found = re.search(
            r"^\s*(from|import) (tests\.\w+\.)?test_\w+", path.read_text("utf-8"), re.M
        )
        assert not found, f"{path}: {found[0]}"
