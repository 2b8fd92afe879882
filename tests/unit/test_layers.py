"""Imports run one way: each part of tinydsn only from the parts after it, and quant from none of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER = (
    *("__main__", "cli", "api", "doctor", "testing", "workflow", "search", "evaluation"),
    *("estimate", "bench", "profiling"),
    *("report", "emulation", "codegen", "lowering", "tasks", "training", "models", "nn", "audio"),
    *("cache", "cards"),
)


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(path: Path) -> str:
    return path.relative_to(ROOT / "tinydsn").parts[0].removesuffix(".py")


FILES = sorted((ROOT / "tinydsn").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    if path == ROOT / "tinydsn" / "__init__.py":
        return  # the two public functions import what they need when they are called
    own = ORDER.index(part(path))
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "tinydsn" and len(parts) > 1 and parts[1] in ORDER:
            assert ORDER.index(parts[1]) >= own, f"{path} imports {name}"


def test_every_part_has_its_place() -> None:
    assert {part(path) for path in FILES} - {"__init__"} == set(ORDER)


def test_quant_knows_nothing_of_tinydsn() -> None:
    for path in (ROOT / "quant").rglob("*.py"):
        assert not [name for name in imported(path) if name.split(".")[0] in ("tinydsn", "torch")], path
