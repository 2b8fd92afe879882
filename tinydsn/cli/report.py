"""``tinydsn report``: one HTML page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.output import Json, emit

EXAMPLE = "Example: tinydsn report out/demo --search runs/search"


def command(
    run_dir: Annotated[Path, typer.Argument(help="The folder that demo wrote.")],
    search: Annotated[
        Path | None,
        typer.Option(help="The folder of a finished search, to show its front; RUN_DIR/search without it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the report of a run (report.html, report.json) and print its path."""
    from tinydsn import api

    emit(api.report(run_dir, search), as_json)
