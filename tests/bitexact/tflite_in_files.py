"""Small ``.tflite`` files of one operator, with scales such as converters choose them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from quant.graph import Quantization
from quant.reference import Executor
from quant.tflite.flatbuffer import to_flatbuffer
from quant.tflite.incoming import Imported, import_graph
from quant.tflite.model import Model
from quant.tflite.runtime import Session
from tinydsn.workflow.importing import cut, random_frames

Case = tuple[Callable[["Maker"], None], tuple[str, ...]]
ACTIVATION = {"none": 0, "relu": 1, "relu6": 3}


def scale(rng: np.random.Generator, low: float = 1e-3, high: float = 0.5) -> float:
    """A float32 scale."""
    return float(np.float32(2.0 ** rng.uniform(np.log2(low), np.log2(high))))


class Maker:
    """Puts a file together; ``dtype`` is that of all activations."""

    def __init__(self, seed: int, dtype: str) -> None:
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.model = Model({}, {}, [], [], [])

    def quantization(self, real: float | None = None, zero: int | None = None) -> Quantization:
        """A scale that is drawn unless it is given; int16 has no zero point."""
        drawn = int(self.rng.integers(-128, 128)) if zero is None else zero
        low, high = (1e-3, 0.5) if self.dtype == "int8" else (1e-5, 1e-2)
        given = scale(self.rng, low, high) if real is None else float(np.float32(real))
        return Quantization((given,), drawn if self.dtype == "int8" else 0)

    def input(self, shape: Sequence[int], real: float | None = None, zero: int | None = None) -> str:
        """An input of the file."""
        name = f"x{len(self.model.inputs)}"
        self.model.inputs.append(name)
        return self.model.tensor(name, shape, self.dtype, self.quantization(real, zero))  # type: ignore[arg-type]

    def output(self, shape: Sequence[int], real: float | None = None, zero: int | None = None) -> str:
        """The output of the file, with a scale near the inputs' unless it is given."""
        self.model.outputs.append("y")
        return self.model.tensor("y", shape, self.dtype, self.quantization(real, zero))  # type: ignore[arg-type]

    def real(self, name: str) -> float:
        """The scale of a tensor."""
        quantization = self.model.tensors[name].quantization
        assert quantization is not None
        return quantization.scale[0]

    def weight(self, shape: Sequence[int], axis: int, channelwise: bool) -> str:
        """int8 weights with a scale for all, or one a channel."""
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        count = shape[axis] if channelwise else 1
        scales = tuple(scale(self.rng, 2e-3, 2e-2) for _ in range(count))
        return self.model.constant("w", values, Quantization(scales, 0, axis))

    def bias(self, channels: int) -> str:
        """A bias of the type that TFLite gives it."""
        wide = self.dtype == "int16"
        values = self.rng.integers(-(2**20 if wide else 2**11), 2**20 if wide else 2**11, channels)
        return self.model.constant(
            "b", values.astype(np.int64 if wide else np.int32), Quantization((1e-5,), 0)
        )

    def step(self, builtin: str, inputs: Sequence[str], options: str = "", **fields: Any) -> None:
        """The operator."""
        self.model.add(builtin, inputs, "y", options, fields)

    def content(self) -> bytes:
        """The file's bytes."""
        return to_flatbuffer(self.model)


def differing(content: bytes, frames: int = 16, seed: int = 0) -> tuple[int, int, Imported]:
    """Values that the imported graph and tflite-micro compute differently, distinct values, and the graph."""
    made = import_graph(content, "one.tflite", "one")
    session, reference = Session(content, "one"), Executor(made.graph)
    wrong, seen = 0, set()
    for frame in random_frames(made, frames, seed):
        expected = session.run([cut(frame, port) for port in made.inputs], len(made.outputs))
        (found,) = reference.step(frame).outputs
        for port, theirs in zip(made.outputs, expected, strict=True):
            wrong += int(np.count_nonzero(cut(found, port) != theirs.reshape(port.shape)))
            seen |= set(theirs.reshape(-1).tolist())
    return wrong, len(seen), made


def fully_connected(maker: Maker, channelwise: bool, activation: str, with_bias: bool) -> None:
    """Rows of 24 into 7 channels. TFLite demands a bias's scale to be that of the sums."""
    data, weight = maker.input((2, 24)), maker.weight((7, 24), 0, channelwise)
    before = maker.real(data)
    bias = ""
    if with_bias:
        bias = maker.bias(7)
        product = before * maker.model.tensors[weight].quantization.scale[0]  # type: ignore[union-attr]
        maker.model.tensor(bias, (7,), maker.model.tensors[bias].dtype, Quantization((product,), 0))
    maker.output((2, 7), before * scale(maker.rng, 0.1, 1.0))
    maker.step("FULLY_CONNECTED", (data, weight, bias), "FullyConnectedOptions", **fused(activation))


def convolution(
    maker: Maker, channelwise: bool, activation: str, padding: int, multiplier: int | None
) -> None:
    """A 3 x 2 window at stride 2; with ``multiplier`` depthwise, of one channel where that is above 1."""
    inputs = 1 if multiplier and multiplier > 1 else 4
    channels = 5 if multiplier is None else inputs * multiplier
    data = maker.input((1, 7, 6, inputs))
    shape, axis = ((5, 3, 2, 4), 0) if multiplier is None else ((1, 3, 2, channels), 3)
    operands = (data, maker.weight(shape, axis, channelwise), maker.bias(channels))
    size = (4, 3) if padding == 0 else (3, 3)
    maker.output((1, *size, channels), maker.real(data) * scale(maker.rng, 0.1, 1.0))
    fields = {**fused(activation), "Padding": padding, "StrideH": 2, "StrideW": 2}
    fields |= {"DilationHFactor": 1, "DilationWFactor": 1}
    if multiplier is None:
        maker.step("CONV_2D", operands, "Conv2DOptions", **fields)
    else:
        maker.step(
            "DEPTHWISE_CONV_2D", operands, "DepthwiseConv2DOptions", DepthMultiplier=multiplier, **fields
        )


def elementwise(maker: Maker, builtin: str, activation: str, second: Sequence[int]) -> None:
    """Two inputs with scales of their own."""
    inputs = (maker.input((1, 3, 5)), maker.input(second))
    largest = max(maker.real(name) for name in inputs)
    near = scale(maker.rng, 0.4, 2.0) * (maker.real(inputs[0]) * 50 if builtin == "MUL" else 1) * largest
    maker.output((1, 3, 5), near, -90)
    maker.step(builtin, inputs, f"{builtin.title()}Options", **fused(activation))


def pointwise(maker: Maker, builtin: str, narrow: tuple[float, int], wide: float) -> None:
    """A function with the output scale that TFLite prescribes."""
    real, zero = narrow if maker.dtype == "int8" else (wide, 0)
    data = maker.input((1, 60))
    maker.output((1, 60), real, zero)
    maker.step(builtin, (data,))


def rectifier(maker: Maker, builtin: str, one_scale: bool) -> None:
    """A ReLU of its own."""
    data = maker.input((1, 40))
    known = maker.model.tensors[data].quantization
    assert known is not None
    maker.output((1, 40), *((known.scale[0], known.zero_point) if one_scale else ()))
    maker.step(builtin, (data,))


def softmax(maker: Maker, beta: float, length: int) -> None:
    """Rows."""
    data = maker.input((3, length))
    maker.output((3, length), 2**-8 if maker.dtype == "int8" else 2**-15, -128)
    maker.step("SOFTMAX", (data,), "SoftmaxOptions", Beta=beta)


def average(maker: Maker, height: int, width: int) -> None:
    """Two windows, one below the other."""
    data = maker.input((1, 2 * height, width, 3))
    known = maker.model.tensors[data].quantization
    assert known is not None
    maker.output((1, 2, 1, 3), known.scale[0], known.zero_point)
    fields = {"Padding": 1, "StrideH": height, "StrideW": width, **fused("none")}
    maker.step("AVERAGE_POOL_2D", (data,), "Pool2DOptions", FilterHeight=height, FilterWidth=width, **fields)


def quantize(maker: Maker) -> None:
    """A change of scale."""
    data = maker.input((1, 40))
    maker.output((1, 40))
    maker.step("QUANTIZE", (data,), "QuantizeOptions")


def fused(activation: str) -> dict[str, int]:
    """The field of a fused activation."""
    return {"FusedActivationFunction": ACTIVATION[activation]}


def _cases() -> Iterator[tuple[str, Case]]:
    both, narrow = ("int8", "int16"), ("int8",)
    for channelwise in (False, True):
        kind = "channels" if channelwise else "one scale"
        for activation in ("none", "relu6"):
            for bias in (True, False):
                yield (
                    f"fully connected, {kind}, {activation}, bias {bias}",
                    (
                        partial(
                            fully_connected, channelwise=channelwise, activation=activation, with_bias=bias
                        ),
                        both,
                    ),
                )
        for multiplier in (None, 1, 8):
            for padding, activation in ((0, "relu6"), (1, "relu")):
                how = {"channelwise": channelwise, "activation": activation, "padding": padding}
                name = f"convolution, {kind}, multiplier {multiplier}, padding {padding}, {activation}"
                yield name, (partial(convolution, multiplier=multiplier, **how), both)
    for builtin in ("ADD", "SUB", "MUL"):
        for activation, second in (("none", (1, 3, 5)), ("relu", (5,)), ("relu6", (1,))):
            how = {"builtin": builtin, "activation": activation, "second": second}
            yield f"{builtin} {activation} {second}", (partial(elementwise, **how), both)
    yield "LOGISTIC", (partial(pointwise, builtin="LOGISTIC", narrow=(2**-8, -128), wide=2**-15), both)
    yield "TANH", (partial(pointwise, builtin="TANH", narrow=(2**-7, 0), wide=2**-15), both)
    yield "RELU", (partial(rectifier, builtin="RELU", one_scale=True), both)
    yield "RELU with two scales", (partial(rectifier, builtin="RELU", one_scale=False), both)
    yield "RELU6", (partial(rectifier, builtin="RELU6", one_scale=True), both)
    for beta, length in ((1.0, 10), (0.7, 10), (1.0, 300)):
        yield f"SOFTMAX {beta} {length}", (partial(softmax, beta=beta, length=length), both)
    for height, width in ((2, 2), (3, 2), (5, 5), (25, 5), (7, 4)):
        yield f"average {height} x {width}", (partial(average, height=height, width=width), narrow)
    yield "QUANTIZE", (quantize, both)


CASES: dict[str, Case] = dict(_cases())
"""Files by name, and the types that TFLite Micro has them for."""
