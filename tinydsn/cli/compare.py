"""``tinydsn compare``: all shipped networks, quality against instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.output import console, rows_table

EXAMPLE = "Example: tinydsn compare --metric PESQ --picture systems.svg"


def command(
    metric: Annotated[
        str, typer.Option(help="OVRL, PESQ or SISDR, of the firmware on the test list.")
    ] = "OVRL",
    picture: Annotated[Path | None, typer.Option(help="Draw it too: an SVG file to write.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only JSON on standard output: a list of points.")
    ] = False,
) -> None:
    """Put the shipped networks of every system side by side, gated ones beside static ones of equal cost."""
    import json

    from tinydsn.workflow.comparison import compare, rows, write

    points = compare(metric)
    if picture is not None:
        write(points, picture)
    if as_json:
        print(json.dumps(rows(points), indent=2))
        return
    shown = [{key: row[key] for key in row if key not in ("metric", "board")} for row in rows(points)]
    console().print(rows_table(shown, f"{metric} and mean instructions a frame"))
