"""``tinydsn data``: what is in a corpus, and the manifest that training reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tinydsn.cli.output import Json, emit, progress_bar

EXAMPLE = "Example: tinydsn data VoiceBank/ DEMAND/ -o corpus/manifest.csv"
SHOWN = 25
"""Rows of each table that are printed; JSON has all."""


def command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Corpora: VoiceBank, DEMAND, DNS Challenge and its test set, LibriMix, speech/ and noise/ "
            "folders, or a folder with manifest.csv."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write a manifest of all that is of use; noises of noisy/clean pairs and simulated rooms, "
            "where there are no others, go beside it.",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Decode every file, not only its header.")] = False,
    max_bad: Annotated[
        float, typer.Option(min=0, max=100, help="Percent of files that may be of no use.")
    ] = 2.0,
    hours: Annotated[
        float | None,
        typer.Option(min=0, help="Keep at most so many hours of training speech, and of training noise."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what corpora hold (hours, speakers, noises, splits, problems), and make them one for training."""
    from tinydsn.audio.layouts import SurveyOptions, survey

    with progress_bar("reading files") as watch:
        options = SurveyOptions(output, check, max_bad, hours)
        result = survey(folders, options, lambda done, total: watch(done, total, {}))
    emit(result if as_json else shortened(result), as_json)


def shortened(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result with long tables cut, each with a line that tells how much more there is."""
    short = dict(result)
    for key, column in (("noises", "noise"), ("problems", "file")):
        rows = result[key]
        if len(rows) > SHOWN:
            short[key] = [*rows[:SHOWN], {column: f"... and {len(rows) - SHOWN} more (--json lists all)"}]
    return short
