"""``tinydsn train``: a recipe and a corpus become a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion
from tinydsn.cli.output import Json, emit, progress_bar, say

EXAMPLE = "Example: tinydsn train dsn-s-full --corpus corpus/ -o runs/full"


def command(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe file (TOML), or a shipped recipe's name.", autocompletion=completion.recipes
        ),
    ],
    corpus: Annotated[
        Path, typer.Option(help="Folder with manifest.csv (`tinydsn data` makes it from other layouts).")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for checkpoint and log; a run in it goes on.")
    ],
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint (or shipped name) to start from; it may lack the policy.")
    ] = None,
    meter: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of speech-quality that decides, for a recipe of kind metered."),
    ] = None,
    pool: Annotated[Path | None, typer.Option(help="Folder of the rendered pool; made if missing.")] = None,
    ratings: Annotated[
        Path | None, typer.Option(help="The pool's table of ratings (`tinydsn rate`); a shipped one without.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Widths to fine-tune for, instead of the recipe's: w4a16, or a TOML or JSON file.",
            autocompletion=completion.precisions,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda.", autocompletion=completion.devices)
    ] = "auto",
    tensorboard: Annotated[bool, typer.Option(help="Write the losses for TensorBoard too.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Train a network by a recipe; interrupted at any time, the same command goes on."""
    from tinydsn.workflow.training import train

    with progress_bar("training") as watch:
        result = train(
            recipe,
            corpus,
            output,
            start=start,
            meter=meter,
            pool=pool,
            ratings=ratings,
            device=device,
            threads=threads,
            tensorboard=tensorboard,
            precision=precision,
            say=say,
            watch=watch,
        )
    emit(result, as_json)
