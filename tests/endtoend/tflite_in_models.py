"""A small network as a ``.tflite`` file, and how imported files are compared with tflite-micro."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.graph import Quantization
from quant.model_file import to_bytes
from quant.reference import Pipeline
from quant.tflite.flatbuffer import to_flatbuffer
from quant.tflite.incoming import Imported, import_graph
from quant.tflite.model import Model as File
from quant.tflite.runtime import Session
from tinydsn.workflow.firmware import build_firmware, run_firmware
from tinydsn.workflow.importing import cut
from tinydsn.workflow.models import Model

BOARDS = ("host", "mps2-an386", "mps3-an547")
NONE, RELU, RELU6 = 0, 1, 3
SAME, VALID = 0, 1


class Network:
    """Appends layers with drawn weights and scales to a file; ``dtype`` is that of all activations."""

    def __init__(self, dtype: str, seed: int = 0) -> None:
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.file = File({}, {}, [], [], [])

    def tensor(self, name: str, shape: tuple[int, ...], scale: float, zero: int = 0) -> str:
        """An activation; int16 has a scale finer by 256, and no zero point."""
        wide = self.dtype == "int16"
        real = float(np.float32(scale / 256 if wide else scale))
        return self.file.tensor(name, shape, self.dtype, Quantization((real,), 0 if wide else zero))  # type: ignore[arg-type]

    def layer(
        self, builtin: str, source: str, weight: tuple[int, ...], output: str, axis: int, **fields: int
    ) -> str:
        """A linear operator with a scale a channel."""
        name, channels = output, weight[axis]
        scales = tuple(float(np.float32(value)) for value in self.rng.uniform(2e-3, 9e-3, channels))
        values = self.rng.integers(-127, 128, weight).astype(np.int8)
        self.file.constant(f"{name}.w", values, Quantization(scales, 0, axis))
        bias = self.rng.integers(-500, 500, channels)
        before = self.file.tensors[source].quantization
        assert before is not None
        real = Quantization(tuple(before.scale[0] * scale for scale in scales), 0, 0)
        self.file.constant(f"{name}.b", bias.astype(np.int64 if self.dtype == "int16" else np.int32), real)
        title = {"CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D"}.get(builtin, "FullyConnected")
        return self.file.add(builtin, (source, f"{name}.w", f"{name}.b"), output, f"{title}Options", fields)

    def function(self, builtin: str, source: str, output: str) -> str:
        """LOGISTIC, TANH or SOFTMAX."""
        narrow = {"TANH": (2**-7, 0)}.get(builtin, (2**-8, -128))
        shape = self.file.tensors[source].shape
        scale, zero = narrow if self.dtype == "int8" else (2**-7, 0)
        self.tensor(output, shape, scale, zero)
        options = ("SoftmaxOptions", {"Beta": 1.0}) if builtin == "SOFTMAX" else ("", {})
        return self.file.add(builtin, (source,), output, *options)

    def pair(self, builtin: str, one: str, two: str, output: str, scale: float, zero: int = 0) -> str:
        """ADD, SUB or MUL with a scale of its own."""
        self.tensor(output, self.file.tensors[one].shape, scale, zero)
        fields = {"FusedActivationFunction": NONE}
        return self.file.add(builtin, (one, two), output, f"{builtin.title()}Options", fields)


def spotter(dtype: str) -> bytes:
    """Convolutions over an image, a gated layer, and a softmax, as keyword spotters have them."""
    net = Network(dtype, 11)
    image = net.tensor("image", (1, 9, 6, 1), 0.05, -20)
    window = {"StrideH": 2, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    net.tensor("wide", (1, 5, 6, 8), 0.08, -128)
    net.layer(
        "DEPTHWISE_CONV_2D",
        image,
        (1, 3, 4, 8),
        "wide",
        3,
        **window,
        Padding=SAME,
        DepthMultiplier=8,
        FusedActivationFunction=RELU,
    )
    window |= {"StrideH": 1}
    net.tensor("deep", (1, 4, 6, 8), 0.06, 9)
    net.layer(
        "DEPTHWISE_CONV_2D",
        "wide",
        (1, 2, 1, 8),
        "deep",
        3,
        **window,
        Padding=VALID,
        DepthMultiplier=1,
        FusedActivationFunction=NONE,
    )
    net.tensor("mixed", (1, 4, 6, 5), 0.05, -128)
    net.layer(
        "CONV_2D", "deep", (5, 1, 1, 8), "mixed", 0, **window, Padding=VALID, FusedActivationFunction=RELU6
    )
    flat, size = "mixed", 120
    if dtype == "int8":
        net.tensor("pooled", (1, 2, 2, 5), 0.05, -128)
        fields = {"Padding": VALID, "StrideH": 2, "StrideW": 3, "FilterHeight": 2, "FilterWidth": 3}
        flat, size = net.file.add("AVERAGE_POOL_2D", ("mixed",), "pooled", "Pool2DOptions", fields), 20
    row = net.file.reshape(flat, "row", (1, size))
    for name in ("update", "new", "old"):
        net.tensor(name, (1, 10), 0.04, 3)
        net.layer("FULLY_CONNECTED", row, (10, size), name, 0, FusedActivationFunction=NONE)
    update, new = net.function("LOGISTIC", "update", "z"), net.function("TANH", "new", "n")
    difference = net.pair("SUB", "old", new, "difference", 0.05, 1)
    moved = net.pair("MUL", update, difference, "moved", 0.03, -2)
    state = net.pair("ADD", new, moved, "state", 0.035, 5)
    net.tensor("logits", (1, 4), 0.03, 4)
    net.layer("FULLY_CONNECTED", state, (4, 10), "logits", 0, FusedActivationFunction=NONE)
    result = net.function("SOFTMAX", "logits", "shares")
    net.file.inputs, net.file.outputs = [image], [result, state]
    return to_flatbuffer(net.file)


def expected(made: Imported, content: bytes, frames: np.ndarray) -> np.ndarray:
    """What tflite-micro makes of int16 [frames, hop], laid out as the firmware's output."""
    session = Session(content, made.graph.name, 1 << 22)
    result = np.zeros_like(frames)
    for frame, out in zip(frames, result, strict=True):
        values = session.run([cut(frame, port) for port in made.inputs], len(made.outputs))
        for port, found in zip(made.outputs, values, strict=True):
            out[port.begin : port.begin + found.size] = found.reshape(-1)
    return result


def check(content: bytes, frames: np.ndarray, folder: Path, boards: tuple[str, ...] = BOARDS) -> np.ndarray:
    """The reference and the firmware on all boards give the bits of tflite-micro, which are returned; skips
    where a tool is missing."""
    made = import_graph(content, "given.tflite", "given")
    wanted = expected(made, content, frames)
    pcm = frames.reshape(-1)
    np.testing.assert_array_equal(Pipeline(made.graph).run(pcm).pcm, wanted.reshape(-1))
    assert to_bytes(made.graph) == to_bytes(import_graph(content, "given.tflite", "given").graph)
    model = Model(made.graph, Path("given.tflite"), "0" * 64)
    for board in boards:
        try:
            firmware = build_firmware(model, board, folder / board)
        except MissingTool as error:
            pytest.skip(str(error))
        found = run_firmware(firmware, pcm, GatePattern("learned")).pcm
        np.testing.assert_array_equal(found.reshape(frames.shape), wanted, err_msg=board)
    return wanted
