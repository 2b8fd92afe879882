"""``tinydsn bench``: instructions of kernels, ours beside CMSIS-NN's."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.output import Json, console, count, rows_table
from tinydsn.cli.verify import split

EXAMPLE = "Example: tinydsn bench --kernel fully_connected_16x8 --board mps2-an386"


def command(
    kernel: Annotated[
        list[str] | None, typer.Option(help="Kernels (repeat, or separate by commas); all without this.")
    ] = None,
    board: Annotated[
        list[str] | None,
        typer.Option(help="Emulated boards (repeat, or separate by commas); one a core without this."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="An SVG file to write.")] = None,
    as_json: Json = False,
) -> None:
    """Count the instructions of kernels and of shipped models in the emulator; all bits are compared."""
    from tinydsn import api
    from tinydsn.bench.rows import as_json as to_json
    from tinydsn.bench.rows import table_rows

    kernels, models = api.bench(split(kernel or []), split(board or []), picture, count)
    if as_json:
        print(json.dumps(to_json(kernels, models), indent=2))
        return
    console().print(rows_table(table_rows(kernels)))
    if models:
        console().print(rows_table([asdict(row) for row in models], "shipped models, all gates on"))
