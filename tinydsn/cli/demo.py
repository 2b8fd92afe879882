"""``tinydsn demo``: the whole way, from a shipped checkpoint to verified firmware and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.output import Json, emit, say, verification_rows
from tinydsn.cli.verify import passed

EXAMPLE = "Example: tinydsn demo --wav my_voice.wav --snr 5 -o out/demo"


def command(
    wav: Annotated[
        Path | None, typer.Option(help="Clean speech, mono at 16 kHz; without it, recorded prompts.")
    ] = None,
    snr: Annotated[float, typer.Option(help="Signal-to-noise ratio of the mixture, in dB.")] = 5.0,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")] = Path("out/demo"),
    as_json: Json = False,
) -> None:
    """Mix noise into speech, quantize, build, run on the emulated Cortex-M4, verify, and report."""
    from tinydsn import api

    result = api.demo(wav=wav, snr=snr, output=output, progress=say)
    emit(result if as_json else {**result, "results": verification_rows(result["results"])}, as_json)
    if not passed(result, allow_skip=False):
        raise typer.Exit(1)
