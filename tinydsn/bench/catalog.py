"""The cases that ``tinydsn bench`` measures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinydsn.bench.case import Case, graph_case, joined, operator_case, quantized, tensor

SCALE = {"int16": 2.0**-12, "int8": 0.031}


def cases() -> list[Case]:
    """All cases, in the order of the table."""
    both = ("16x8", "8x8")
    return [
        *(matrix(f"fully_connected_{bits}", *size) for bits in (*both, "16x4", "8x4") for size in MATRICES),
        *(convolution(f"conv2d_{bits}", *case) for bits in both for case in CONVOLUTIONS),
        *(depthwise(f"depthwise_{bits}", *case) for bits in both for case in DEPTHWISE),
        *(gru("gru_16x8", *case) for case in CELLS),
    ]


MATRICES = [(1, 192, 192), (1, 64, 192), (31, 16, 48), (31, 64, 64), (31, 16, 16)]
"""Rows, inputs, outputs."""
CONVOLUTIONS = [
    ((8, 16, 16), 16, (3, 3), (1, 1), (1, 1, 1, 1)),
    ((2, 64, 2), 8, (2, 3), (1, 2), (0, 0, 1, 1)),
    ((1, 64, 16), 16, (1, 3), (1, 1), (0, 0, 1, 1)),
]
"""Image, output channels, window, stride, padding (top, bottom, left, right)."""
DEPTHWISE = [((8, 16, 16), (3, 3), (1, 1), (1, 1, 1, 1)), ((1, 64, 16), (1, 3), (1, 1), (0, 0, 1, 1))]


CELLS = [(31, 16, 16), (1, 16, 16)]
"""Rows, inputs, states of a GRU cell."""


def random_weights(shape: tuple[int, ...], axis: int, seed: int, bits: int = 8) -> np.ndarray:
    """Weights of one scale, so that CMSIS-NN's kernels with one factor for all channels compute the same."""
    rng, largest = np.random.default_rng(seed), 2 ** (bits - 1) - 1
    values = rng.integers(-largest, largest + 1, shape).astype(np.float64)
    flat = np.moveaxis(values, axis, 0)
    flat[(slice(None), *([0] * (len(shape) - 1)))] = largest
    taps = values.size // shape[axis]
    return values / largest / np.sqrt(taps)


def matrix(kernel: str, rows: int, columns: int, channels: int) -> Case:
    """One matrix times ``rows`` vectors."""
    dtype = "int16" if "16x" in kernel else "int8"
    zero = 5 if dtype == "int8" else 0
    bits = int(kernel[-1])
    weight = random_weights((channels, columns), 0, rows + columns + channels, bits)
    bias = np.random.default_rng(2).standard_normal(channels) / 4
    data = tensor("x", (rows, columns), dtype, SCALE[dtype], zero)
    output = tensor("y", (rows, channels), dtype, SCALE[dtype], -zero)
    inputs = (data, tensor("w", weight.shape, "int8", 1.0), tensor("b", bias.shape, "int32", 1.0))
    shape = f"{columns}x{channels}" + (f", {rows} rows" if rows > 1 else "")
    return operator_case(kernel, shape, "fully_connected", inputs, output, {}, {1: weight, 2: bias}, bits)


def convolution(
    kernel: str,
    image: tuple[int, int, int],
    channels: int,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Case:
    """A convolution over one image."""
    weight = random_weights((channels, *window, image[2]), 0, 3)
    shape = f"{window[0]}x{window[1]} {image[2]}->{channels} over {image[0]}x{image[1]}"
    return _windowed(kernel, "conv2d", shape, image, weight, channels, window, stride, padding)


def depthwise(
    kernel: str,
    image: tuple[int, int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Case:
    """A depthwise convolution over one image."""
    weight = random_weights((*window, image[2]), 2, 4)
    shape = f"{window[0]}x{window[1]} {image[2]} over {image[0]}x{image[1]}"
    return _windowed(kernel, "depthwise_conv2d", shape, image, weight, image[2], window, stride, padding)


def gru(
    kernel: str,
    rows: int,
    inputs: int,
    hidden: int,
    change: Callable[[np.ndarray], np.ndarray] = lambda values: values,
    scale: float = 2.0**-12,
) -> Case:
    """A whole GRU cell over ``rows``, whose products' multiply-accumulates are counted; with CMSIS-NN its
    kernels for both products, and the update on its own. ``scale``: of the products."""
    x, state = (
        tensor("x", (rows, inputs), "int16", SCALE["int16"]),
        tensor("h", (rows, hidden), "int16", 2.0**-15),
    )
    sides = [tensor(name, (rows, 3 * hidden), "int16", scale) for name in ("gx", "gh")]
    products = []
    for seed, (data, output) in enumerate(zip((x, state), sides, strict=True)):
        weight = random_weights((3 * hidden, data.shape[-1]), 0, seed)
        bias = np.random.default_rng(seed).standard_normal(3 * hidden) / 4
        names = (f"{output.name}.w", f"{output.name}.b")
        operands = (
            data,
            tensor(names[0], weight.shape, "int8", 1.0),
            tensor(names[1], bias.shape, "int32", 1.0),
        )
        products.append(quantized(output.name, "fully_connected", operands, output, {}, {1: weight, 2: bias}))
    output = tensor("y", state.shape, "int16", 2.0**-15)
    update = quantized("update", "gru_update", (*sides, state), output)
    graph = joined(kernel, *products, update)
    macs = 3 * hidden * (inputs + hidden) * rows
    return graph_case(kernel, f"{inputs}->{hidden} over {rows} rows, all in", graph, macs, change)


def _windowed(
    kernel: str,
    kind: str,
    shape: str,
    image: tuple[int, int, int],
    weight: np.ndarray,
    channels: int,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Case:
    dtype = "int16" if "16x" in kernel else "int8"
    zero = -3 if dtype == "int8" else 0
    bias = np.random.default_rng(2).standard_normal(channels) / 4
    height = (image[0] + padding[0] + padding[1] - window[0]) // stride[0] + 1
    width = (image[1] + padding[2] + padding[3] - window[1]) // stride[1] + 1
    data = tensor("x", image, dtype, SCALE[dtype], zero)
    output = tensor("y", (height, width, channels), dtype, SCALE[dtype], -zero)
    inputs = (data, tensor("w", weight.shape, "int8", 1.0), tensor("b", bias.shape, "int32", 1.0))
    attributes = {"stride": stride, "dilation": (1, 1), "padding": padding}
    return operator_case(kernel, shape, kind, inputs, output, attributes, {1: weight, 2: bias})
