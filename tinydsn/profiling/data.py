"""A profile as plain rows, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tinydsn.report import PlanRow

SCHEMA = 1
ROUNDING = 3

MAC_KERNELS = "MAC kernels"
FRONT_END = "front end"
RUNTIME = "runtime"
UNEXPLAINED = "unexplained"

Counts = Mapping[str, float]
"""Gate pattern -> mean instructions a frame."""


@dataclass(frozen=True)
class Part:
    """Something that executes instructions: an operator, a step of the front end, or a part of the runtime.

    group: what kind of work it is. region: the gate it stands behind, or "". macs: multiply-accumulates of
    one execution. ran: share (0..1) of the frames in which it executed anything, by pattern. functions: mean
    instructions a frame by the function whose own code executed them, by pattern.
    """

    name: str
    group: str
    region: str
    macs: int
    instructions: Counts
    ran: Counts
    functions: Mapping[str, Counts]


@dataclass(frozen=True)
class GateRow:
    """What a gate adds to a frame and what it costs to skip its region, in mean instructions a frame.

    adds: with all gates on against all off, as far as it belongs to this region. operators: the part of it
    that the region's operators execute; the rest are calls, branches and copies. skipped: what the runtime
    executes between the operators on both sides of the region when all gates are off, beyond what it executes
    between any two operators. Of regions that replace each other only the operators count, with all gates on
    less those with all off. Regions with no operator between them share what lies between their neighbours.
    used: share of the frames in which the region runs, by pattern.
    """

    gate: str
    adds: float
    operators: float
    skipped: float
    used: Counts


@dataclass(frozen=True)
class Symbol:
    """Bytes of flash under one name."""

    name: str
    group: str
    bytes: int


@dataclass(frozen=True)
class Ram:
    """Bytes of RAM. states and scratch: (name, bytes); plan: the arena's buffers over the steps of a frame;
    in_use: bytes of the arena in use at each step; steps: what happens at each step."""

    total: int
    context: int
    states: tuple[tuple[str, int], ...]
    arena: int
    plan: tuple[PlanRow, ...]
    steps: tuple[str, ...]
    in_use: tuple[int, ...]


@dataclass(frozen=True)
class Frames:
    """Instructions of a frame with one gate pattern; p99 is the 99th percentile by nearest rank."""

    min: int
    mean: float
    p99: int
    max: int


@dataclass(frozen=True)
class Profile:
    """One model on one board. ``stack``: the most bytes below the caller's stack pointer, measured."""

    model: str
    model_sha256: str
    board: str
    core: str
    toolchain: Mapping[str, str | None]
    signal: str
    frames: int
    totals: Mapping[str, Frames]
    parts: tuple[Part, ...]
    gates: tuple[GateRow, ...]
    flash: int
    symbols: tuple[Symbol, ...]
    ram: Ram
    stack: int

    @property
    def patterns(self) -> tuple[str, ...]:
        """Gate patterns, in the order of the columns."""
        return tuple(self.totals)

    def by_group(self, pattern: str) -> dict[str, float]:
        """Mean instructions a frame by group of parts, the largest first."""
        found: dict[str, float] = {}
        for part in self.parts:
            found[part.group] = found.get(part.group, 0.0) + part.instructions[pattern]
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def share(self, group: str, pattern: str) -> float:
        """Share (0..1) of a group in a frame's mean instructions."""
        return self.by_group(pattern).get(group, 0.0) / self.totals[pattern].mean

    def non_mac_share(self, pattern: str) -> float:
        """Share (0..1) of a frame's mean instructions outside kernels that multiply and accumulate."""
        return 1.0 - self.share(MAC_KERNELS, pattern)

    def unexplained(self, pattern: str) -> float:
        """Share (0..1) of a frame's mean instructions that no part explains."""
        return self.share(UNEXPLAINED, pattern)

    def flash_by_group(self) -> dict[str, int]:
        """Bytes of flash by group of symbols, the largest first; they sum to ``flash``."""
        found: dict[str, int] = {}
        for symbol in self.symbols:
            found[symbol.group] = found.get(symbol.group, 0) + symbol.bytes
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def as_json(profile: Profile) -> dict[str, Any]:
    """What ``tinydsn profile --json`` prints; instructions are means a frame, rounded to three digits."""
    patterns = profile.patterns
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "model": profile.model,
        "model_sha256": profile.model_sha256,
        "board": profile.board,
        "core": profile.core,
        "toolchain": dict(profile.toolchain),
        "signal": profile.signal,
        "frames": profile.frames,
        "instructions": {name: asdict(total) for name, total in profile.totals.items()},
        "groups": {name: profile.by_group(name) for name in patterns},
        "non_mac_share": {name: profile.non_mac_share(name) for name in patterns},
        "unexplained": {name: profile.unexplained(name) for name in patterns},
        "parts": [asdict(part) for part in profile.parts],
        "gates": [asdict(row) for row in profile.gates],
        "flash": {
            "total": profile.flash,
            "groups": profile.flash_by_group(),
            "symbols": [asdict(symbol) for symbol in profile.symbols],
        },
        "ram": {**asdict(profile.ram), "states": dict(profile.ram.states)},
        "stack": profile.stack,
    }
    rounded: dict[str, Any] = _rounded(values)
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, ROUNDING if value >= 1 else 5)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
