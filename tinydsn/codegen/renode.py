"""Renode's view of a board: platform (.repl), scripts (.resc) and test (.robot) for the test program.

Renode 1.16.1 has no semihosting files, so audio passes through two memories of its own; the layout stands in
``firmware_templates/app/platform_memory.c``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.errors import BoardError, ConfigError
from quant.reference import by_frame
from tinydsn.codegen.app import IO_MEMORY
from tinydsn.codegen.board import Board
from tinydsn.codegen.templates import render

TESTED = "1.16.1"
"""The newest release that the files were written for. Later ones have a handler for semihosting."""

HEADER = 16
IO_BYTES = 0x0400_0000
MIPS = 1000
MOST_INSTRUCTIONS = 8_000_000
"""A frame's, for the virtual time that a run is given; several times what any board of ours could bear."""


@dataclass(frozen=True)
class Run:
    """Sizes of a run: frames, the hop in samples, and the channels that come out."""

    frames: int
    hop: int
    channels: int = 1

    @property
    def pcm_bytes(self) -> int:
        """Bytes of whole hops that go in."""
        return self.frames * self.hop * 2

    @property
    def given_bytes(self) -> int:
        """Bytes of whole hops that come out."""
        return self.pcm_bytes * self.channels

    @property
    def gates_offset(self) -> int:
        """Where the gate words lie in the output memory."""
        return HEADER + (self.given_bytes + 3) // 4 * 4

    @property
    def out_bytes(self) -> int:
        """Bytes of the output memory that hold something."""
        return self.gates_offset + 4 * self.frames

    @property
    def seconds(self) -> float:
        """Virtual time that suffices."""
        return round(0.1 + self.frames * MOST_INSTRUCTIONS / (MIPS * 1e6), 3)


def renode_files(board: Board, run: Run, release: str = "") -> dict[str, str]:
    """Text of ``board.repl``, ``machine.resc``, ``run.resc`` and ``tinydsn.robot``, for one folder.

    ``release``: of the Renode that will read them; by default ``TESTED``, or one after it where needed.
    Beside them belong ``tinydsn.elf`` (built with ``app_files(board, "memory")``), ``in.bin`` (`input_image`)
    and, for the robot, ``expected.bin`` (`output_image`). Raises BoardError for a board that Renode lacks, or
    that this release cannot run.
    """
    newer = check_release(board, release)
    assert board.flash is not None and board.ram is not None and board.renode is not None
    if max(run.out_bytes, HEADER + run.pcm_bytes + 4 * run.frames) > IO_BYTES:
        raise ConfigError(
            f"{run.frames} frames do not fit Renode's audio memory of {IO_BYTES} bytes; send fewer"
        )
    values = {
        "board": board.name,
        "release": release or (f"newer than {TESTED}" if newer else TESTED),
        "handler": newer,
        "console": f"sysbus.cpu.{'semihosting.' if newer else ''}console",
        "cpu": board.renode.cpu,
        "clock_hz": board.clock_hz,
        "flash": {"origin": f"0x{board.flash.origin:08X}", "size": f"0x{board.flash.size:X}"},
        "ram": {"origin": f"0x{board.ram.origin:08X}", "size": f"0x{board.ram.size:X}"},
        "io": {
            "input": f"0x{IO_MEMORY.input:08X}",
            "output": f"0x{IO_MEMORY.output:08X}",
            "size": f"0x{IO_BYTES:X}",
        },
        "mips": MIPS,
        "frames": run.frames,
        "seconds": run.seconds,
        "out_bytes": run.out_bytes,
    }
    templates = {
        "board.repl": "renode.repl.j2",
        "machine.resc": "renode.resc.j2",
        "run.resc": "renode_run.resc.j2",
        "tinydsn.robot": "renode.robot.j2",
    }
    return {name: render(template, values) for name, template in templates.items()}


def check_release(board: Board, release: str = "") -> bool:
    """Whether the files must be those for releases after ``TESTED``; BoardError: see `renode_files`."""
    if board.renode is None:
        raise BoardError(f"{board.name}: Renode does not have this board (its file has no table [renode])")
    too_old = board.renode.newer_than
    if release and too_old and version(release) <= version(too_old):
        raise BoardError(
            f"{board.name}: Renode {release} cannot run code for {board.core} "
            f"(must be newer than {too_old}, which lacks instructions of MVE)"
        )
    return version(release) > version(TESTED) if release else too_old == TESTED


def version(release: str) -> tuple[int, ...]:
    """ "1.16.1" -> (1, 16, 1)."""
    return tuple(int(part) for part in release.split("."))


def input_image(pcm: np.ndarray, forced: np.ndarray | None, run: Run) -> bytes:
    """``in.bin``: header, int16 PCM filled up to whole hops, gate words (uint32) when they are forced."""
    padded = np.zeros(run.frames * run.hop, "<i2")
    padded[: len(pcm)] = pcm
    words = b"" if forced is None else forced.astype("<u4").tobytes()
    header = np.array([run.pcm_bytes, len(words), run.gates_offset, 0], "<u4").tobytes()
    return header + padded.tobytes() + words


def output_image(pcm: np.ndarray, words: np.ndarray, run: Run) -> bytes:
    """``expected.bin``: what the program must write for int16 PCM [frames * hop] (of several channels
    [channels, frames * hop]) and gate words [frames]."""
    header = np.array([run.given_bytes, 4 * run.frames, 0, 0], "<u4").tobytes()
    body = (header + by_frame(pcm, run.hop).astype("<i2").tobytes()).ljust(run.gates_offset, b"\0")
    return body + words.astype("<u4").tobytes()


def read_output_image(image: bytes, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """(int16 PCM as the program wrote it, uint32 gate words) of ``out.bin``."""
    sizes = np.frombuffer(image, "<u4", 2)
    pcm = np.frombuffer(image, "<i2", int(sizes[0]) // 2, HEADER).astype(np.int16)
    words = np.frombuffer(image, "<u4", int(sizes[1]) // 4, run.gates_offset).astype(np.uint32)
    return pcm, words
