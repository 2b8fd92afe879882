"""The points of tasks: a network at several precisions, or with maps of one bit beside ReLUs.

What a precision is for is **flash**: such a network is compared with the same weights in ``w8a8`` by its
bytes, instructions stand beside it. There is no static network of equal cost; ``Point.reference`` says what
stands for one. Maps of one bit are compared with ReLUs by instructions, both in the shipped precision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinydsn.workflow.comparison_points import (
    BASE,
    DEVICE,
    HEADLINES,
    SHIPPED,
    Point,
    Reference,
    bits,
    measured_card,
    metadata,
)


def task_points(tasks: Mapping[str, Path]) -> list[Point]:
    """A point a precision of a GRU, and the shipped precision of a predictor.

    Rows without instructions on ``DEVICE``, and cards of tasks without a headline metric, give none.
    Raises ModelFileError for a checkpoint without a card of its graph.
    """
    found = [point for name, path in tasks.items() for point in _points(name, path)]
    relus = {p.task: p for p in found if (p.system, p.role) == ("predictor", "reference")}
    return [
        replace(point, reference=_reference(relus[point.task]))
        if (point.system, point.role) == ("predictor", "scheme") and point.task in relus
        else point
        for point in found
    ]


def _points(name: str, checkpoint: Path) -> list[Point]:
    card, said = measured_card(checkpoint), metadata(checkpoint)
    system, task = str(said.get("model")), str(card.get("task"))
    rows = {row["precision"]: row for row in card["test"].get("rows", ()) if HEADLINES.get(task) in row}
    told = rows.get("float", {}).get(HEADLINES.get(task))
    kept = {precision: row for precision, row in rows.items() if DEVICE in row}
    if system == "predictor":
        role = "scheme" if json.loads(said.get("config", "{}")).get("binary") else "reference"
        row = kept.get(SHIPPED)
        return [_point(row, system, name, role, task, told)] if row else []
    points = {
        precision: _point(
            row, system, f"{name} {precision}", "reference" if precision == BASE else "scheme", task, told
        )
        for precision, row in kept.items()
    }
    base = points.get(BASE)
    return [
        point
        if base is None or point is base
        else replace(point, reference=_reference(base, kept[precision].get(f"against_{BASE}")))
        for precision, point in points.items()
    ]


def _point(
    row: Mapping[str, Any], system: str, name: str, role: str, task: str, float_quality: float | None
) -> Point:
    """The point of a row; instructions as counted, where the row notes a run."""
    metric, device = HEADLINES[task], row.get("device") or {}
    interval = row.get("intervals", {}).get(metric) or {}
    counts = device.get("instructions") or {}
    return Point(
        system=system,
        point=name,
        metric=metric,
        quality=row[metric],
        low=interval.get("low"),
        high=interval.get("high"),
        instructions=counts.get("mean", row[DEVICE]["instructions"]),
        board=DEVICE,
        static_at_equal_cost=None,
        equal_bits=bits(device.get("status")),
        role=role,
        task=task,
        weight_flash=row[DEVICE]["flash"],
        ram=(device.get("memory") or {}).get("ram"),
        counted="mean" in counts,
        float_quality=float_quality,
    )


def _reference(base: Point, loss: Mapping[str, float] | None = None) -> Reference:
    return Reference(base.point, base.quality, base.instructions, base.weight_flash, loss)
