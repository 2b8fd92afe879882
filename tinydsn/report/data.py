"""What a report is made of: plain arrays and numbers, checked once on the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from quant.errors import TinydsnError
from quant.gates import MAX_GATES

METRICS: Mapping[str, str] = MappingProxyType(
    {
        "SI-SDR": "scale-invariant signal-to-distortion ratio, dB",
        "SIG": "DNSMOS speech quality, 1 to 5",
        "BAK": "DNSMOS background quality, 1 to 5",
        "OVRL": "DNSMOS overall quality, 1 to 5",
    }
)
"""The metrics that get a tile, with their meaning."""

STATUSES = ("equal", "differs", "skipped", "failed")
"""What a cell of the equality matrix can be."""


class ReportError(TinydsnError):
    """A report cannot be made from what it was given."""


@dataclass(frozen=True)
class OperatorRow:
    """One operator: its work and cost.

    region: the gate it stands behind, or "". shape: of its output, as text. macs: multiply-accumulates of
    one execution. instructions: mean a frame, over the frames in which it ran; None where not counted.
    share: of all instructions of the run, 0..1, or None. source: the model's line that made it.
    weights: how many it has, of ``weight_bits`` each. patterns: gate pattern -> mean instructions a frame,
    over all frames (0 where it never ran); empty where not counted.
    """

    name: str
    kind: str
    region: str
    shape: str
    macs: int
    instructions: float | None
    share: float | None
    weight_bits: int | None
    activation_bits: int | None
    source: str = ""
    weights: int = 0
    patterns: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StateRow:
    """A value that lives from frame to frame: ``bits`` of an element, and ``bytes`` of all of it."""

    name: str
    bits: int
    bytes: int


@dataclass(frozen=True)
class PatternRow:
    """Instructions a frame with one gate pattern, on the report's board."""

    pattern: str
    min: int
    mean: float
    p99: int
    max: int


@dataclass(frozen=True)
class PlanRow:
    """A buffer of the arena: ``bytes`` at ``offset``, in use from operator index ``first`` to ``last``."""

    tensor: str
    offset: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Memory:
    """Sizes in bytes; None where not known. ``context`` is states + arena, ``weights`` a part of ``flash``.

    ``flash_limit`` and ``ram_limit`` are what the board has.
    """

    flash: int | None
    ram: int | None
    stack: int | None
    weights: int | None
    context: int | None
    plan: tuple[PlanRow, ...] = ()
    flash_limit: int | None = None
    ram_limit: int | None = None


@dataclass(frozen=True)
class SearchPoint:
    """A choice of bit widths. loss: of quality against the float network. flash: bytes of weights.

    instructions: mean a frame. departs: its gates open more, or less, often than the float network's.
    name: of a preset, or "" for a point of the front. widths: bits by name, ``<operator>.weight`` for
    weights.
    """

    name: str
    loss: float
    flash: int
    instructions: float
    departs: bool
    widths: Mapping[str, int]


@dataclass(frozen=True)
class SearchFront:
    """What ``tinydsn search`` found: points that none surpasses, and presets of one width beside them.

    quality: the measure of the loss; "si-sdr" is in dB.
    """

    model: str
    board: str
    quality: str
    evaluations: int
    front: tuple[SearchPoint, ...]
    presets: tuple[SearchPoint, ...] = ()


@dataclass(frozen=True)
class ReportData:
    """All that the page shows.

    noisy, enhanced, clean: int16 ``[samples]``, aligned (the delay of the front end is taken out).
    gates: bool ``[frames, gates]``, frame t covers the samples from ``t * hop``; gate_names: its columns.
    instructions: unsigned ``[frames]``, or None where they are not counted (host). patterns and operators:
    rows. results: the cells of ``tinydsn verify --json``. toolchain: what built it (cc, qemu, cmsis_nn,
    flags, python, tinydsn, or more). metrics: name -> (before, after), or None where not computed.
    clock_hz: the board's clock, or None. states: of the integer graph.
    search: the front to show, or None. Raises ReportError where the arrays do not fit together.
    """

    title: str
    model_name: str
    model_sha256: str
    board: str
    sample_rate: int
    hop: int
    clock_hz: int | None
    noisy: np.ndarray
    enhanced: np.ndarray
    gates: np.ndarray
    gate_names: Sequence[str]
    memory: Memory
    clean: np.ndarray | None = None
    instructions: np.ndarray | None = None
    patterns: Sequence[PatternRow] = ()
    operators: Sequence[OperatorRow] = ()
    results: Sequence[Mapping[str, Any]] = ()
    toolchain: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, tuple[float, float] | None] = field(default_factory=dict)
    notes: Sequence[str] = ()
    states: Sequence[StateRow] = ()
    search: SearchFront | None = None

    def __post_init__(self) -> None:
        for name in ("sample_rate", "hop"):
            if getattr(self, name) < 1:
                raise ReportError(f"report: {name} is {getattr(self, name)} (must be above 0)")
        if self.clock_hz is not None and self.clock_hz < 1:
            raise ReportError(f"report: clock_hz is {self.clock_hz} (must be above 0, or None)")
        for name in ("noisy", "enhanced", "clean"):
            _check_pcm(name, getattr(self, name), len(self.noisy))
        _check_gates(self.gates, len(self.gate_names))
        if self.instructions is not None and np.shape(self.instructions) != (len(self.gates),):
            raise ReportError(
                f"report: instructions has shape {np.shape(self.instructions)} "
                f"(must be ({len(self.gates)},), one count a frame)"
            )
        for row in self.results:
            if row.get("status") not in STATUSES:
                raise ReportError(
                    f"report: a result has status {row.get('status')!r} (must be {', '.join(STATUSES)})"
                )


def _check_pcm(name: str, samples: np.ndarray | None, length: int) -> None:
    if samples is None:
        return
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ReportError(
            f"report: {name} is {samples.dtype} of shape {samples.shape} (must be int16, one axis)"
        )
    if not length or len(samples) != length:
        raise ReportError(
            f"report: {name} has {len(samples)} samples, noisy has {length} (must be equal, and above 0)"
        )


def _check_gates(gates: np.ndarray, names: int) -> None:
    if gates.dtype != np.bool_ or gates.ndim != 2 or gates.shape[1] != names or names > MAX_GATES:
        raise ReportError(
            f"report: gates is {gates.dtype} of shape {gates.shape} with {names} names "
            f"(must be bool [frames, gates], one name a gate, at most {MAX_GATES})"
        )
