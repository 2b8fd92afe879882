"""Builds the network of ``counted/tinydsn.c`` into the application of a board, and says what it does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from quant.errors import ToolchainError
from tinydsn.codegen.app import app_files
from tinydsn.codegen.board import Board, load_board
from tinydsn.codegen.toolchain import find_compiler, find_qemu

DUMMY = Path(__file__).parent / "counted"
HOP, GATES = 64, 3


def built(board: Board, folder: Path, *flags: str, app: dict[str, str] | None = None) -> Path:
    """The program for ``board`` in ``folder``; skips when a compiler or the emulator is missing."""
    try:
        compiler = find_compiler(board).path
        find_compiler(load_board("host"))
        if not board.is_host:
            find_qemu()
    except ToolchainError as error:
        pytest.skip(str(error))
    for name, text in (app or app_files(board)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sources = [*map(str, sorted(folder.glob("app/*.c"))), str(DUMMY / "tinydsn.c")]
    script = f"-T{folder / 'app' / 'tinydsn.ld'}"
    link = [] if board.is_host else [script, "-nostartfiles", "-Wl,--gc-sections"]
    elf = folder / "counted.elf"
    options = ["-O3", "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{DUMMY}", f"-I{folder}/app", *flags]
    subprocess.run([str(compiler), *board.flags, *options, *sources, *link, "-o", str(elf)], check=True)
    return elf


def noise(frames: int) -> np.ndarray:
    """int16 [frames * HOP], the whole range."""
    return np.random.default_rng(5).integers(-(2**15), 2**15, HOP * frames).astype(np.int16)


def expected(pcm: np.ndarray, words: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What the network gives: int16 [frames * HOP], and gate words uint32 [frames]."""
    frames = -(-len(pcm) // HOP)
    hops = np.zeros(frames * HOP, np.int64)
    hops[: len(pcm)] = pcm
    hops = hops.reshape(frames, HOP)
    gates = (hops[:, 0] & 7) if words is None else (words & 7).astype(np.int64)
    out = hops + gates[:, None] + np.arange(frames)[:, None]
    return out.reshape(-1).astype(np.int16), gates.astype(np.uint32)
