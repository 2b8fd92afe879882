"""``tinydsn profile``: every executed instruction, every byte of flash and RAM, and the stack, by cause."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.options import Board, Model
from tinydsn.cli.output import Json, emit, say

EXAMPLE = "Example: tinydsn profile dsn-s --board mps2-an386 -o profile.html"


def command(
    model: Model,
    board: Board,
    wav: Annotated[
        Path | None, typer.Option(help="A recording; without one, speech-like sound in noise is made.")
    ] = None,
    gates: Annotated[
        str,
        typer.Option(
            help="learned, cycle, or a trace file; min and max are measured as well.",
            autocompletion=completion.gates,
        ),
    ] = "learned",
    frames: Annotated[int, typer.Option(min=1, help="Stop after so many frames.")] = 400,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write a page (.html) or a picture (.svg).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a frame costs, by operator, gate, step of the front end and runtime, and what fills memory."""
    from tinydsn import api

    emit(api.profile(model, board, wav, gates, frames, output, as_json, progress=say), as_json)
