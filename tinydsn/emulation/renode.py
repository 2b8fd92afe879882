"""Runs the test program in Renode, where it is installed. It counts nothing there: it is a second witness."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np

from quant.errors import MissingTool, ToolchainError
from tinydsn.codegen.board import Board
from tinydsn.codegen.renode import Run, check_release, input_image, read_output_image, renode_files
from tinydsn.emulation.host import run_process
from tinydsn.emulation.result import RunResult, assemble, check_inputs, last_line

SECONDS = 120.0
SECONDS_A_FRAME = 1.0


def find_renode() -> Path:
    """Renode: ``$RENODE`` (a path or a name), else renode on the PATH.

    Raises MissingTool: runs in Renode are then skipped.
    """
    chosen = os.environ.get("RENODE")
    found = shutil.which(chosen or "renode")
    if not found:
        wanted = f"RENODE={chosen}" if chosen else "renode"
        raise MissingTool(
            f"skipped: {wanted} not found; unpack Renode's portable archive and put renode on the PATH, "
            "or set RENODE to the executable"
        )
    return Path(found)


def renode_release() -> str:
    """Such as "1.16.1". Raises MissingTool without Renode, ToolchainError when it does not say."""
    executable = str(find_renode())
    with tempfile.TemporaryDirectory(prefix="tinydsn-run-") as name:
        command = [executable, "--version"]
        _, printed = run_process(command, Path(name), SECONDS, "in Renode", _own_tmp(Path(name)))
    found = re.search(r"\d+\.\d+\.\d+", printed)
    if not found:
        raise ToolchainError(f"{executable} --version names no release; install Renode again")
    return found.group(0)


def run_renode(
    elf: Path,
    board: Board,
    pcm: np.ndarray,
    hop: int,
    forced: np.ndarray | None = None,
    timeout: float | None = None,
    channels: int = 1,
) -> RunResult:
    """Send int16 ``pcm`` [n] through ``elf``, built with ``app_files(board, "memory")``, in frames of ``hop``
    samples; ``channels`` come out.

    ``forced``: uint32 [frames]. Raises MissingTool without Renode, BoardError when this release does not have
    the board, ToolchainError when the program fails or exceeds ``timeout`` seconds.
    """
    release = renode_release()
    check_release(board, release)
    check_inputs(pcm, forced)
    run = Run(-(-len(pcm) // hop), hop, channels)
    with tempfile.TemporaryDirectory(prefix="tinydsn-run-") as name:
        folder = Path(name)
        for path, text in renode_files(board, run, release).items():
            (folder / path).write_text(text, encoding="utf-8")
        (folder / "in.bin").write_bytes(input_image(pcm, forced, run))
        shutil.copyfile(elf, folder / "tinydsn.elf")
        limit = SECONDS + SECONDS_A_FRAME * run.frames if timeout is None else timeout
        command = [str(find_renode()), "--disable-gui", "--console", "--plain", "-e", "include @run.resc"]
        code, printed = run_process(command, folder, limit, f"on {board.name} in Renode", _own_tmp(folder))
        return _read(folder, run, code, printed, board)


def _own_tmp(folder: Path) -> dict[str, str]:
    """Renode removes folders of other Renodes from the temporary folder, so it gets one of its own."""
    (folder / "tmp").mkdir()
    return {**os.environ, "TMPDIR": str(folder / "tmp")}


def _read(folder: Path, run: Run, code: int, printed: str, board: Board) -> RunResult:
    console = folder / "console.txt"
    said = last_line(console.read_text(errors="replace")) if console.is_file() else ""
    if not said.startswith("{") or not (folder / "out.bin").is_file():
        reason = said.removeprefix("error: ") or last_line(printed) or "nothing printed"
        raise ToolchainError(f"the firmware failed on {board.name} in Renode (exit code {code}): {reason}")
    return assemble(json.loads(said), *read_output_image((folder / "out.bin").read_bytes(), run))
