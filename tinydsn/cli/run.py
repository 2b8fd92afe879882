"""``tinydsn run``: a WAV goes through the firmware on one emulated board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.options import Board, Kernels, Model, Recording
from tinydsn.cli.output import Json, emit, say

EXAMPLE = "Example: tinydsn run model.tdsn --board mps2-an386 --wav noisy.wav --out enhanced.wav"


def command(
    model: Model,
    board: Board,
    wav: Recording,
    out: Annotated[Path, typer.Option(help="The enhanced WAV to write.")],
    gates: Annotated[
        str, typer.Option(help="learned, min, max, cycle, or a trace file.", autocompletion=completion.gates)
    ] = "learned",
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Run a recording through the firmware and write what comes out."""
    from tinydsn import api

    emit(api.run(model, board, wav, out, gates=gates, progress=say, kernels=kernels), as_json)
