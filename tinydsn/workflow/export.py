"""A model's streaming step as a ``.tflite`` file for other tools, checked in tflite-micro."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError, ToolchainError
from quant.frontend import FrontEndReference
from quant.graph import IntegerGraph
from quant.model_file import check_output, write_atomically
from quant.nearest import unknown
from quant.reference import Executor, hop_of, initial_state
from quant.tflite.flatbuffer import to_flatbuffer
from quant.tflite.model import Model as File
from quant.tflite.operators import CLOSE
from quant.tflite.runtime import Session
from quant.tflite.step import step_model
from quant.without_gates import without_gates
from tinydsn.bench.tflite_arena import measure_arena
from tinydsn.profiling.signal import speech_like
from tinydsn.workflow.models import load_model

SCHEMA = 1
FORMATS = ("tflite",)
BITS = ("equal", "close")
GATES = ("min", "max")
FRAMES = 60
"""Frames of speech-like sound that every exported file is checked with."""
RAW_RATE = 16000


@dataclass(frozen=True)
class Check:
    """An exported step in tflite-micro beside the reference: values of its outputs that differ, and by how
    many steps of the integer scale at most; states are fed back on both sides."""

    frames: int
    values: int
    differing: int
    largest: int


def export(
    model: str, to: str, output: Path, gates: str | None = None, bits: str = "equal"
) -> dict[str, Any]:
    """Write the step of ``model`` to ``output``; what ``tinydsn export --json`` prints.

    gates: "max" or "min", all gates of a gated model on or off. bits: "equal", or "close" for operators that
    cannot have equal bits. Raises ConfigError for other words, UnsupportedOperator for what TFLite cannot
    express, ToolchainError when tflite-micro gives other bits than the reference.
    """
    for word, given, legal in (("--to", to, FORMATS), ("--bits", bits, BITS), ("--gates", gates, GATES)):
        if given is not None and given not in legal:
            raise ConfigError(unknown(word, given, legal))
    if output.suffix != ".tflite":
        raise ConfigError(f"{output}: must end with .tflite")
    check_output(output)
    found = load_model(model)
    graph = static_graph(found.graph, gates)
    file = step_model(graph, bits == "close")
    content = to_flatbuffer(file)
    check = compare(graph, file, content)
    if bits == "equal" and check.differing:
        raise ToolchainError(
            f"{model}: tflite-micro gives {check.differing} of {check.values} values other than the integer "
            "reference (a scale that is no float32 number; quantize the model again)"
        )
    write_atomically(output, content)
    return {
        "schema": SCHEMA,
        "model": graph.name,
        "model_sha256": found.sha256,
        "file": str(output),
        "file_sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "gates": gates,
        "bits": "equal" if not check.differing else "close",
        "operators": len(file.steps),
        "close_operators": [op.name for op in graph.operators() if bits == "close" and op.kind in CLOSE],
        "check": asdict(check),
        "arena": asdict(measure_arena(content)),
        **tensors(graph, file),
    }


def static_graph(graph: IntegerGraph, gates: str | None) -> IntegerGraph:
    """The graph with its gates forced, or as it is; ConfigError for gates of a model that has none."""
    if gates is None:
        return graph
    if not graph.gates:
        raise ConfigError(f"model {graph.name!r} has no gates, so --gates {gates} has no meaning")
    return without_gates(graph, gates == "max")


def tensors(graph: IntegerGraph, file: File) -> dict[str, list[dict[str, Any]]]:
    """Inputs and outputs in the file's order. ``state``: the input that an output is fed back to; ``start``:
    a state's value before the first frame, where all its elements have one."""
    states = [state.tensor for state in graph.states]

    def row(name: str) -> dict[str, Any]:
        tensor = file.tensors[name]
        quantization = tensor.quantization
        return {
            "name": name,
            "shape": list(tensor.shape),
            "type": tensor.dtype,
            "scale": quantization.scale[0] if quantization else None,
            "zero_point": quantization.zero_point if quantization else None,
        }

    def start(name: str) -> int | None:
        values = np.unique(initial_state(graph, name))
        return int(values[0]) if len(values) == 1 else None

    fed = [None] * len(graph.outputs) + states
    return {
        "inputs": [row(name) | ({"start": start(name)} if name in states else {}) for name in file.inputs],
        "outputs": [row(name) | {"state": state} for name, state in zip(file.outputs, fed, strict=True)],
    }


def compare(graph: IntegerGraph, file: File, content: bytes, frames: int = FRAMES) -> Check:
    """Run the step in tflite-micro and in the reference, frame by frame, each with its own states."""
    session, reference = Session(content, f"model {graph.name!r}"), Executor(graph)
    shapes = [file.tensors[name].shape for name in file.inputs]
    states = [reference.states[state.tensor] for state in graph.states]
    values = differing = largest = 0
    for frame in frames_of(graph, frames):
        expected = [np.ravel(item) for item in reference.step(frame).outputs]
        given = [item.reshape(shape) for item, shape in zip([frame, *states], shapes, strict=True)]
        found = session.run(given, len(file.outputs))
        states = found[len(expected) :]
        for one, two in zip(expected, found, strict=False):
            error = np.abs(one.astype(np.int64) - two.reshape(-1))
            values += error.size
            differing += int(np.count_nonzero(error))
            largest = max(largest, int(error.max()))
    return Check(frames, values, differing, largest)


def frames_of(graph: IntegerGraph, frames: int) -> Iterator[np.ndarray]:
    """Inputs of the step: features of speech-like sound, or its samples for a model without front end."""
    hop, frontend = hop_of(graph), graph.frontend
    rate = frontend.sample_rate if frontend else RAW_RATE
    front = FrontEndReference(frontend) if frontend else None
    shape = graph.tensors[graph.inputs[0]].shape
    for samples in speech_like(frames * hop, rate).reshape(frames, hop):
        yield (front.analysis(samples) if front else samples).reshape(shape)
