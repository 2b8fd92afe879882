"""The cost table of a core: instructions by name, measured in the emulator and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import tempfile
from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from quant.errors import BoardError
from quant.gates import GatePattern
from quant.graph import IntegerGraph
from quant.model_file import write_atomically
from quant.reference import hop_of
from tinydsn.cache import cache_dir, locked
from tinydsn.codegen.board import Board
from tinydsn.codegen.build import build
from tinydsn.codegen.project import generate
from tinydsn.emulation import RunResult, run_qemu
from tinydsn.emulation.profile import FIRST, LAST
from tinydsn.estimate.keys import CostKey, front_end_key, operator_keys
from tinydsn.profiling.signal import speech_like

FRAMES = 96
"""Of a measuring run, with gates at random: enough for the mean of what depends on data."""
SCHEMA = 1


@dataclass(frozen=True)
class Runtime:
    """Instructions between operators: ``fixed`` a frame, and ``gates`` more where each gate is open."""

    fixed: float
    gates: tuple[float, ...]


@dataclass
class CostTable:
    """Mean instructions of one run of an operator by name, on one core; a file in the cache stands behind it.

    ``measured`` counts the programs that this object built and ran.
    """

    board: Board
    path: Path
    entries: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, dict[int, float]] = field(default_factory=dict)
    measured: int = 0

    def lookup(self, key: CostKey) -> float | None:
        """Instructions, measured or between two measured sizes; None for what lies outside."""
        if not key.size:
            return self.entries.get(key.form)
        known = self.sizes.get(key.form, {})
        if key.size in known:
            return known[key.size]
        ordered = sorted(known)
        place = bisect(ordered, key.size)
        if place in (0, len(ordered)):
            return None
        low, high = ordered[place - 1], ordered[place]
        share = (key.size - low) / (high - low)
        return (1 - share) * known[low] + share * known[high]

    def missing(self, keys: Iterable[CostKey]) -> list[CostKey]:
        """Those that have no figure."""
        return [key for key in keys if self.lookup(key) is None]

    def read(self) -> None:
        """Take over what other processes have measured meanwhile."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return  # a cache that is missing or damaged is measured again
        if isinstance(stored, dict) and stored.get("schema") == SCHEMA:
            self.entries |= stored["entries"]
            for form, sizes in stored["sizes"].items():
                self.sizes.setdefault(form, {}).update({int(size): cost for size, cost in sizes.items()})

    def write(self) -> None:
        """Store everything; the caller holds the lock."""
        values = {"schema": SCHEMA, "entries": self.entries, "sizes": self.sizes}
        write_atomically(self.path, json.dumps(values, indent=0, sort_keys=True).encode())


def open_table(board: Board) -> CostTable:
    """The table of a board's core. Raises BoardError for a board without an emulator."""
    if board.is_host or board.qemu is None:
        raise BoardError(
            f"{board.name}: instructions are counted in QEMU only, which does not have this board; "
            "choose one with an emulator (see `tinydsn boards`)"
        )
    digest = hashlib.sha256(repr((board.flags, board.qemu)).encode()).hexdigest()[:12]
    table = CostTable(board, cache_dir() / "costs" / f"{board.core}-{digest}.json")
    table.read()
    return table


def learn(table: CostTable, graph: IntegerGraph, keys: Iterable[CostKey]) -> None:
    """Measure ``graph`` unless everything of ``keys`` and its frame is known, also to other processes.

    Raises BoardError when the model does not fit, ToolchainError when a tool is missing or fails.
    """
    wanted = list(keys)
    with locked(table.path):
        table.read()
        if table.missing(wanted) or runtime_of(table, graph) is None:
            record(table, graph)
            table.write()


def record(table: CostTable, graph: IntegerGraph) -> None:
    """Build ``graph``, run it with gates at random, and note what its parts executed."""
    with tempfile.TemporaryDirectory(prefix="tinydsn-cost-") as name:
        folder = Path(name) / "project"
        project = generate(graph, table.board, folder, model_sha256="")
        elf = build(folder, table.board).elf
        rate = graph.frontend.sample_rate if graph.frontend else 16000
        pcm = speech_like(FRAMES * hop_of(graph), rate)
        gates = np.random.default_rng(5).random((FRAMES, graph.gates)) < 0.5
        run = run_qemu(elf, table.board, pcm, GatePattern("random", gates).words(FRAMES, graph.gates))
    table.measured += 1
    columns = _columns(run)
    functions = project.design.functions
    for operator, key in operator_keys(project.design, table.board).items():
        counts = columns.get(functions[operator])
        if counts is not None and np.any(counts > 0):
            _note(table, key, float(np.mean(counts[counts > 0])))
    if graph.frontend is not None:
        # There is no way back to PCM behind a front end without a mask.
        front = float(np.mean(columns[FIRST] + columns.get(LAST, 0)))
        table.entries.setdefault(front_end_key(project.design, table.board), front)
    # The first measurement of anything stays, so that costs do not depend on what was measured after it.
    table.entries = _runtime(graph, columns["runtime"].astype(np.float64), run.gates) | table.entries


def _columns(run: RunResult) -> dict[str, np.ndarray]:
    counts = run.operator_instructions
    assert counts is not None
    return {name: counts[:, index].astype(np.int64) for index, name in enumerate(run.operator_names)}


def _note(table: CostTable, key: CostKey, mean: float) -> None:
    if key.size:
        table.sizes.setdefault(key.form, {}).setdefault(key.size, mean)
    else:
        table.entries.setdefault(key.form, mean)


def _runtime(graph: IntegerGraph, counts: np.ndarray, gates: np.ndarray) -> dict[str, float]:
    """What runs between operators, as a sum over open gates by least squares (it is one)."""
    rows = np.column_stack([np.ones(len(counts)), gates.astype(np.float64)])
    found = np.linalg.lstsq(rows, counts, rcond=None)[0]
    name = _frame_name(graph)
    return {f"{name} {index}": float(value) for index, value in enumerate(found)}


def _frame_name(graph: IntegerGraph) -> str:
    """The frame's own code is short; what it copies and how often it calls is as good as the same for all
    precisions of one network."""
    shapes = sorted((state.tensor, graph.tensors[state.tensor].shape) for state in graph.states)
    parts = [graph.name, shapes, [(b.name, b.gate, len(b.outputs)) for b in graph.branches], graph.inputs]
    return f"frame {hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def runtime_of(table: CostTable, graph: IntegerGraph) -> Runtime | None:
    """What runs between the operators of a frame; None when it was not measured."""
    name = _frame_name(graph)
    values = [table.entries.get(f"{name} {index}") for index in range(graph.gates + 1)]
    if None in values:
        return None
    fixed, *gates = (float(value) for value in values if value is not None)
    return Runtime(fixed, tuple(gates))
