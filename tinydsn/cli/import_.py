"""``tinydsn import``: a quantized ``.tflite`` file of other tools as an integer graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.output import Json, emit

EXAMPLE = "Example: tinydsn import keywords.tflite -o keywords.tdsn"


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE.tflite", help="An int8 or 16x8 quantized file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .tdsn file to write.")],
    as_json: Json = False,
) -> None:
    """Turn a quantized .tflite file into an integer graph that becomes firmware without an interpreter.

    Every other verb takes the graph (and the .tflite file itself) like a model of your own. It is run beside
    the file in tflite-micro, and kept only if all bits are equal. A frame of the firmware holds the integers
    of all inputs, one after the other; its output those of all outputs.
    """
    from tinydsn import api

    emit(api.import_tflite(source, output), as_json)
