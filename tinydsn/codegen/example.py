"""The example application: a generated network between a codec's buffers, on bare metal."""

from __future__ import annotations

import numpy as np

from quant.errors import BoardError, ConfigError
from tinydsn.codegen.board import Board
from tinydsn.codegen.templates import render, template_root
from tinydsn.codegen.text import Array
from tinydsn.codegen.writer import SelfTest, fnv1a

CHIP = "stm32f405"
"""The part whose timers and clocks the application knows; boards with it have names that begin so."""
FILES = ("audio.c", "audio.h", "codec.h", "codec_stm32f405.c", "main.c", "stm32f405.h")


def example_files(board: Board, recorded: SelfTest, hop: int) -> dict[str, str]:
    """Text of the application by path in the project (``example/...``).

    Its codec plays ``recorded``, whole frames of ``hop`` samples. Raises BoardError for another part, and
    ConfigError for a model of several channels.
    """
    if not board.name.startswith(CHIP):
        raise BoardError(
            f"{board.name}: there is no example application for it (the part must be {CHIP}; "
            f"use --board {CHIP}, or copy example/ from there and write codec.h's functions for your part)"
        )
    if recorded.expected.ndim > 1:
        raise ConfigError(
            f"the example application plays one channel, and this model gives {len(recorded.expected)} "
            "(leave out --example)"
        )
    pcm = recorded.pcm.astype(np.int16)
    if len(pcm) == 0 or len(pcm) % hop or len(pcm) != len(recorded.expected):
        raise ConfigError(
            f"example of {len(pcm)} samples in and {len(recorded.expected)} out "
            f"(must be as many, whole frames of {hop})"
        )
    values = {
        "frames": len(pcm) // hop,
        "size": len(pcm),
        "rows": Array("recording", pcm, "").rows,
        "expected": fnv1a(recorded.expected.astype("<i2").tobytes()),
    }
    folder = template_root() / "example"
    files = {f"example/{name}": (folder / name).read_text(encoding="utf-8") for name in FILES}
    for name in ("recording.c", "recording.h"):
        files[f"example/{name}"] = render(f"{name}.j2", values)
    return files
