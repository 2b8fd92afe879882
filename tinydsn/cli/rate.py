"""``tinydsn rate``: the pool of mixtures whose ratings guide the gates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli.output import Json, count, emit

EXAMPLE = "Example: tinydsn rate --corpus corpus/ --pool cache/ --ratings pool.safetensors"


def command(
    corpus: Annotated[Path, typer.Option(help="Folder with manifest.csv.")],
    pool: Annotated[Path, typer.Option(help="Folder for the rendered mixtures (3.5 GB for 6,000).")],
    ratings: Annotated[Path, typer.Option(help="The table of ratings to make; one that was begun goes on.")],
    size: Annotated[int, typer.Option(min=1, help="Number of mixtures of 9.01 s.")] = 6000,
    as_json: Json = False,
) -> None:
    """Render a fixed pool of mixtures and rate each with DNSMOS, for training with metric guidance."""
    from tinydsn.workflow.training import rate_pool

    emit(rate_pool(corpus, pool, ratings, size, lambda _, done, total: count(done, total)), as_json)
