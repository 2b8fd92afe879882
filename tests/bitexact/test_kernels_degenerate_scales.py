"""C equals the reference, without undefined behaviour, where a tensor's scale is almost zero."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_harness import DSP, HOST, assert_equal, one_operator, scaled

Q15 = 2.0**-15
TINY = 2.0**-60
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])


def generator() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
@pytest.mark.parametrize("exponent", [-60, -44, -42, -30, -29])
def test_int16_activations_of_almost_nothing(kind: str, exponent: int) -> None:
    x, y = scaled("x", (99,), "int16", 2.0**exponent), scaled("y", (99,), "int16", Q15)
    assert_equal(one_operator(kind, [x], y, {}), generator())


@pytest.mark.parametrize("kind", ["add", "sub"])
@pytest.mark.parametrize("other", [(4, 7), (7,)])
@pytest.mark.parametrize("zero", [-128, 0, 127])
def test_int8_sums_into_a_tiny_scale(kind: str, other: tuple[int, ...], zero: int) -> None:
    for output_scale in (1e-7, 1e-8, TINY):
        a, b = scaled("a", (4, 7), "int8", 0.05, zero), scaled("b", other, "int8", 0.05, zero)
        y = scaled("y", (4, 7), "int8", output_scale, 3)
        assert_equal(one_operator(kind, [a, b], y, {"activation": "none"}), generator())


@TYPES
@pytest.mark.parametrize("kind", ["fully_connected", "conv2d", "depthwise_conv2d"])
def test_a_dead_channel_beside_a_tiny_output_scale(kind: str, dtype: str) -> None:
    rng = generator()
    shape = {"fully_connected": (5, 4), "conv2d": (5, 1, 2, 4), "depthwise_conv2d": (1, 2, 4)}[kind]
    weight = 1e-5 * rng.standard_normal(shape)
    channels = np.moveaxis(weight, -1 if kind == "depthwise_conv2d" else 0, 0)
    channels[1] = 0
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 1), "activation": "none"}
    data = scaled("x", (3, 4) if kind == "fully_connected" else (1, 3, 4), dtype, 0.01)
    operands = [data, scaled("w", shape), scaled("b", (len(channels),))]
    output = scaled("y", (*data.shape[:-1], len(channels)), dtype, 2.0**-22)
    constants = {1: weight, 2: np.zeros(len(channels))}
    assert_equal(one_operator(kind, operands, output, window, constants), rng)


@pytest.mark.parametrize("output_scale", [TINY, 2.0**-57, 2.0**-40, 2.0**-29])
@pytest.mark.parametrize("gain", [-1.0, 1e6])
def test_layer_norm_into_a_tiny_scale(output_scale: float, gain: float) -> None:
    rng = generator()
    x, y = scaled("x", (6, 25)), scaled("y", (6, 25), "int16", output_scale)
    operands = {1: gain * rng.uniform(0.5, 1.5, 25), 2: 1e-6 * rng.standard_normal(25)}
    inputs = [x, scaled("g", (25,)), scaled("b", (25,))]
    assert_equal(one_operator("layer_norm", inputs, y, {"epsilon": 1e-5}, operands), rng, runs=12)


@pytest.mark.parametrize("columns", [24, 1024])
def test_layer_norm_of_the_smallest_input_beside_epsilon(columns: int) -> None:
    rng = generator()
    scale = float(np.sqrt(1e-5 * columns**3 / 2**62) * 1.01)
    x, y = scaled("x", (4, columns), "int16", scale), scaled("y", (4, columns), "int16", scale * 300)
    inputs = [x, scaled("g", (columns,)), scaled("b", (columns,))]
    operands = {1: np.ones(columns), 2: np.zeros(columns)}
    assert_equal(one_operator("layer_norm", inputs, y, {"epsilon": 1e-5}, operands), rng, runs=12)


@TYPES
@pytest.mark.parametrize("function", ["exp", "square"])
def test_tables_that_saturate(function: str, dtype: str) -> None:
    x, y = scaled("x", (400,), dtype, 6.0 if dtype == "int8" else 0.02), scaled("y", (400,), dtype, TINY)
    assert_equal(one_operator("table", [x], y, {"function": function}), generator())


@TYPES
def test_leaky_relu_and_requantize_into_a_tiny_scale(dtype: str) -> None:
    x, y = scaled("x", (99,), dtype, 0.02), scaled("y", (99,), dtype, TINY)
    assert_equal(one_operator("leaky_relu", [x], y, {"alpha": 0.3}), generator())
    assert_equal(one_operator("requantize", [x], y, {}), generator())


@pytest.mark.parametrize("bits", [8, 5])
@pytest.mark.parametrize("kind", ["fully_connected", "depthwise_conv2d"])
def test_int8_scales_too_small_for_a_multiplier_give_the_zero_point(kind: str, bits: int) -> None:
    rng = generator()
    shape = (5, 4) if kind == "fully_connected" else (1, 3, 5)
    channels = 5
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    data = scaled("x", (5, 4) if kind == "fully_connected" else (1, 5, 5), "int8", 0.01, 3)
    rows = 5 if kind == "fully_connected" else 3
    output = scaled("y", (*data.shape[:-2], rows, channels), "int8", 0.05, -9)
    weight = rng.standard_normal(shape)
    np.moveaxis(weight, -1 if kind == "depthwise_conv2d" else 0, 0)[2:4] *= 1e-12
    operands = [data, scaled("w", shape), scaled("b", (channels,))]
    graph = one_operator(kind, operands, output, window, {1: weight, 2: np.zeros(channels)}, bits)
    assert 0 in next(graph.operators()).attributes["multiplier"]
    for core in (HOST, DSP):
        assert_equal(graph, rng, core)
