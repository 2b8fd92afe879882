"""Arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydsn.cli import completion

Model = Annotated[
    str,
    typer.Argument(
        help="An integer graph (.tdsn), a checkpoint, or a shipped model's name.",
        autocompletion=completion.models,
    ),
]
Board = Annotated[
    str, typer.Option(help="A name from `tinydsn boards`, or host.", autocompletion=completion.boards)
]
Kernels = Annotated[
    str,
    typer.Option(
        help="Whose kernels run where both can: auto (the cheaper), tinydsn, or cmsis-nn.",
        autocompletion=completion.kernels,
    ),
]
Recording = Annotated[Path, typer.Option(help="The recording: mono, 16-bit, at the model's sample rate.")]
