"""``tinydsn compare``: all shipped networks, quality against instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.output import console, rows_table

EXAMPLE = "Example: tinydsn compare --metric PESQ --picture systems.svg"


def command(
    metric: Annotated[
        str, typer.Option(help="OVRL, PESQ or SISDR, of the firmware on the test list; of enhancers.")
    ] = "OVRL",
    picture: Annotated[Path | None, typer.Option(help="Draw it too: an SVG file to write.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only JSON on standard output: a list of points.")
    ] = False,
) -> None:
    """Put the shipped networks of all systems side by side, dynamic ones beside static ones of equal cost."""
    import json

    from quant.errors import ConfigError
    from tinydsn.workflow.comparison import compare, rows
    from tinydsn.workflow.comparison_table import markdown as as_markdown
    from tinydsn.workflow.comparison_table import sections

    if markdown and as_json:
        raise ConfigError("--markdown and --json exclude each other (give one of them)")
    points = compare(metric)
    if picture is not None:
        from tinydsn.workflow.comparison_picture import write

        write(points, picture)
    if as_json:
        print(json.dumps(rows(points), indent=2))
    elif markdown:
        print(as_markdown(points), end="")
    else:
        for section in sections(points):
            console().print(rows_table(section.rows, section.title))
