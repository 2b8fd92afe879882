"""``tinydsn bench``: instructions of kernels, ours beside CMSIS-NN's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.output import Json, console, count, rows_table
from tinydsn.cli.verify import split

EXAMPLE = "Example: tinydsn bench --kernel fully_connected_16x8 --board mps2-an386"
MEMORY_BOARD = "mps2-an386"


def command(
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            help="Kernels (repeat, or separate by commas); all without this.",
            autocompletion=completion.kernel_lists,
        ),
    ] = None,
    board: Annotated[
        list[str] | None,
        typer.Option(
            help="Emulated boards (repeat, or separate by commas); one a core without this.",
            autocompletion=completion.board_lists,
        ),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="An SVG file to write.")] = None,
    tflite_micro: Annotated[
        bool,
        typer.Option(
            "--tflite-micro", help="Only flash and RAM of the shipped models beside TFLite-Micro's."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Count the instructions of kernels and of shipped models in the emulator; all bits are compared."""
    from tinydsn import api

    if tflite_micro:
        memory(split(board or []) or [MEMORY_BOARD], as_json)
        return
    from tinydsn.bench.rows import as_json as to_json
    from tinydsn.bench.rows import table_rows

    kernels, models = api.bench(split(kernel or []), split(board or []), picture, count)
    if as_json:
        print(json.dumps(to_json(kernels, models), indent=2))
        return
    console().print(rows_table(table_rows(kernels)))
    if models:
        console().print(rows_table([asdict(row) for row in models], "shipped models, all gates on"))


def memory(boards: Sequence[str], as_json: bool) -> None:
    """Bytes of the shipped networks as our projects and as .tflite files in tflite-micro."""
    from tinydsn import api
    from tinydsn.workflow.export_memory import NOT_MEASURED, tables
    from tinydsn.workflow.export_memory import as_json as to_json

    rows = [row for board in boards for row in api.compare_memory(board, count)]
    if as_json:
        print(json.dumps(to_json(rows), indent=2))
        return
    for title, lines in tables(rows).items():
        console().print(rows_table(lines, title))
    console().print(f"Networks without front end; {NOT_MEASURED}.")
