"""The equality matrix: boards in rows, gate patterns in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinydsn.report.text import compact, count

SYMBOLS = {"equal": "✓", "differs": "✗", "failed": "!", "skipped": "–"}


@dataclass(frozen=True)
class MatrixCell:
    """status: of one board with one pattern; lines: what to say about it."""

    status: str
    symbol: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """rows: (board, one cell a pattern, None where it was not tried)."""

    patterns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[MatrixCell | None, ...]], ...]


def matrix(results: Sequence[Mapping[str, Any]]) -> Matrix:
    """The cells of ``tinydsn verify --json`` as a table, boards and patterns in their first order."""
    patterns = tuple(dict.fromkeys(str(row["gates"]) for row in results))
    boards = tuple(dict.fromkeys(str(row["board"]) for row in results))
    cells = {(str(row["board"]), str(row["gates"])): _cell(row) for row in results}
    rows = [(board, tuple(cells.get((board, pattern)) for pattern in patterns)) for board in boards]
    return Matrix(patterns, tuple(rows))


def _cell(row: Mapping[str, Any]) -> MatrixCell:
    status = str(row["status"])
    lines = []
    if status in ("equal", "differs"):
        lines.append(f"{count(row.get('frames') or 0)} frames")
    if status == "differs":
        samples, wrong = row.get("samples") or 0, row.get("differing_samples") or 0
        lines.append(f"{count(wrong)} of {count(samples)} samples")
        if row.get("differing_gates"):
            lines.append(f"{count(row['differing_gates'])} gates")
        first = row.get("first_difference")
        if first:
            operator = f" in {first['operator']}" if first.get("operator") else ""
            lines.append(f"first in frame {first['frame']}{operator}")
    if row.get("reason"):
        lines.append(str(row["reason"]))
    instructions = row.get("instructions")
    if instructions:
        lines.append(f"{compact(instructions['mean'])} instructions, worst {compact(instructions['max'])}")
    return MatrixCell(status, SYMBOLS[status], tuple(lines))
