"""Renode as a second emulator: a folder that it can run, and the comparison where it is installed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import BoardError, MissingTool, ToolchainError
from quant.gates import to_words
from quant.reference import Enhanced, Pipeline, channels_of, hop_of
from tinydsn.codegen.board import Board
from tinydsn.codegen.build import build
from tinydsn.codegen.project import generate
from tinydsn.codegen.renode import Run, input_image, output_image, renode_files
from tinydsn.emulation import find_renode, run_renode
from tinydsn.workflow.models import Model


def memory_program(model: Model, board: Board, folder: Path) -> Path:
    """The test program whose audio goes through memory, which every release of Renode can fill and dump."""
    generate(model.graph, board, folder, model_sha256=model.sha256, files="memory")
    return build(folder, board).elf


def write_renode_folder(model: Model, board: Board, pcm: np.ndarray, folder: Path) -> Path:
    """Write ``folder`` with platform, scripts, Robot test, program, input and expected output.

    Gates are learned. Raises BoardError for a board that Renode does not have.
    """
    hop = hop_of(model.graph)
    run = Run(-(-len(pcm) // hop), hop, channels_of(model.graph))
    files = renode_files(board, run)
    expected = Pipeline(model.graph).run(pcm)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copyfile(memory_program(model, board, Path(scratch) / "project"), folder / "tinydsn.elf")
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "in.bin").write_bytes(input_image(pcm, None, run))
    (folder / "expected.bin").write_bytes(output_image(expected.pcm, to_words(expected.gates), run))
    return folder


def check_renode(model: Model, board: Board, pcm: np.ndarray, expected: Enhanced) -> dict[str, Any]:
    """One row: does the firmware give the reference's bits in Renode too? Skipped where it is missing."""
    row: dict[str, Any] = {"board": board.name, "gates": "learned", "status": "skipped", "reason": ""}
    try:
        find_renode()
        with tempfile.TemporaryDirectory() as scratch:
            elf = memory_program(model, board, Path(scratch) / "project")
            result = run_renode(elf, board, pcm, hop_of(model.graph), channels=channels_of(model.graph))
    except (MissingTool, BoardError) as error:
        return {**row, "reason": str(error)}
    except ToolchainError as error:
        return {**row, "status": "failed", "reason": str(error)}
    same = np.array_equal(result.pcm, expected.pcm) and np.array_equal(
        result.gates.astype(bool), expected.gates
    )
    return {**row, "status": "equal" if same else "differs"}
