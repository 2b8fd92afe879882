"""The front of a search as marks on a plane: loss upwards, bytes of weights to the right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinydsn.report.data import SearchFront, SearchPoint
from tinydsn.report.text import count, loss

WEIGHT = ".weight"
SHOWN = 0.9
"""The loss axis ends a little above this quantile of all points, so that ruins do not flatten the rest."""
MARGIN = 0.06


@dataclass(frozen=True)
class Mark:
    """A point at shares x (0..1, rightwards) and y (0..1, downwards); heat: 0 (fewest instructions) to 1."""

    kind: str
    name: str
    x: float
    y: float
    heat: float
    text: str


@dataclass(frozen=True)
class Row:
    """A line of the table: the point, its title, and its widths as text ("3–8")."""

    title: str
    point: SearchPoint
    weights: str
    others: str


@dataclass(frozen=True)
class Chart:
    """Marks and rows, and the ends of the axes. hidden: points above the axis, which have no mark."""

    marks: tuple[Mark, ...]
    rows: tuple[Row, ...]
    left: int
    right: int
    bottom: float
    top: float
    least: float
    most: float
    hidden: int


def chart(found: SearchFront | None) -> Chart | None:
    """Lays a search out; None without one, or without a point."""
    if found is None or not found.front:
        return None
    points = [*found.front, *found.presets]
    left, right = _ends([float(point.flash) for point in points])
    losses = sorted(point.loss for point in points)
    bottom, top = _ends(losses[: max(1, math.ceil(SHOWN * len(losses)))])
    least, most = _span(point.instructions for point in found.front)
    marks, rows = [], []
    for index, point in enumerate(points):
        title = point.name or f"front {index + 1}"
        rows.append(Row(title, point, _widths(point, True), _widths(point, False)))
        if point.loss <= top:
            heat = (point.instructions - least) / (most - least) if most > least else 0.0
            text = (
                f"{title}: loss {loss(point.loss)}, {count(point.flash)} bytes, "
                f"{count(point.instructions)} instructions a frame"
            )
            x, y = (point.flash - left) / (right - left), (top - point.loss) / (top - bottom)
            kind = "preset" if point.name else "front"
            marks.append(Mark(kind, point.name, x, y, min(max(heat, 0.0), 1.0), text))
    # The front lies over the presets.
    marks.sort(key=lambda mark: mark.kind == "front")
    shown = (tuple(marks), tuple(rows), round(left), round(right), bottom, top, least, most)
    return Chart(*shown, len(points) - len(marks))


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = _span(values)
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _span(values: Iterable[float]) -> tuple[float, float]:
    held = list(values)
    return min(held), max(held)


def _widths(point: SearchPoint, weights: bool) -> str:
    bits = [value for name, value in point.widths.items() if name.endswith(WEIGHT) == weights]
    if not bits:
        return "–"
    low, high = min(bits), max(bits)
    return str(low) if low == high else f"{low}–{high}"
