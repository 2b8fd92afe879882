"""What ``tinydsn verify`` prints, and for which boards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quant.errors import BoardError
from tinydsn.codegen.board import load_board
from tinydsn.codegen.toolchain import versions
from tinydsn.workflow.firmware import emulated_boards, load_share, memory
from tinydsn.workflow.models import Model
from tinydsn.workflow.renode import check_renode
from tinydsn.workflow.verification import Verification

SCHEMA = 1


def renode_rows(model: Model, pcm: np.ndarray, result: Verification) -> list[dict[str, Any]]:
    """The same comparison in Renode for the boards that it has; skipped, with the reason, without Renode."""
    boards = [item.board for item in result.firmware.values() if item.board.renode]
    return [check_renode(model, board, pcm, result.reference["learned"]) for board in boards]


def expand_boards(boards: Sequence[str]) -> list[str]:
    """Board names, and paths of board files, with "all" spelled out.

    Raises BoardError for an unknown one, and for two of one name.
    """
    found: dict[str, str] = {}
    for text in boards:
        for item in emulated_boards() if text == "all" else [text]:
            name = load_board(item).name
            if found.setdefault(name, item) != item:
                raise BoardError(f"{item}: another board is named {name} too; rename the file")
    return list(found.values())


def verification_json(result: Verification, model_sha256: str) -> dict[str, Any]:
    """The schema that ``verify --json`` prints."""
    stacks = {cell.board: cell.stack for cell in result.cells if cell.stack is not None}
    return {
        "schema": SCHEMA,
        "model_sha256": model_sha256,
        "toolchain": versions(),
        "results": [cell.result for cell in result.cells],
        "boards": {
            name: {**memory(item, stacks.get(name)), "load": worst_load(result, name)}
            for name, item in result.firmware.items()
        },
    }


def worst_load(result: Verification, board: str) -> dict[str, Any] | None:
    """The heaviest load among a board's cells; None on the host."""
    found = [
        load_share(result.firmware[board], cell.result["instructions"])
        for cell in result.cells
        if cell.board == board and cell.result["instructions"]
    ]
    return max(found, key=lambda load: load["worst_share"], default=None)
