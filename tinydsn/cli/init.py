"""``tinydsn init``: a project to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.output import Json, emit

EXAMPLE = "Example: tinydsn init hearing-aid/ --board stm32f405"


def command(
    folder: Annotated[Path, typer.Argument(help="The folder to write; made where it is missing.")],
    board: Annotated[
        str,
        typer.Option(
            help="The board to start from: a name from `tinydsn boards`.", autocompletion=completion.boards
        ),
    ] = ("mps2-an386"),
    as_json: Json = False,
) -> None:
    """Write a starter project: network, widths, board, recipe, recording, and a regression test."""
    from tinydsn.workflow.starter import start_project

    files = start_project(folder, board)
    following = f"cd {folder}, and the commands of its README.md"
    emit({"folder": str(folder), "files": files, "next": following}, as_json)
