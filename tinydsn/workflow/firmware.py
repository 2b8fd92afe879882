"""An integer graph becomes an executable for one board, and audio goes through it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.graph import IntegerGraph
from quant.reference import Pipeline, hop_of
from tinydsn.codegen.board import Board, board_names, load_board
from tinydsn.codegen.build import BuildResult, build
from tinydsn.codegen.project import Memory, Project, SelfTest, generate
from tinydsn.codegen.toolchain import find_qemu, static_library
from tinydsn.emulation import RunResult, run_host, run_qemu
from tinydsn.workflow.models import Model

SELFTEST_FRAMES = 64
WARN_LOAD = 0.7


@dataclass(frozen=True)
class Firmware:
    """A generated and linked project."""

    model: Model
    board: Board
    project: Project
    built: BuildResult
    kernels: str = "auto"


def build_firmware(
    model: Model, board_name: str, folder: Path, emulated: bool = True, kernels: str = "auto"
) -> Firmware:
    """Generate the project of ``model`` for a board into ``folder`` and link its application.

    ``kernels``: see `tinydsn.codegen.kernels.code_target`.
    Raises BoardError when the model does not fit, MissingTool when there is no compiler (or, to be
    ``emulated``, no emulator); nothing is then left in ``folder``.
    """
    board = load_board(board_name)
    if emulated and board.qemu is not None:
        find_qemu()
    static_library(board)
    project = generate(model.graph, board, folder, model_sha256=model.sha256, kernels=kernels)
    try:
        return Firmware(model, board, project, build(project.folder, board), kernels)
    except BaseException:
        shutil.rmtree(project.folder, ignore_errors=True)
        raise


def run_firmware(firmware: Firmware, pcm: np.ndarray, pattern: GatePattern) -> RunResult:
    """Send int16 ``pcm`` through the firmware on its emulated board (or the host)."""
    return run_program(
        firmware.built.elf, firmware.board, pcm, forced_words(firmware.model.graph, pcm, pattern)
    )


def run_program(elf: Path, board: Board, pcm: np.ndarray, words: np.ndarray | None) -> RunResult:
    """Send int16 ``pcm`` through a linked program on its emulated board (or the host); ``words``: forced
    gates, uint32 [frames]."""
    return run_host(elf, pcm, words) if board.is_host else run_qemu(elf, board, pcm, words)


def forced_words(graph: IntegerGraph, pcm: np.ndarray, pattern: GatePattern) -> np.ndarray | None:
    """Gate words uint32 [frames] for the whole recording, or None when the policy decides."""
    frames = -(-len(pcm) // hop_of(graph))
    return pattern.words(frames, graph.gates)


def trace_firmware(
    firmware: Firmware, folder: Path, pcm: np.ndarray, pattern: GatePattern, frame: int
) -> tuple[tuple[int, bytes], ...]:
    """Build the project once more into ``folder``, with tracing: (operator's index, bytes of its output) of
    all operators that ran in ``frame``."""
    model, board = firmware.model, firmware.board
    generate(model.graph, board, folder, model_sha256=model.sha256, kernels=firmware.kernels)
    elf = build(folder, board, ["TINYDSN_TRACE"]).elf
    words = forced_words(model.graph, pcm, pattern)
    if board.is_host:
        return run_host(elf, pcm, words, trace=frame).trace
    return run_qemu(elf, board, pcm, words, profile=False, trace=frame).trace


@dataclass(frozen=True)
class Figures:
    """What a header states about a build: bytes, and sentences about instructions."""

    memory: Memory
    lines: tuple[str, ...]


def measure(model: Model, board: Board, selftest: SelfTest | None, kernels: str = "auto") -> Figures | None:
    """Build and run the self-test's recording with gates learned, all off and all on.

    None for the host, and where a compiler or the emulator is missing.
    """
    if board.is_host:
        return None
    pcm = record_selftest(model.graph).pcm
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "project"
            project = generate(
                model.graph, board, folder, model_sha256=model.sha256, selftest=selftest, kernels=kernels
            )
            firmware = Firmware(model, board, project, build(folder, board), kernels)
            runs = {
                name: run_firmware(firmware, pcm, GatePattern(name)) for name in ("learned", "min", "max")
            }
    except MissingTool:
        return None
    lines = []
    for name, run in runs.items():
        assert run.instructions is not None
        load = load_share(firmware, statistics(run.instructions))
        rates = load["instructions_per_second"]
        lines.append(
            f"Gates {name}: mean {rates['mean']:,}, worst {rates['worst']:,} instructions a second, "
            f"{100 * load['worst_share']:.0f} % of the clock of {board.clock_hz:,} Hz ({load['status']})."
        )
    stack = max(run.stack or 0 for run in runs.values())
    return Figures(Memory(firmware.built.flash, firmware.built.ram, stack), tuple(lines))


def statistics(instructions: np.ndarray) -> dict[str, int]:
    """Instructions a frame: min, mean (rounded), 99th percentile (nearest rank) and max."""
    ordered = np.sort(instructions)
    rank = max(0, -(-len(ordered) * 99 // 100) - 1)
    return {
        "min": int(ordered[0]),
        "mean": int(round(float(np.mean(ordered)))),
        "p99": int(ordered[rank]),
        "max": int(ordered[-1]),
    }


def record_selftest(graph: IntegerGraph) -> SelfTest:
    """Input and expected output of the self-test: ``SELFTEST_FRAMES`` hops of a chirp in noise."""
    rng = np.random.default_rng(64)
    samples = SELFTEST_FRAMES * hop_of(graph)
    rate = graph.frontend.sample_rate if graph.frontend else 16000
    time = np.arange(samples) / rate
    chirp = np.sin(2 * np.pi * (200 * time + 1500 * time**2)) * (np.sin(2 * np.pi * 3 * time) > 0)
    pcm = np.round(8000 * chirp + 600 * rng.standard_normal(samples)).astype(np.int16)
    return SelfTest(pcm, Pipeline(graph).run(pcm).pcm)


def load_share(firmware: Firmware, instructions: Mapping[str, int]) -> dict[str, Any]:
    """Mean and worst instructions a second against the board's clock (instructions, not cycles).

    ``status`` is "ok", "warning" (worst case above 70 % of the clock) or "error" (above the clock; a
    prototype board, which no product runs on, gets a warning).
    """
    graph, board = firmware.model.graph, firmware.board
    rate = graph.frontend.sample_rate if graph.frontend else 16000
    frames_a_second = rate / hop_of(graph)
    mean, worst = (round(instructions[key] * frames_a_second) for key in ("mean", "max"))
    share = worst / board.clock_hz
    status = "ok" if share <= WARN_LOAD else "warning" if share <= 1 or board.prototype else "error"
    return {
        "instructions_per_second": {"mean": mean, "worst": worst},
        "clock_hz": board.clock_hz,
        "worst_share": round(share, 4),
        "status": status,
    }


def overload(board: Board, load: Mapping[str, Any]) -> str:
    """The sentence for a load whose status is "error"."""
    return (
        f"{board.name}: the worst frame needs {load['instructions_per_second']['worst']:,} instructions a "
        f"second, more than the clock's {board.clock_hz:,} cycles; use a faster board or a smaller model"
    )


def memory(firmware: Firmware, stack: int | None) -> dict[str, int | None]:
    """Flash and RAM from the linker, measured stack, in bytes."""
    return {"flash": firmware.built.flash, "ram": firmware.built.ram, "stack": stack}


def emulated_boards() -> list[str]:
    """The host, then every board with an emulator, in the order of ``tinydsn boards``."""
    return ["host", *(name for name in board_names() if name != "host")]
