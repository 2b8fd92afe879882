"""Shapes for inline SVG: paths over frames, and the rectangles of a memory plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinydsn.report.data import OperatorRow, PlanRow

HEIGHT = 1000
"""Height of the coordinate system of `steps_path`."""
# A label needs this share of the map's width and height, or it would only be clipped.
LABEL_WIDTH, LABEL_HEIGHT = 0.09, 0.07


def gate_path(taken: np.ndarray, step: int = 1) -> str:
    """One closed path with a unit-high box for each run of true in bool ``[columns]``, ``step`` wide each."""
    edges = np.diff(np.concatenate([[0], taken.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1) * step, np.flatnonzero(edges == -1) * step
    return "".join(f"M{a} 0H{b}V1H{a}z" for a, b in zip(starts.tolist(), ends.tolist(), strict=True))


def steps_path(values: np.ndarray, top: float, step: int = 1) -> str:
    """A staircase: ``values[t]`` (0..top) from x = t * step to (t + 1) * step; y = 0 is ``top``."""
    heights = np.rint(HEIGHT * (1 - np.asarray(values, np.float64) / max(top, 1))).astype(int).tolist()
    return "".join(f"{'V' if t else 'M0 '}{y}H{(t + 1) * step}" for t, y in enumerate(heights))


@dataclass(frozen=True)
class Box:
    """A rectangle of the memory map: shares (0..1) of the map's width and height, y down from the top."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    row: PlanRow
    labelled: bool


@dataclass(frozen=True)
class MemoryMap:
    """Rectangles, the arena's size in bytes, the operators' number, and where most bytes are in use."""

    boxes: tuple[Box, ...]
    size: int
    steps: int
    busiest: int
    in_use: int


def memory_map(plan: Sequence[PlanRow], colours: int = 8) -> MemoryMap | None:
    """Lays a memory plan out: operators from left to right, addresses upwards; None without a plan."""
    rows = [row for row in plan if row.bytes > 0]
    if not rows:
        return None
    size = max(row.offset + row.bytes for row in rows)
    steps = max(row.last for row in rows) + 1
    use = np.zeros(steps, np.int64)
    boxes = []
    for index, row in enumerate(rows):
        first = max(row.first, 0)
        use[first : row.last + 1] += row.bytes
        width, height = (row.last + 1 - first) / steps, row.bytes / size
        y = 1 - (row.offset + row.bytes) / size
        shown = width >= LABEL_WIDTH and height >= LABEL_HEIGHT
        boxes.append(Box(first / steps, y, width, height, index % colours, row, shown))
    return MemoryMap(tuple(boxes), size, steps, int(np.argmax(use)), int(np.max(use)))


@dataclass(frozen=True)
class Bar:
    """The width of operator ``name``, the ``x``-th of its strip."""

    x: int
    bits: int
    name: str


@dataclass(frozen=True)
class WidthStrip:
    """Bit widths in the order of execution. text: how many operators have which. count: of all operators."""

    name: str
    text: str
    count: int
    bars: tuple[Bar, ...]


def width_strips(operators: Sequence[OperatorRow]) -> list[WidthStrip]:
    """Weights and outputs of operators; a strip that would be empty is left out.

    The strip of weights holds only the operators that have some.
    """
    named = {
        "Weights": [(row.name, row.weight_bits) for row in operators if row.weight_bits],
        "Outputs": [(row.name, row.activation_bits) for row in operators if row.activation_bits],
    }
    return [_width_strip(name, widths) for name, widths in named.items() if widths]


def _width_strip(name: str, widths: Sequence[tuple[str, int]]) -> WidthStrip:
    bars = tuple(Bar(x, bits, operator) for x, (operator, bits) in enumerate(widths))
    found = sorted({bits for _, bits in widths})
    counts = {bits: sum(held == bits for _, held in widths) for bits in found}
    text = ", ".join(f"{bits} bits in {counts[bits]}" for bits in found)
    return WidthStrip(name, text, len(widths), bars)
