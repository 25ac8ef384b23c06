"""The shape of the house: a folder imports only from floors below its own, and the library never imports the bench."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "avalanche_snn"
FLOORS = {
    "spikes": 1,
    "datasets": 2,
    "neurons": 2,
    "models": 3,
    "benchmarks": 3,
    "training": 4,
    "evaluation": 4,
    "logging": 4,
    "checkpointing": 5,
}


def imported_modules(path: Path) -> set[str]:
    """Return the full names of what a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(str(node.module))
    return names


def test_every_folder_has_its_floor() -> None:
    assert {path.name for path in LIBRARY.iterdir() if (path / "__init__.py").exists()} == set(FLOORS)


@pytest.mark.parametrize("folder", FLOORS)
def test_a_folder_imports_only_from_below(folder: str) -> None:
    for path in (LIBRARY / folder).rglob("*.py"):
        for name in imported_modules(path):
            parts = name.split(".")
            assert parts[0] not in ("benchmarks", "strategies", "tests"), f"{path} imports {name}"
            if parts[0] == "avalanche_snn" and len(parts) > 1 and parts[1] != folder:
                assert FLOORS[parts[1]] < FLOORS[folder], f"{path} imports {name}, which is not below it"


def test_modules_stay_small() -> None:
    for folder in ("avalanche_snn", "benchmarks", "strategies"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, f"{path} has more than one job"
