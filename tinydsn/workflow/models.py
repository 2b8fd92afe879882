"""Finds the integer graph a user means."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from quant.errors import ModelFileError
from quant.graph import IntegerGraph
from quant.model_file import load, to_bytes
from quant.nearest import nearest, unknown

_SHIPPED = "pretrained"


@dataclass(frozen=True)
class Model:
    """An integer graph, the file it came from, and that file's SHA-256."""

    graph: IntegerGraph
    path: Path
    sha256: str


def pretrained() -> Mapping[str, Path]:
    """Shipped checkpoints of enhancement networks by name."""
    return _checkpoints(_SHIPPED)


def pretrained_tasks() -> Mapping[str, Path]:
    """Shipped checkpoints of other tasks by name."""
    return _checkpoints(f"{_SHIPPED}/tasks")


def _checkpoints(folder: str) -> Mapping[str, Path]:
    found = Path(str(resources.files("tinydsn") / folder)).glob("*.safetensors")
    return {path.stem: path for path in sorted(found, key=lambda path: path.stem)}


def checkpoint_path(text: str) -> Path | None:
    """The checkpoint that ``text`` names: a shipped model's name or a .safetensors file; else None."""
    shipped = {**pretrained(), **pretrained_tasks()}
    if text in shipped:
        return shipped[text]
    path = Path(text)
    return path if path.suffix == ".safetensors" else None


def load_model(text: str) -> Model:
    """An integer graph by file, by checkpoint (the graph beside it), or by a shipped model's name; a
    ``.tflite`` file is imported, its SHA-256 that of the graph's file.

    Raises ModelFileError when there is none.
    """
    checkpoint = checkpoint_path(text)
    path = Path(text) if checkpoint is None else checkpoint.with_suffix(".tdsn")
    if checkpoint is not None and not path.is_file():
        raise ModelFileError(
            f"{checkpoint}: no integer graph beside it (make one: "
            f"`tinydsn quantize {text} --calibration DIR -o {path}`)"
        )
    if not path.is_file():
        raise ModelFileError(_no_model(text))
    if path.suffix == ".tflite":
        return _imported(path)
    graph, sha256 = load(path)
    return Model(graph, path, sha256)


def _no_model(text: str) -> str:
    path = Path(text)
    if path.is_dir():
        return f"{text}: is a folder (must be a .tdsn file, a checkpoint, or a shipped model's name)"
    if ":" in text:
        return (
            f"{text}: is no .tdsn file (make one of a module of yours: "
            f"`tinydsn quantize {text} --calibration DIR -o model.tdsn`)"
        )
    if path.suffix:
        near = nearest(path.stem, [file.stem for file in path.parent.glob(f"*{path.suffix}")])
        return f"{text}: no such file" + (f", did you mean {near + path.suffix!r}?" if near else "")
    return unknown("model", text, pretrained(), "a .tdsn file, or a checkpoint")


def _imported(path: Path) -> Model:
    from tinydsn.workflow.importing import read_tflite

    graph = read_tflite(path).graph
    return Model(graph, path, hashlib.sha256(to_bytes(graph)).hexdigest())
