"""``tinydsn boards``: what firmware can be made for."""

from __future__ import annotations

from tinydsn.cli.output import Json, emit

EXAMPLE = "Example: tinydsn boards --json"


def command(as_json: Json = False) -> None:
    """List the boards: core, memory, clock, and the machine that emulates each."""
    from tinydsn import api

    emit(api.boards(), as_json)
