"""The card beside a checkpoint: where it stands and what it says. Needs no torch.

What a card holds, and how it is made, is told in `tinydsn.workflow.card`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quant.errors import ModelFileError


def card_path(checkpoint: Path) -> Path:
    """Where the card of a checkpoint stands: ``dsn-s.safetensors`` -> ``dsn-s.card.json``."""
    return checkpoint.with_name(checkpoint.name.removesuffix(".safetensors") + ".card.json")


def read_card(checkpoint: Path) -> dict[str, Any]:
    """The card beside a checkpoint. Raises ModelFileError where there is none, or a damaged one."""
    path = card_path(checkpoint)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelFileError(f"{path}: no card of a measured checkpoint ({error}); ship its run") from None
    except ValueError as error:
        raise ModelFileError(f"{path}: damaged ({error}); ship its run again") from None
