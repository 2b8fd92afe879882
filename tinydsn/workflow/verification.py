"""Compares the firmware with the integer reference, bit for bit: boards x gate patterns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import MissingTool, TinydsnError
from quant.gates import GatePattern, parse_pattern
from quant.reference import Enhanced, Pipeline, hop_of
from tinydsn.codegen.board import load_board
from tinydsn.workflow.difference import first_operator
from tinydsn.workflow.firmware import Firmware, build_firmware, load_share, overload, run_firmware, statistics
from tinydsn.workflow.models import Model

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One board with one gate pattern."""

    board: str
    pattern: str
    result: dict[str, Any]
    instructions: np.ndarray | None = None
    operator_instructions: np.ndarray | None = None
    operator_names: tuple[str, ...] = ()
    enhanced: np.ndarray | None = None
    stack: int | None = None


@dataclass(frozen=True)
class Verification:
    """All cells, the firmware of each board that could be built, and the reference of each pattern."""

    cells: tuple[Cell, ...]
    firmware: dict[str, Firmware]
    reference: dict[str, Enhanced]

    @property
    def all_equal(self) -> bool:
        """True when every cell ran and was equal."""
        return all(cell.result["status"] == "equal" for cell in self.cells)


def verify_model(
    model: Model,
    pcm: np.ndarray,
    boards: Sequence[str],
    patterns: Sequence[str],
    folder: Path,
    progress: Progress | None = None,
    workers: int = 2,
    known: Mapping[str, Enhanced] | None = None,
    kernels: str = "auto",
) -> Verification:
    """Run int16 ``pcm`` through the reference and through the firmware of every board and pattern.

    ``boards``: names or board files. ``folder`` receives one generated project a board.
    ``known``: references that were computed before. ``kernels``: see `build_firmware`.
    """
    say = progress or (lambda line: None)
    parsed = {name: parse_pattern(name) for name in patterns}
    firmware: dict[str, Firmware] = {}
    broken: dict[str, TinydsnError] = {}
    for board in boards:
        try:
            firmware[board] = build_firmware(model, board, folder / load_board(board).name, kernels=kernels)
            say(f"built for {board}")
        except MissingTool as error:
            broken[board] = error
    with ThreadPoolExecutor(workers) as pool:
        runs: dict[tuple[str, str], Future[Any]] = {
            (board, name): pool.submit(run_firmware, firmware[board], pcm, parsed[name])
            for board in firmware
            for name in patterns
        }
        ready = known or {}
        reference = {
            name: ready[name] if name in ready else _reference(model, pcm, parsed[name], say)
            for name in patterns
        }
        cells = []
        for board in boards:
            for name in patterns:
                future = runs.get((board, name))
                cell = _cell(
                    firmware.get(board), board, name, reference[name], future, broken.get(board), pcm
                )
                say(f"{board} {name}: {cell.result['status']}")
                cells.append(cell)
    return Verification(tuple(cells), firmware, reference)


def _reference(model: Model, pcm: np.ndarray, pattern: GatePattern, say: Progress) -> Enhanced:
    result = Pipeline(model.graph).run(pcm, pattern)
    say(f"reference {pattern.name}: {len(result.gates)} frames")
    return result


def _cell(
    firmware: Firmware | None,
    board: str,
    pattern: str,
    expected: Enhanced,
    future: Future[Any] | None,
    broken: TinydsnError | None,
    pcm: np.ndarray,
) -> Cell:
    row: dict[str, Any] = {
        "board": board,
        "gates": pattern,
        "status": "failed",
        "reason": "",
        "frames": 0,
        "samples": 0,
        "differing_samples": 0,
        "differing_gates": 0,
        "first_difference": None,
        "instructions": None,
    }
    if future is None or firmware is None:
        return Cell(board, pattern, {**row, "status": "skipped", "reason": str(broken)})
    try:
        run = future.result()
    except MissingTool as error:
        return Cell(board, pattern, {**row, "status": "skipped", "reason": str(error)})
    except TinydsnError as error:
        return Cell(board, pattern, {**row, "reason": str(error)})
    row |= compare(expected, run.pcm, run.gates, hop_of(firmware.model.graph))
    if row["status"] == "differs":
        frame = row["first_difference"]["frame"]
        row["first_difference"]["operator"] = first_operator(firmware, pcm, parse_pattern(pattern), frame)
    if run.instructions is not None:
        row["instructions"] = statistics(run.instructions)
        load = load_share(firmware, row["instructions"])
        if load["status"] == "error" and row["status"] == "equal":
            row |= {"status": "failed", "reason": overload(firmware.board, load)}
    return Cell(
        board,
        pattern,
        row,
        run.instructions,
        run.operator_instructions,
        run.operator_names,
        run.pcm,
        run.stack,
    )


def compare(expected: Enhanced, pcm: np.ndarray, gates: np.ndarray, hop: int) -> dict[str, Any]:
    """Samples and gates that differ, and the first frame in which anything does."""
    return compare_outputs(expected.pcm, expected.gates, pcm, gates, hop)


def compare_outputs(
    expected_pcm: np.ndarray, expected_gates: np.ndarray, pcm: np.ndarray, gates: np.ndarray, hop: int
) -> dict[str, Any]:
    """`compare` for int16 audio (of several channels ``[channels, samples]``) and gates ``[frames, gates]``
    of any two runs."""
    if pcm.shape != expected_pcm.shape or gates.shape != expected_gates.shape:
        wanted = f"expected {expected_pcm.size} and {expected_gates.shape}"
        reason = f"the firmware returned {pcm.size} samples and gates {gates.shape}, {wanted}"
        return {"status": "failed", "reason": reason}
    samples = np.sort(np.nonzero(pcm != expected_pcm)[-1])
    wrong_gates = np.argwhere(gates.astype(bool) != expected_gates.astype(bool))
    first = [int(samples[0]) // hop] if len(samples) else []
    first += [int(wrong_gates[0][0])] if len(wrong_gates) else []
    return {
        "status": "differs" if first else "equal",
        "frames": len(gates),
        "samples": pcm.size,
        "differing_samples": len(samples),
        "differing_gates": len(wrong_gates),
        "first_difference": {"frame": min(first), "operator": None} if first else None,
    }
