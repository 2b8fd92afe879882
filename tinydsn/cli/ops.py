"""``tinydsn ops``: what can be lowered, and under which constraints."""

from __future__ import annotations

from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.output import Json, count, emit

EXAMPLE = "Example: tinydsn ops --board mps3-an547"


def command(
    board: Annotated[
        str | None,
        typer.Option(
            help="Name the kernel that each operator gets on this board, and its measured cost.",
            autocompletion=completion.boards,
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure what is not yet in the cache, in the emulator (a minute)."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the table of supported operators, with the constraints each must meet."""
    from tinydsn import api

    emit(api.ops(board, measure, complete=as_json, progress=count), as_json)
