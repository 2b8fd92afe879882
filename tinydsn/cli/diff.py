"""``tinydsn diff``: what changed between two models, or between two generated projects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tinydsn.cli import completion
from tinydsn.cli.options import Kernels
from tinydsn.cli.output import Json, emit, say

EXAMPLE = "Example: tinydsn diff dsn-s tuned.tdsn --board mps2-an386"
ROWS = 12
"""Operators and symbols that the terminal shows; ``--json`` has all."""


def command(
    a: Annotated[
        str,
        typer.Argument(
            help="A model, or a folder that `tinydsn generate` wrote.", autocompletion=completion.models
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            help="Another model or folder, or the same with --kernels-b.", autocompletion=completion.models
        ),
    ],
    board: Annotated[
        str | None,
        typer.Option(
            help="A name from `tinydsn boards`, or host; without one, the projects' or mps2-an386.",
            autocompletion=completion.boards,
        ),
    ] = None,
    wav: Annotated[
        Path | None, typer.Option(help="A recording; without one, speech-like sound in noise is made.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Stop after so many frames.")] = 400,
    kernels: Kernels = "auto",
    kernels_b: Annotated[
        str | None,
        typer.Option(help="Kernels of b, where they differ from a's.", autocompletion=completion.kernels),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus: compare the quality too, on the committed list.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many mixtures of the list, for a quick look.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare outputs, instructions, memory, operators and quality; exit 1 where anything differs."""
    from tinydsn import api
    from tinydsn.workflow.diff import same

    result = api.diff(a, b, board, wav, frames, kernels, kernels_b, corpus, limit, say)
    emit(result if as_json else readable(result), as_json)
    if not same(result):
        raise typer.Exit(1)


def readable(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result as the terminal shows it: the largest changes only."""
    shown = dict(result)
    for key in ("operators", "symbols"):
        rows = result[key]
        shown[key] = rows[:ROWS]
        if len(rows) > ROWS:
            shown[f"{key}_more"] = f"{len(rows) - ROWS} smaller changes (see --json)"
    shown["quality"] = (result["quality"] or {}).get("rows")
    return shown
