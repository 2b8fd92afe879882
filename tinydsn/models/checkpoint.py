"""Checkpoints: weights and configuration in one safetensors file, a card in JSON beside it.

A checkpoint that was trained for integers also holds the scales that were learned for its weights: tensors
``scale/<weight>``, float32 [output channels], and in the header the width of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from quant.errors import ConfigError, ModelFileError
from quant.learned import LearnedScale
from quant.precision import LEGAL
from tinydsn.audio.files import replace_file
from tinydsn.cards import card_path
from tinydsn.models.kinds import KINDS, TASK_KINDS, kind_of
from tinydsn.models.network import MaskNetwork
from tinydsn.models.sequence import BINS
from tinydsn.models.settings import configured
from tinydsn.models.task_network import TaskNetwork

FORMAT = "tinydsn-checkpoint-1"
SCALE = "scale/"
"""Beginning of the names of learned scales."""

Network = MaskNetwork | TaskNetwork


def save_checkpoint(
    model: Network,
    path: Path | str,
    card: dict[str, Any] | None = None,
    scales: Mapping[str, LearnedScale] | None = None,
) -> None:
    """Writes the weights and the configuration of ``model``; with ``card`` the card too.

    ``scales``: learned scales by weight. Both files are replaced as a whole; the same model gives the same
    bytes.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    config = json.dumps(asdict(model.config), sort_keys=True)
    metadata = {"format": FORMAT, "model": _kind(model), "config": config}
    if scales:
        tensors |= {f"{SCALE}{name}": torch.tensor(learned.scale) for name, learned in scales.items()}
        widths = {name: learned.bits for name, learned in scales.items()}
        metadata["widths"] = json.dumps(widths, sort_keys=True)
    replace_file(path, _ordered(save(tensors, metadata)))
    if card is not None:
        replace_file(card_path(path), (json.dumps(card, indent=2) + "\n").encode())


def _ordered(content: bytes) -> bytes:
    """The same safetensors file with a sorted header: the library writes the metadata in random order."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _kind(model: Network) -> str:
    return kind_of(model.config)


def features_of(model: Network) -> int:
    """Elements of the frame that the streaming step of ``model`` takes."""
    return model.config.bins if isinstance(model, MaskNetwork) else BINS


def load_checkpoint(path: Path | str) -> MaskNetwork:
    """The enhancement network of a checkpoint, in evaluation mode; raises ModelFileError as `load_network`
    does, and for a network of another task."""
    model = load_network(path)
    if not isinstance(model, MaskNetwork):
        raise ModelFileError(
            f"{path}: is a network for {model.config.task}, which enhances nothing (must be a checkpoint of "
            "an enhancement network here)"
        )
    return model


def load_network(path: Path | str) -> Network:
    """The model of a checkpoint, for any task, in evaluation mode.

    Raises ModelFileError when the file is missing, truncated, damaged, no checkpoint of this program, or
    when its weights do not fit its configuration or hold a value that is not finite.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(SCALE)}
    model = _made(path, metadata["model"], metadata.get("config", ""))
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


def load_scales(path: Path | str) -> dict[str, LearnedScale]:
    """The learned scales of a checkpoint by weight; empty where none were learned.

    Raises ModelFileError for a file that is no checkpoint, for scales that fit no weight or are not above 0,
    and where scale or width is missing.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    found = {name.removeprefix(SCALE): scale for name, scale in tensors.items() if name.startswith(SCALE)}
    try:
        widths = dict(json.loads(metadata.get("widths", "{}")))
    except (TypeError, ValueError):
        widths = {}
    for name in sorted(found.keys() | widths.keys()):
        if not _sound(found.get(name), tensors.get(name), widths.get(name)):
            raise ModelFileError(f"{path}: the scale learned for {name} is damaged; train it again")
    return {name: LearnedScale(widths[name], tuple(scale.tolist())) for name, scale in found.items()}


def _sound(scale: Tensor | None, weight: Tensor | None, bits: object) -> bool:
    """Whether a learned scale has a positive number for each output channel of its weight, and a width."""
    if scale is None or weight is None or scale.dtype != torch.float32 or scale.shape != weight.shape[:1]:
        return False
    return type(bits) is int and bits in LEGAL["weights"] and bool((scale.isfinite() & (scale > 0)).all())


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a checkpoint."""
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
    if metadata.get("format") != FORMAT or metadata.get("model") not in (*KINDS, *TASK_KINDS):
        raise ModelFileError(
            f"{path}: not a tinydsn checkpoint (format is {metadata.get('format')!r}, must be {FORMAT!r})"
        )
    return metadata, tensors


def _made(path: Path, kind: str, text: str) -> Network:
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not a table of settings")
        if kind in TASK_KINDS:
            return TASK_KINDS[kind].network(configured(TASK_KINDS[kind].config, values))
        return KINDS[kind].network(configured(KINDS[kind].config, values))
    except (ValueError, ConfigError) as error:
        raise ModelFileError(f"{path}: the configuration in its header is damaged ({error})") from None
