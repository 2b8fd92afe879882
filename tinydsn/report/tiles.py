"""The tiles at the top of the page: one number each, with what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinydsn.report.data import METRICS, ReportData
from tinydsn.report.text import compact, count, number, percent, signed, size

WARN, ERROR = 0.7, 1.0
"""Shares of the clock (or of a memory) from which a tile warns, and from which it is in error."""


@dataclass(frozen=True)
class Tile:
    """tone: "", "good", "warning" or "bad". meter: 0..1 for a bar under the number, or None."""

    label: str
    value: str
    lines: tuple[str, ...]
    tone: str = ""
    meter: float | None = None


def tiles(data: ReportData, numbers: Mapping[str, Any]) -> list[Tile]:
    """All tiles; ``numbers`` is `summary.summary` of the data."""
    cells = numbers["cells"]
    found = [_equality(cells), _instructions(data, numbers["instructions"])]
    if numbers["clock_share"]:
        found.append(_clock(data, numbers))
    memory = data.memory
    found.append(_memory("Flash", memory.flash, memory.flash_limit, "weights", memory.weights))
    found.append(_memory("RAM", memory.ram, memory.ram_limit, "states and arena", memory.context))
    found.append(Tile("Stack", size(memory.stack), ("most that was used, measured",)))
    if numbers["gate_usage"] is not None:
        usage = numbers["gate_usage"]
        lines = (f"of {len(data.gate_names)} gates, mean over {count(len(data.gates))} frames",)
        found.append(Tile("Gates taken", percent(usage), lines, meter=usage))
    found += [_metric(name, data.metrics[name]) for name in METRICS if name in data.metrics]
    return found


def _equality(cells: Mapping[str, int]) -> Tile:
    total = sum(cells.values())
    wrong, skipped = cells["differs"] + cells["failed"], cells["skipped"]
    if not total:
        return Tile("Bits equal", "not compared", ("run tinydsn verify",), "warning")
    lines = ["firmware against the integer reference, boards × gate patterns"]
    lines += [f"{cells[status]} {status}" for status in ("differs", "failed", "skipped") if cells[status]]
    tone = "bad" if wrong else "warning" if skipped else "good"
    return Tile("Bits equal", f"{cells['equal']} of {total}", tuple(lines), tone)


def _instructions(data: ReportData, counts: Mapping[str, float] | None) -> Tile:
    label = "Instructions a frame"
    if counts is None:
        return Tile(label, "not counted", (f"{data.board} has no instruction counter",))
    lines = tuple(f"{name} {count(counts[name])}" for name in ("mean", "min", "p99", "max"))
    return Tile(label, compact(counts["mean"]), lines)


def _clock(data: ReportData, numbers: Mapping[str, Any]) -> Tile:
    share, second = numbers["clock_share"], numbers["instructions_per_second"]
    lines = (
        f"worst frame; mean {percent(share['mean'])}",
        f"{compact(second['max'])} of {compact(data.clock_hz)}Hz",
        "instructions, not cycles",
    )
    return Tile("Share of the clock", percent(share["max"]), lines, _tone(share["max"]), share["max"])


def _memory(label: str, used: int | None, limit: int | None, part: str, inside: int | None) -> Tile:
    lines = [] if used is None else [f"{count(used)} bytes"]
    if inside is not None:
        lines.append(f"{part} {size(inside)}")
    if used is None or not limit:
        return Tile(label, size(used), tuple(lines))
    lines.append(f"{percent(used / limit)} of the board's {size(limit)}")
    tone = "bad" if used > limit else ""
    return Tile(label, size(used), tuple(lines), tone, used / limit)


def _metric(name: str, pair: tuple[float, float] | None) -> Tile:
    if pair is None or not all(map(math.isfinite, pair)):
        return Tile(name, "not computed", (METRICS[name],))
    before, after = pair
    unit = " dB" if name == "SI-SDR" else ""
    lines = (f"{number(before)} → {number(after)}{unit}", METRICS[name])
    return Tile(name, signed(after - before) + unit, lines, "good" if after > before else "warning")


def _tone(share: float) -> str:
    return "bad" if share > ERROR else "warning" if share > WARN else ""
