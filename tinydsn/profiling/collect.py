"""Runs firmware with each gate pattern and attributes what it executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from quant import ops
from quant.errors import BoardError
from quant.gates import GatePattern
from quant.graph import Branch, Graph, IntegerGraph, Operator
from quant.reference import hop_of
from tinydsn.codegen.board import Board
from tinydsn.codegen.build import BuildResult
from tinydsn.codegen.design import Design
from tinydsn.codegen.emit_gru import ABSORBED
from tinydsn.codegen.project import Project
from tinydsn.codegen.toolchain import versions
from tinydsn.emulation import RunResult, run_qemu
from tinydsn.emulation.profile import FIRST, LAST
from tinydsn.profiling.data import (
    FRONT_END,
    MAC_KERNELS,
    RUNTIME,
    UNEXPLAINED,
    Frames,
    GateRow,
    Part,
    Profile,
)
from tinydsn.profiling.flash import flash_symbols
from tinydsn.profiling.memory import ram
from tinydsn.profiling.stages import CELL_UPDATE, COPIES, STAGES, gate_names, operator_group, stage

OFF, ON = "min", "max"
HALVES = {FIRST: "analysis", LAST: "synthesis"}
PROCESS = "tinydsn_process"


class Model(Protocol):
    """An integer graph and the SHA-256 of its file."""

    @property
    def graph(self) -> IntegerGraph: ...

    @property
    def sha256(self) -> str: ...


class Firmware(Protocol):
    """A generated and linked project (`tinydsn.workflow.firmware.Firmware`)."""

    @property
    def model(self) -> Model: ...

    @property
    def board(self) -> Board: ...

    @property
    def project(self) -> Project: ...

    @property
    def built(self) -> BuildResult: ...


@dataclass(frozen=True)
class Measured:
    """One run: ``table`` as `RunResult.function_instructions`, as means a frame (float64)."""

    run: RunResult
    table: np.ndarray

    @property
    def operators(self) -> int:
        """Columns of the run that are operators or halves of the front end."""
        return len(self.run.operator_names) - 1


def require_counts(board: Board) -> None:
    """Raises BoardError for a board that is not emulated in QEMU."""
    if board.is_host or board.qemu is None:
        raise BoardError(
            f"{board.name}: instructions are counted in QEMU only, which does not have this board; "
            "choose one with an emulator (see `tinydsn boards`)"
        )


def profile_firmware(
    firmware: Firmware, pcm: np.ndarray, patterns: Sequence[GatePattern], signal: str
) -> Profile:
    """Send int16 ``pcm`` through ``firmware`` once a pattern; all off and all on are always among them.

    ``signal`` says what ``pcm`` is. Raises BoardError for a board that is not emulated in QEMU,
    ToolchainError when the emulator fails.
    """
    require_counts(firmware.board)
    wanted = {pattern.name: pattern for pattern in (*patterns, GatePattern(OFF), GatePattern(ON))}
    runs = {name: _measure(firmware, pcm, pattern) for name, pattern in wanted.items()}
    design, graph = firmware.project.design, firmware.model.graph
    folder = firmware.built.elf.parent
    return Profile(
        model=graph.name,
        model_sha256=firmware.model.sha256,
        board=firmware.board.name,
        core=firmware.board.core,
        toolchain=versions(),
        signal=signal,
        frames=len(runs[OFF].run.gates),
        totals={name: _frames(made.run) for name, made in runs.items()},
        parts=(
            *_operators(graph, design, runs),
            *_front_end(runs),
            *_runtime(runs),
        ),
        gates=_gates(graph, design.functions, runs),
        flash=firmware.built.flash,
        symbols=flash_symbols(firmware.built.elf, folder, design, firmware.built.flash),
        ram=ram(design, firmware.built.ram),
        stack=max(made.run.stack or 0 for made in runs.values()),
    )


def _measure(firmware: Firmware, pcm: np.ndarray, pattern: GatePattern) -> Measured:
    graph = firmware.model.graph
    words = pattern.words(-(-len(pcm) // hop_of(graph)), graph.gates)
    run = run_qemu(firmware.built.elf, firmware.board, pcm, words, by_function=True)
    assert run.function_instructions is not None
    return Measured(run, run.function_instructions.astype(np.float64) / len(run.gates))


def _frames(run: RunResult) -> Frames:
    assert run.instructions is not None
    rank = int(np.quantile(run.instructions, 0.99, method="inverted_cdf"))
    least, most = int(np.min(run.instructions)), int(np.max(run.instructions))
    return Frames(least, float(np.mean(run.instructions)), rank, most)


def _operators(graph: Graph, design: Design, runs: Mapping[str, Measured]) -> list[Part]:
    regions, names = graph.region_of(), gate_names(graph)
    columns, functions = _columns(runs), design.functions
    absorbed = _absorbed(design)
    parts = []
    for operator in graph.operators():
        if functions[operator.name] not in columns:
            continue  # a view, a comparison in the frame's own code, or a part of another operator
        rows = [columns[functions[operator.name]]]
        branch = regions[operator.name]
        part = Part(
            name=operator.name,
            group=operator_group(operator, graph),
            region=names[branch.gate] if branch else "",
            macs=ops.definition(operator.kind).macs(operator, graph.tensors),
            instructions={name: _sum(made, rows) for name, made in runs.items()},
            ran={name: _ran(made, rows[0]) for name, made in runs.items()},
            functions=_by_function(runs, rows),
        )
        inside = [made for made in graph.operators() if absorbed.get(made.name) == operator.name]
        parts += _split_cell(part, inside, graph) if inside else [part]
    return parts


def _absorbed(design: Design) -> dict[str, str]:
    """Operator -> the one that computes its result on the way (`tinydsn.codegen.emit_gru`)."""
    made = design.graph.operators()
    return {operator.name: str(operator.attributes["into"]) for operator in made if operator.kind == ABSORBED}


def _split_cell(part: Part, products: Sequence[Operator], graph: Graph) -> list[Part]:
    """A GRU cell as its products, with everything that serves them, and its update."""
    own = {name: counts for name, counts in part.functions.items() if name.startswith(CELL_UPDATE)}
    rest = {name: counts for name, counts in part.functions.items() if name not in own}
    macs = sum(ops.definition(product.kind).macs(product, graph.tensors) for product in products)

    def share(functions: Mapping[str, Mapping[str, float]], **changes: Any) -> Part:
        sums = {name: sum(counts[name] for counts in functions.values()) for name in part.instructions}
        return replace(part, functions=functions, instructions=sums, **changes)

    return [share(rest, name=f"{part.name}: products", group=MAC_KERNELS, macs=macs), share(own)]


def _front_end(runs: Mapping[str, Measured]) -> list[Part]:
    """Steps of the front end in their order; functions that belong to none come last, as unexplained."""
    steps: dict[str, list[tuple[int, str]]] = {}
    for column, row in _columns(runs).items():
        half = HALVES.get(column)
        if half is not None:
            for function in _functions(runs):
                steps.setdefault(stage(half, function) or f"{half}: {function}", []).append((row, function))
    parts = []
    for name, places in steps.items():
        known = any(stage(HALVES[_name(runs, row)], function) for row, function in places)
        made = _part(name, FRONT_END if known else UNEXPLAINED, runs, places)
        if any(made.instructions.values()):
            parts.append(made)
    return sorted(parts, key=_order)


def _order(part: Part) -> int:
    """Steps as a frame runs through them: `STAGES` is in that order; unexplained ones last."""
    names = list(dict.fromkeys(STAGES.values()))
    return names.index(part.name) if part.name in names else len(names)


def _runtime(runs: Mapping[str, Measured]) -> list[Part]:
    """The frame's own code, what it copies, and whatever else ran between operators."""
    operators = next(iter(runs.values())).operators
    rows = range(operators, 2 * operators + 1)
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for function in _functions(runs):
        base = function.split(".")[0]
        if base == PROCESS:
            key = ("branches, gates and calls", RUNTIME)
        elif base in COPIES:
            key = ("copies of states and outputs", RUNTIME)
        else:
            key = (f"between operators: {function}", UNEXPLAINED)
        groups.setdefault(key, []).extend((row, function) for row in rows)
    parts = [_part(name, group, runs, places) for (name, group), places in groups.items()]
    return [part for part in parts if any(part.instructions.values())]


def _gates(graph: Graph, functions: Mapping[str, str], runs: Mapping[str, Measured]) -> tuple[GateRow, ...]:
    names = gate_names(graph)
    branches: dict[int, list[Branch]] = {}
    for branch in graph.branches:
        branches.setdefault(branch.gate, []).append(branch)
    rows = []
    for gate, regions in sorted(branches.items()):
        costs = [_region(branch, functions, runs) for branch in regions]
        rows.append(
            GateRow(
                gate=names[gate],
                adds=sum(cost[0] for cost in costs),
                operators=sum(cost[1] for cost in costs),
                skipped=sum(cost[2] for cost in costs),
                used={name: float(np.mean(made.run.gates[:, gate])) for name, made in runs.items()},
            )
        )
    return tuple(rows)


def _region(
    branch: Branch, functions: Mapping[str, str], runs: Mapping[str, Measured]
) -> tuple[float, float, float]:
    """(what the region adds, what its operators execute, what the runtime executes where it is skipped)."""
    columns, off, on = _columns(runs), runs[OFF], runs[ON]
    body = sorted(columns[functions[op.name]] for op in branch.body if functions[op.name] in columns)
    if not body:
        return 0.0, 0.0, 0.0
    if not branch.plain:
        more = _sum(on, body) - _sum(off, body)
        return more, more, 0.0
    operators, work = on.operators, _sum(on, body)
    behind = body[-1] + 1
    next_off = next((i for i in range(behind, operators) if off.table[i].any()), operators)
    skipped = max(0.0, _sum(off, [operators + next_off]) - _plain_call(off))
    around = _sum(on, [operators + row for row in (*body, min(behind, operators))])
    return work + around - _plain_call(off) - skipped, work, skipped


def _plain_call(made: Measured) -> float:
    """What the runtime executes between two operators that nothing lies between."""
    before = [_sum(made, [made.operators + i]) for i in range(1, made.operators) if made.table[i].any()]
    return float(np.median(before)) if before else 0.0


def _columns(runs: Mapping[str, Measured]) -> dict[str, int]:
    """C function of an operator (or half of the front end) -> its row in the tables."""
    made = next(iter(runs.values()))
    return {name: index for index, name in enumerate(made.run.operator_names[:-1])}


def _name(runs: Mapping[str, Measured], row: int) -> str:
    return next(iter(runs.values())).run.operator_names[row]


def _functions(runs: Mapping[str, Measured]) -> tuple[str, ...]:
    return next(iter(runs.values())).run.function_names


def _sum(made: Measured, rows: Sequence[int]) -> float:
    return float(np.sum(made.table[list(rows)]))


def _ran(made: Measured, column: int) -> float:
    assert made.run.operator_instructions is not None
    return float(np.mean(made.run.operator_instructions[:, column] > 0))


def _by_function(runs: Mapping[str, Measured], rows: Sequence[int]) -> dict[str, dict[str, float]]:
    """Function -> pattern -> mean instructions, of functions that executed any, the largest first."""
    sums = {name: np.sum(made.table[list(rows)], axis=0) for name, made in runs.items()}
    largest = np.max(list(sums.values()), axis=0)
    names = _functions(runs)
    order = [int(index) for index in np.argsort(-largest, kind="stable") if largest[index] > 0]
    return {names[index]: {name: float(column[index]) for name, column in sums.items()} for index in order}


def _part(name: str, group: str, runs: Mapping[str, Measured], places: Sequence[tuple[int, str]]) -> Part:
    """A part made of single (row, function) cells of the tables."""
    index = {function: number for number, function in enumerate(_functions(runs))}
    functions: dict[str, dict[str, float]] = {}
    for row, function in places:
        for pattern, made in runs.items():
            cell = float(made.table[row, index[function]])
            into = functions.setdefault(function, {})
            into[pattern] = into.get(pattern, 0.0) + cell
    functions = {function: counts for function, counts in functions.items() if any(counts.values())}
    totals = {pattern: sum(counts[pattern] for counts in functions.values()) for pattern in runs}
    return Part(name, group, "", 0, totals, {pattern: 1.0 for pattern in runs}, functions)
