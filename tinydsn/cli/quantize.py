"""``tinydsn quantize``: a checkpoint or a user's module becomes an integer graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.output import Json, count, emit

EXAMPLE = "Example: tinydsn quantize mypackage.nets:denoiser --calibration clips/ -o model.tdsn"


def command(
    target: Annotated[
        str,
        typer.Argument(
            help="A checkpoint, a shipped model's name, or package.module:function, whose function returns "
            "the streaming module and an example frame.",
            autocompletion=completion.networks,
        ),
    ],
    calibration: Annotated[Path, typer.Option(help="Folder of recordings that set the value ranges.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The integer graph to write (.tdsn).")],
    precision: Annotated[
        str,
        typer.Option(
            help="w2a8 to w8a16, or a file of names and bits.", autocompletion=completion.precisions
        ),
    ] = "w8a16",
    as_json: Json = False,
) -> None:
    """Lower a streaming module, calibrate it on audio, and write its integer graph."""
    from tinydsn import api

    emit(api.quantize(target, calibration, output, precision=precision, progress=count), as_json)
