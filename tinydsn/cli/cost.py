"""``tinydsn cost``: instructions and flash of a model at some precision, predicted and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.options import Board
from tinydsn.cli.output import Json, emit, say

EXAMPLE = "Example: tinydsn cost dsn-s --precision genome.json --board mps2-an386"


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A checkpoint, a shipped model's name, or package.module:function.",
            autocompletion=completion.networks,
        ),
    ],
    board: Board,
    precision: Annotated[
        str,
        typer.Option(
            help="w2a8 to w8a16, or a file of names and bits (TOML or JSON).",
            autocompletion=completion.precisions,
        ),
    ] = "w8a16",
    calibration: Annotated[
        Path | None,
        typer.Option(help="Folder of recordings that set the value ranges; else the sound below does."),
    ] = None,
    wav: Annotated[
        Path | None, typer.Option(help="A recording; without one, speech-like sound in noise is made.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Stop after so many frames.")] = 400,
    as_json: Json = False,
) -> None:
    """Say what a model costs at a precision: predicted from measured operators, and built and run."""
    from tinydsn.workflow.cost import cost

    emit(cost(target, precision, board, calibration, wav, frames, progress=say), as_json)
