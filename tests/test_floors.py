"""A module imports from its own floor and those below, never in a circle, and floor 0 imports jax alone."""

import ast
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "prefjax"
FLOORS = [
    ("types", "metrics", "ops", "errors", "losses", "advantages"),
    (
        "resolve",
        "sums",
        "axes",
        "host",
        "memory",
        "models",
        "sampling",
        "data",
        "worlds",
        "rewards",
        "judges",
        "config",
        "processes",
        "mesh",
        "optim",
        "files",
        "interrupt",
        "checkpoint",
        "saves",
        "mirrors",
        "log",
    ),
    ("algorithms", "evals", "reference", "adapters", "alarms", "budget", "label", "audit"),
    ("setup", "train", "together", "engines", "sweep", "plan", "commands", "evaluate", "report", "gate"),
    ("cli", "__main__"),
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module a file imports, at its top or inside a function, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    floor = FLOOR[room(path)]
    for name in imports(path):
        top, *rest = name.split(".")
        assert top not in ("configs", "experiments", "tests", "notebooks"), f"{path} imports {name}"
        if top == "prefjax" and rest and rest[0] in FLOOR and rest[0] != room(path):
            assert FLOOR[rest[0]] <= floor, f"{path} on floor {floor} imports {name} on floor {FLOOR[rest[0]]}"
        if floor == 0:
            assert top in ("jax", "prefjax", *sys.stdlib_module_names), f"{path} on floor 0 imports {name}"


def test_there_is_no_circle_of_imports():
    rooms = {room(path): set() for path in FILES}
    for path in FILES:
        rooms[room(path)] |= {n.split(".")[1] for n in imports(path) if n.startswith("prefjax.")} - {room(path)}
    while rooms:
        free = [name for name, needs in rooms.items() if not needs & rooms.keys()]
        assert free, f"these import each other: {sorted(rooms)}"
        for name in free:
            del rooms[name]


def test_every_room_has_a_floor():
    assert {room(path) for path in FILES} <= FLOOR.keys()


@pytest.mark.parametrize("folder", ["prefjax", "configs", "experiments"])
def test_nothing_that_runs_code_of_others_is_read(folder):
    unsafe = re.compile(r"pickle\.load|torch\.load|allow_pickle\s*=\s*True|trust_remote_code\s*=\s*True")
    files = [*(PACKAGE.parent / folder).rglob("*.py")]
    assert files
    assert [f"{path}: {found[0]}" for path in files if (found := unsafe.search(path.read_text()))] == []
