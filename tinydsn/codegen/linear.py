"""What emitters know of fully_connected, conv2d and depthwise_conv2d: window, weights, scales, proofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant import fixed_point
from quant.graph import INTEGER_RANGE
from tinydsn.codegen.call import Request

INT32_LIMIT = 2**31
PACKED = (1, 2)
"""Inputs whose constants linear operators lay out themselves: weight and bias."""


@dataclass(frozen=True)
class Window:
    """A convolution's geometry; pairs are (height, width). ``after`` is the padding below and right."""

    size: tuple[int, int]
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    out: tuple[int, int]

    @property
    def elements(self) -> int:
        """Elements of the window over all channels."""
        return self.kernel[0] * self.kernel[1] * self.channels

    def turned(self) -> Window:
        """The same with height and width exchanged."""
        pairs = {name: getattr(self, name)[::-1] for name in self.__dataclass_fields__ if name != "channels"}
        return Window(channels=self.channels, **pairs)


def window_of(request: Request) -> Window:
    """Geometry of a convolution from its tensors and attributes (padding: top, bottom, left, right), or of a
    fully connected layer as a 1x1 convolution over its rows."""
    if request.operator.kind == "fully_connected":
        columns = request.input().shape[-1]
        rows = request.input().size // columns
        one = (1, 1)
        return Window((1, rows), columns, one, one, one, (0, 0), (0, 0), (1, rows))
    weight = request.input(1).shape
    kernel = (weight[1], weight[2]) if request.operator.kind != "depthwise_conv2d" else (weight[0], weight[1])
    height, width, channels = request.input().shape
    channels = int(request.operator.attributes.get("channels", channels))  # type: ignore[arg-type]
    top, bottom, left, right = request.integers("padding")
    return Window(
        size=(height, width),
        channels=channels,
        kernel=kernel,
        stride=request.integers("stride"),  # type: ignore[arg-type]
        dilation=request.integers("dilation"),  # type: ignore[arg-type]
        before=(top, left),
        after=(bottom, right),
        out=(request.output.shape[0], request.output.shape[1]),
    )


def weight_rows(request: Request) -> np.ndarray:
    """int64 [output channels, weights of a channel]."""
    weight = request.graph.constants[request.operator.inputs[1]].astype(np.int64)
    if request.operator.kind == "depthwise_conv2d":
        return np.moveaxis(weight, -1, 0).reshape(weight.shape[-1], -1)
    return weight.reshape(weight.shape[0], -1)


def bias_of(request: Request) -> np.ndarray:
    """int64 [output channels]; zeros where the operator has none."""
    names = request.operator.inputs
    if len(names) < 3 or not names[2]:
        return np.zeros(request.output.shape[-1], np.int64)
    return request.graph.constants[names[2]].astype(np.int64)


def live(request: Request) -> np.ndarray:
    """bool [output channels]: the others have neither weights nor bias, and are zero whatever their scale."""
    return np.any(weight_rows(request), axis=1) | (bias_of(request) != 0)


def factors(request: Request) -> tuple[np.ndarray, np.ndarray]:
    """Q31 multiplier and left shift of each channel, 0 and 0 for channels that are not live."""
    alive = live(request)
    multiplier = np.array(request.integers("multiplier"), np.int64)
    return np.where(alive, multiplier, 0), np.where(alive, np.array(request.integers("shift"), np.int64), 0)


def reduced_factors(request: Request) -> tuple[np.ndarray, np.ndarray]:
    """As `factors`, with the Q15 multiplier of 16x8."""
    multiplier, shift = factors(request)
    return np.array([fixed_point.reduce_multiplier(int(value)) for value in multiplier], np.int64), shift


def sum_bounds(request: Request) -> np.ndarray:
    """int64 [output channels]: the largest |bias + sum of products| for any input."""
    low, high = INTEGER_RANGE[request.input().dtype]
    offset = request.integer("input_offset")
    largest = max(abs(low + offset), abs(high + offset))
    return np.abs(weight_rows(request)).sum(axis=1) * largest + np.abs(bias_of(request))


def stored_bits(request: Request) -> int:
    """Bits of a weight in flash, 2 to 8. 8 and `nibbles` have kernels of their own; others are unpacked."""
    return int(request.operator.attributes.get("weight_bits", 8))  # type: ignore[arg-type]


def weight_shift(request: Request) -> int:
    """The weights of the graph are multiples of 2 to this power (`quant.ops.linear.upper_bits`)."""
    return int(request.operator.attributes.get("weight_shift", 0))  # type: ignore[arg-type]


def nibbles(request: Request) -> bool:
    """Whether weights are integers of 4 bits, from -7 to 7."""
    return stored_bits(request) == 4 and weight_shift(request) == 0


def narrow_is_proven(request: Request) -> bool:
    """Whether our 32-bit kernels give the exact result of every channel.

    16x8: sums fit 32 bits and every scale is at most 1/4, so that upper halves of products suffice. int8:
    twice the sum fits 32 bits, and no scale is above 1/2.
    """
    bound = int(np.max(sum_bounds(request)))
    if request.output.dtype == "int16":
        reduced, shift = reduced_factors(request)
        plain = request.integer("activation_min") in (0, -(2**15))
        return bool(plain and bound < INT32_LIMIT and np.all((14 - shift >= 16) | (reduced == 0)))
    multiplier, shift = factors(request)
    # interleaved kernels take a multiplier for what TFLite makes it: a mantissa from 1/2 up
    plain = bool(not request.target.interleaved or np.all((multiplier >= 2**30) | (multiplier == 0)))
    return bool(plain and bound < INT32_LIMIT // 2 and np.all((shift <= -1) | (multiplier == 0)))
