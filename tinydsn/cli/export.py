"""``tinydsn export``: a model's streaming step as a file for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.options import Model
from tinydsn.cli.output import Json, emit

EXAMPLE = "Example: tinydsn export dsn-s --to tflite --gates max --bits close -o dsn-s-static.tflite"


def command(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    to: Annotated[str, typer.Option(help="The format: tflite.")] = "tflite",
    gates: Annotated[
        str | None, typer.Option(help="All gates on (max) or off (min); a gated model needs one.")
    ] = None,
    bits: Annotated[
        str,
        typer.Option(
            help="equal: refuse operators that TFLite cannot compute with our bits (layer_norm); close: "
            "write them in float32."
        ),
    ] = "equal",
    as_json: Json = False,
) -> None:
    """Write a model without gates as a quantized .tflite file that tflite-micro runs.

    One call is one frame of features (the front end is not in the file); states are inputs and outputs, to be
    fed back. The file is run in tflite-micro beside the integer reference before it is kept: with --bits
    equal every bit is the same, with --bits close the printed share of values differs.
    """
    from tinydsn import api

    emit(api.export(model, to, output, gates, bits), as_json)
