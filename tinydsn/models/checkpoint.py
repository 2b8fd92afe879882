"""Checkpoints: weights and configuration in one safetensors file, a card in JSON beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from quant.errors import ConfigError, ModelFileError
from tinydsn.audio.files import replace_file
from tinydsn.models.dsn import Dsn, DsnConfig

FORMAT = "tinydsn-checkpoint-1"


def card_path(path: Path) -> Path:
    """Where the card of a checkpoint stands: ``dsn-s.safetensors`` -> ``dsn-s.card.json``."""
    return path.with_name(path.name.removesuffix(".safetensors") + ".card.json")


def save_checkpoint(model: Dsn, path: Path | str, card: dict[str, Any] | None = None) -> None:
    """Writes the weights and the configuration of ``model``; with ``card`` the card too.

    Both files are replaced as a whole; the same model gives the same bytes.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    config = json.dumps(asdict(model.config), sort_keys=True)
    metadata = {"format": FORMAT, "model": "dsn", "config": config}
    replace_file(path, _ordered(save(tensors, metadata)))
    if card is not None:
        replace_file(card_path(path), (json.dumps(card, indent=2) + "\n").encode())


def _ordered(content: bytes) -> bytes:
    """The same safetensors file with a sorted header: the library writes the metadata in random order."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def load_checkpoint(path: Path | str) -> Dsn:
    """The model of a checkpoint, in evaluation mode.

    Raises ModelFileError when the file is missing, truncated, damaged, no checkpoint of this program, or
    when its weights do not fit its configuration or hold a value that is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file (must be a checkpoint, *.safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path}: damaged or no safetensors file ({error}); copy or download it again"
        ) from None
    if metadata.get("format") != FORMAT or metadata.get("model") != "dsn":
        raise ModelFileError(
            f"{path}: not a tinydsn checkpoint (format is {metadata.get('format')!r}, must be {FORMAT!r})"
        )
    model = Dsn(_config(path, metadata.get("config", "")))
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise ModelFileError(
            f"{path}: weights do not fit the configuration: {wrong[0]} is {found.get(wrong[0], 'missing')}, "
            f"must be {wanted.get(wrong[0], 'absent')} ({len(wrong)} tensors differ)"
        )
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelFileError(
                f"{path}: {name} holds a value that is not finite; use an earlier checkpoint"
            )
    model.load_state_dict(tensors)
    return model.eval()


def _config(path: Path, text: str) -> DsnConfig:
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not a table of settings")
        return DsnConfig.from_dict(values)
    except (ValueError, ConfigError) as error:
        raise ModelFileError(f"{path}: the configuration in its header is damaged ({error})") from None
