"""``tinydsn build``: a model or a generated project becomes an executable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.options import Kernels
from tinydsn.cli.output import Json, emit

EXAMPLE = "Example: tinydsn build model.tdsn --board stm32f405"


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="A generated project's folder, or a model as for generate.", autocompletion=completion.models
        ),
    ],
    board: Annotated[
        str | None,
        typer.Option(
            help="A name from `tinydsn boards`, or host; a project knows its own.",
            autocompletion=completion.boards,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where a model's project goes (default: out/BOARD).")
    ] = None,
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Compile and link; prints flash, RAM and the executable's path."""
    from tinydsn import api

    emit(api.build(source, board=board, output=output, kernels=kernels), as_json)
