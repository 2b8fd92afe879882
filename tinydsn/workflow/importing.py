"""A quantized ``.tflite`` file of any origin as an integer graph, checked in tflite-micro."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError, ModelFileError, ToolchainError
from quant.model_file import save
from quant.reference import Executor
from quant.tflite.incoming import Imported, Port, import_graph
from quant.tflite.runtime import Session

SCHEMA = 1
FRAMES = 60
"""Frames of random integers that every imported file is checked with."""
ARENA_BYTES = 1 << 24


@dataclass(frozen=True)
class Check:
    """The imported graph beside tflite-micro: values of its outputs that differ; each side keeps its own
    variables from frame to frame."""

    frames: int
    values: int
    differing: int


def read_tflite(path: Path) -> Imported:
    """The graph of a file, unchecked. Raises ModelFileError, UnsupportedOperator, QuantizationError."""
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    return import_graph(path.read_bytes(), path.name, path.stem)


def import_tflite(source: Path, output: Path) -> dict[str, Any]:
    """Write ``source`` as an integer graph to ``output``; what ``tinydsn import --json`` prints.

    Raises ConfigError for an output of another kind, ToolchainError when tflite-micro gives other bits than
    the integer graph, else as `read_tflite`.
    """
    if output.suffix != ".tdsn":
        raise ConfigError(f"{output}: must end with .tdsn")
    made = read_tflite(source)
    content = source.read_bytes()
    check = compare(made, content, source.name)
    if check.differing:
        raise ToolchainError(
            f"{source.name}: {check.differing} of {check.values} values differ from tflite-micro's (a fault "
            "of tinydsn's import; nothing was written)"
        )
    sha256 = save(made.graph, output)
    (hop,) = made.graph.tensors[made.graph.inputs[0]].shape
    return {
        "schema": SCHEMA,
        "source": str(source),
        "source_sha256": hashlib.sha256(content).hexdigest(),
        "file": str(output),
        "model_sha256": sha256,
        "hop": hop,
        "operators": dict(sorted(Counter(operator.builtin for operator in made.operators).items())),
        "states": len(made.graph.states),
        "inputs": [asdict(port) for port in made.inputs],
        "outputs": [asdict(port) for port in made.outputs],
        "check": asdict(check),
    }


def compare(made: Imported, content: bytes, what: str, frames: int = FRAMES) -> Check:
    """Run file and graph side by side over frames of random integers, all rims of the types among them."""
    session, reference = Session(content, what, ARENA_BYTES), Executor(made.graph)
    (hop,) = made.graph.tensors[made.graph.inputs[0]].shape
    values = differing = 0
    for frame in random_frames(made, frames):
        expected = session.run([cut(frame, port) for port in made.inputs], len(made.outputs))
        (found,) = reference.step(frame).outputs
        for port, theirs in zip(made.outputs, expected, strict=True):
            values += theirs.size
            differing += int(np.count_nonzero(cut(found, port) != theirs.reshape(port.shape)))
    return Check(frames, values, differing)


def cut(frame: np.ndarray, port: Port) -> np.ndarray:
    """A port's elements of an int16 frame, in its type and shape."""
    size = int(np.prod(port.shape, dtype=np.int64))
    return frame[port.begin : port.begin + size].astype(port.dtype).reshape(port.shape)


def random_frames(made: Imported, frames: int, seed: int = 0) -> np.ndarray:
    """int16 [frames, hop] for the inputs' types: lowest, highest, both mixed, zero points, then in turn any
    values and values near a level of the frame."""
    rng = np.random.default_rng(seed)
    (hop,) = made.graph.tensors[made.graph.inputs[0]].shape
    result = np.zeros((frames, hop), np.int16)
    for port in made.inputs:
        low, high = np.iinfo(port.dtype).min, np.iinfo(port.dtype).max
        size = int(np.prod(port.shape, dtype=np.int64))
        chosen = result[:, port.begin : port.begin + size]
        for index in range(frames):
            kind = index % 12 if index < 12 else 4 + index % 8
            if kind < 2:
                chosen[index] = (low, high)[kind]
            elif kind == 2:
                chosen[index] = rng.choice((low, high), size)
            elif kind == 3:
                chosen[index] = port.zero_point
            elif kind % 2:
                near = rng.integers(low, high + 1) + (high - low) / 25 * rng.standard_normal(size)
                chosen[index] = np.clip(np.round(near), low, high)
            else:
                chosen[index] = rng.integers(low, high + 1, size)
    return result
