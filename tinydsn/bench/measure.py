"""Runs cases on emulated boards: equal bits first, then exact instruction counts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError, ToolchainError
from quant.nearest import unknown
from tinydsn.bench.case import Case
from tinydsn.bench.program import CALLER, FRAME, OURS, OUTPUTS, THEIRS, Builder, read_output
from tinydsn.bench.rows import KernelRow
from tinydsn.codegen.board import Board
from tinydsn.codegen.kernels import code_target
from tinydsn.emulation.host import run_process
from tinydsn.emulation.profile import AddressMap, read_counts
from tinydsn.emulation.qemu import COUNTS, counting, machine, semihosting

SECONDS = 60.0
BOARDS = ("mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547")
"""One board for each core: Cortex-M4, M7, M33, M55."""


def bench(
    cases: Sequence[Case], boards: Sequence[Board], progress: Callable[[int, int], None] | None = None
) -> list[KernelRow]:
    """Measure every case on every board.

    Raises BoardError for a board that QEMU does not have, ToolchainError when a tool is missing, or when a
    side's result differs from the NumPy meaning.
    """
    rows = []
    for board in boards:
        for row in _on_board(cases, board):
            rows.append(row)
            if progress:
                progress(len(rows), len(cases) * len(boards))
    return rows


def choose(cases: Sequence[Case], kernels: Sequence[str]) -> list[Case]:
    """Cases of the named kernels, all without names. Raises ConfigError for an unknown name."""
    names = list(dict.fromkeys(case.kernel for case in cases))
    for kernel in kernels:
        if kernel not in names:
            raise ConfigError(unknown("kernel", kernel, names))
    return [case for case in cases if not kernels or case.kernel in kernels]


def _on_board(cases: Sequence[Case], board: Board) -> Iterator[KernelRow]:
    machine(board)  # refuses a board without an emulator before anything is compiled
    target = code_target(board)
    with tempfile.TemporaryDirectory(prefix="tinydsn-bench-") as name:
        builder = Builder(board, Path(name))
        for case in cases:
            sides = case.sides(target)
            counts = _run(builder.build(case, sides), case, board, sides[1] is not None)
            yield KernelRow(case.kernel, case.shape, board.core, case.macs, counts[0], counts[1])


def _run(elf: Path, case: Case, board: Board, both: bool) -> tuple[int, int | None]:
    """Instructions of ours and of CMSIS-NN's, after their results were found equal."""
    with tempfile.TemporaryDirectory(prefix="tinydsn-run-") as name:
        folder = Path(name)
        counted = _address_map(elf)
        command = [*machine(board), *semihosting([]), "-kernel", str(elf), *counting(counted, folder)]
        where = f"on {board.name} in QEMU"
        code, text = run_process(command, folder, SECONDS, where)
        if code != 0:
            said = (text.strip().splitlines() or ["nothing printed"])[-1]
            raise ToolchainError(f"{case.kernel} {case.shape} failed {where} with exit code {code}: {said}")
        for side in (OURS, THEIRS) if both else (OURS,):
            found = read_output(folder / OUTPUTS[side], case.expected)
            differing = int(np.count_nonzero(found != case.expected))
            if differing:
                raise ToolchainError(
                    f"{case.kernel} {case.shape} {where}: {side} differs from the reference in {differing} "
                    f"of {found.size} values"
                )
        counts = read_counts(folder / COUNTS, counted.names)
    total = counts[:, :2].sum(axis=0)
    return int(total[0]), int(total[1]) if both else None


def _address_map(elf: Path) -> AddressMap:
    """The plugin's map: what one side calls counts as that side, until execution is back in the frame."""
    from elftools.elf.elffile import ELFFile

    with open(elf, "rb") as handle:
        table: Any = ELFFile(handle).get_section_by_name(".symtab")
        symbols = list(table.iter_symbols())
    places = {symbol.name: (symbol["st_value"] & ~1, symbol["st_size"]) for symbol in symbols}
    lines = ["columns 2"]
    for word, name in (("frame", FRAME), ("outside", CALLER)):
        low, size = places[name]
        lines.append(f"{word} {low:x} {low + size:x}")
    for column, name in enumerate((OURS, THEIRS)):
        if name in places:
            lines.append(f"operator {places[name][0]:x} {column:x}")
    return AddressMap("\n".join(lines) + "\n", (OURS, THEIRS, "runtime"))
