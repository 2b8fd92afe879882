"""``tinydsn generate``: an integer graph becomes a C project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.options import Board, Kernels, Model
from tinydsn.cli.output import Json, emit

EXAMPLE = "Example: tinydsn generate model.tdsn --board mps2-an386 -o firmware/"


def command(
    model: Model,
    board: Board,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    selftest: Annotated[
        bool, typer.Option("--selftest", help="Add tinydsn_selftest(): 64 frames and the expected hash.")
    ] = False,
    renode: Annotated[
        bool, typer.Option("--renode", help="Add renode/: platform, scripts, Robot test, program.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Add example/: a bare-metal application (board stm32f405).")
    ] = False,
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Write the C project of a model for one board."""
    from tinydsn import api

    written = api.generate(
        model, board, output, selftest=selftest, renode=renode, kernels=kernels, example=example
    )
    emit(written, as_json)
