"""``tinydsn verify``: firmware against the integer reference, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from quant.errors import ConfigError
from tinydsn.cli import completion
from tinydsn.cli.options import Kernels, Model, Recording
from tinydsn.cli.output import Json, emit, say, verification_rows

EXAMPLE = "Example: tinydsn verify model.tdsn --wav noisy.wav --board all --gates learned,cycle --json"


def command(
    model: Model,
    wav: Recording,
    board: Annotated[
        list[str] | None,
        typer.Option(
            help="all, or names (repeat, or separate by commas); host is one.",
            autocompletion=completion.board_lists,
        ),
    ] = None,
    gates: Annotated[
        str, typer.Option(help="Gate patterns, separated by commas.", autocompletion=completion.gate_lists)
    ] = "learned,min,max,cycle",
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    allow_skip: Annotated[
        bool, typer.Option("--allow-skip", help="A board that is skipped is no failure.")
    ] = False,
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Compare each sample and gate of the firmware with the reference; exit 1 unless all are equal."""
    from tinydsn import api

    boards, patterns = split(board or ["all"]), split([gates])
    for option, named in (("--board", boards), ("--gates", patterns)):
        if not named:
            raise ConfigError(f"{option} names nothing (leave it out for all)")
    result = api.verify(model, wav, boards, patterns, frames=frames, progress=say, kernels=kernels)
    emit(result if as_json else readable(result), as_json)
    if not passed(result, allow_skip):
        raise typer.Exit(1)


def readable(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result for people: without the columns that say nothing, and a Renode that is missing in a line."""
    second = result.get("renode", [])
    if second and all(row["status"] == "skipped" for row in second):
        second = second[0]["reason"]
    return {
        **result,
        "results": verification_rows(result["results"]),
        **({"renode": second} if second else {}),
    }


def split(values: list[str]) -> list[str]:
    """Comma-separated and repeated values as one list, in order, without repetition."""
    parts = [part.strip() for value in values for part in value.split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def passed(result: Mapping[str, Any], allow_skip: bool) -> bool:
    """Whether there is a result and every cell is equal (or skipped, when that is allowed)."""
    fine = {"equal", "skipped"} if allow_skip else {"equal"}
    statuses = [row["status"] for row in result["results"]]
    # Renode is optional: where it is missing, that is said and nothing is asked
    second = {row["status"] for row in result.get("renode", [])} - {"skipped"}
    return bool(statuses) and {*statuses, *second} <= fine
