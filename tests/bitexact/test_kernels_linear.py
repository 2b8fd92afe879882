"""Fully connected and convolutions in C equal their NumPy meaning, for both weight layouts."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_harness import DSP, HOST, assert_equal, compile_graph, one_operator, scaled

from quant.graph import IntegerGraph
from tinydsn.codegen.call import CodeTarget, Request
from tinydsn.codegen.emit_linear import interleave, narrow_is_proven

LAYOUTS = pytest.mark.parametrize("target", [HOST, DSP], ids=["natural", "interleaved"])
ROWS = [(1, 16, 48), (1, 7, 5), (2, 24, 12), (3, 10, 9), (16, 12, 48), (5, 3, 1), (4, 130, 6), (1, 1, 1)]


def linear(
    rows: int, columns: int, channels: int, dtype: str, output_scale: float, seed: int = 0
) -> IntegerGraph:
    rng = np.random.default_rng([seed, rows, columns, channels])
    weight = rng.uniform(-2, 2, (channels, columns)) / np.sqrt(columns)
    weight[0] = 0  # a channel without weights
    bias = rng.standard_normal(channels) / 4
    bias[0] *= seed > 0
    zero = 7 if dtype == "int8" else 0
    data = scaled("x", (rows, columns), dtype, 2.0**-12 if dtype == "int16" else 0.031, zero)
    output = scaled("y", (rows, channels), dtype, output_scale, -zero)
    w, b = scaled("w", weight.shape), scaled("b", bias.shape)
    attributes = {"activation": ("none", "relu", "relu6")[seed % 3]}
    return one_operator("fully_connected", [data, w, b], output, attributes, {1: weight, 2: bias})


@LAYOUTS
@pytest.mark.parametrize("size", ROWS)
def test_fully_connected_16x8(size: tuple[int, int, int], target: CodeTarget) -> None:
    for seed in range(3):
        graph = linear(*size, "int16", 2.0**-12, seed)
        assert narrow_is_proven(Request(next(graph.operators()), graph, target, "p"))
        assert_equal(graph, np.random.default_rng(seed), target)


@pytest.mark.parametrize("size", ROWS)
def test_fully_connected_int8(size: tuple[int, int, int]) -> None:
    for seed in range(3):
        assert_equal(linear(*size, "int8", 0.027, seed), np.random.default_rng(seed))


@LAYOUTS
def test_fully_connected_16x8_without_the_proof_sums_in_64_bits(target: CodeTarget) -> None:
    for graph in (linear(2, 2000, 4, "int16", 2.0**-3), linear(2, 8, 4, "int16", 2.0**-18)):
        assert not narrow_is_proven(Request(next(graph.operators()), graph, target, "p"))
        made = compile_graph(graph, target).made
        assert made.kernels == ("tinydsn_convolve_s16_wide",)
        assert_equal(graph, np.random.default_rng(1), target)


def test_interleaving_swaps_the_middle_of_fours_and_alternates_two_channels() -> None:
    rows = np.arange(1, 19).reshape(3, 6)
    pair = [1, 3, 2, 4, 7, 9, 8, 10, 5, 0, 6, 0, 11, 0, 12, 0]
    assert interleave(rows).tolist() == [*pair, 13, 15, 14, 16, 17, 0, 18, 0]


# (height, width, channels), out channels, kernel, stride, dilation, padding (top, bottom, left, right)
CONVOLUTIONS = [
    ((1, 64, 8), 8, (1, 3), (1, 1), (1, 1), (0, 0, 1, 1)),
    ((1, 64, 8), 24, (1, 3), (1, 2), (1, 1), (0, 0, 1, 1)),
    ((2, 66, 1), 8, (2, 5), (1, 4), (1, 1), (0, 0, 0, 0)),
    ((2, 64, 1), 8, (2, 5), (1, 4), (1, 1), (0, 0, 1, 1)),
    ((5, 6, 3), 5, (3, 3), (2, 1), (1, 1), (1, 1, 1, 1)),
    ((7, 9, 2), 3, (3, 2), (1, 1), (2, 3), (2, 2, 0, 3)),
    ((3, 5, 4), 6, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 2, 3), 4, (1, 5), (1, 1), (1, 1), (0, 0, 2, 2)),
    ((4, 4, 5), 2, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0)),
    ((1, 9, 2), 7, (1, 4), (1, 3), (1, 1), (0, 0, 3, 0)),
    ((4, 9, 2), 7, (1, 4), (1, 3), (1, 1), (1, 2, 3, 0)),
]


def convolution(case: tuple, dtype: str, depthwise: bool, seed: int = 0) -> IntegerGraph:
    shape, channels, kernel, stride, dilation, padding = case
    rng = np.random.default_rng(seed)
    channels = shape[2] if depthwise else channels
    weight_shape = (*kernel, channels) if depthwise else (channels, *kernel, shape[2])
    taps = kernel[0] * kernel[1] * (1 if depthwise else shape[2])
    weight = rng.standard_normal(weight_shape) / np.sqrt(taps)
    bias = rng.standard_normal(channels) / 4
    out = []
    for axis in range(2):
        extent = shape[axis] + padding[2 * axis] + padding[2 * axis + 1]
        out.append((extent - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1)
    zero = -11 if dtype == "int8" else 0
    scale = 2.0**-12 if dtype == "int16" else 0.03
    data = scaled("x", shape, dtype, scale, zero)
    output = scaled("y", (out[0], out[1], channels), dtype, scale, zero)
    attributes = {"stride": stride, "dilation": dilation, "padding": padding}
    attributes["activation"] = "relu" if seed else "none"
    inputs = [data, scaled("w", weight.shape), scaled("b", bias.shape)]
    kind = "depthwise_conv2d" if depthwise else "conv2d"
    return one_operator(kind, inputs, output, attributes, {1: weight, 2: bias})


@LAYOUTS
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv2d_16x8(case: tuple, target: CodeTarget) -> None:
    for seed in range(2):
        assert_equal(convolution(case, "int16", False, seed), np.random.default_rng(seed), target)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv2d_int8(case: tuple) -> None:
    for seed in range(2):
        assert_equal(convolution(case, "int8", False, seed), np.random.default_rng(seed))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_depthwise_conv2d(case: tuple, dtype: str) -> None:
    for seed in range(2):
        assert_equal(convolution(case, dtype, True, seed), np.random.default_rng(seed))
