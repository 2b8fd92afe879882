"""The bound that each accumulator's proof states is reached by a worst input, and never passed."""

from __future__ import annotations

import numpy as np
import pytest
from ops_example import integer, one_operator

from quant import ops
from quant.graph import INTEGER_RANGE, IntegerGraph, Tensor
from quant.ops.base import Accumulator


def accumulator(graph: IntegerGraph) -> Accumulator:
    (operator,) = graph.operators()
    found = ops.definition(operator.kind).accumulator(operator, graph)
    assert found is not None
    return found


def largest_sum(graph: IntegerGraph, channel_axis: int) -> int:
    """Largest |accumulator| of a linear operator, by choosing each input for the sign of its weight."""
    (operator,) = graph.operators()
    weight = np.moveaxis(graph.constants["op.weight"].astype(object), channel_axis, 0)
    low, high = INTEGER_RANGE[graph.tensors["x"].dtype]
    offset = operator.attributes["input_offset"]
    assert isinstance(offset, int)
    worst = 0
    for row, bias in zip(weight.reshape(len(weight), -1), graph.constants["op.bias"], strict=True):
        up = sum(w * ((high if w > 0 else low) + offset) for w in row) + int(bias)
        down = sum(w * ((low if w > 0 else high) + offset) for w in row) + int(bias)
        worst = max(worst, abs(up), abs(down))
    return worst


@pytest.mark.parametrize(("dtype", "bits"), [("int8", 32), ("int16", 48)])
@pytest.mark.parametrize(
    ("kind", "shape", "axis"),
    [("fully_connected", (5, 30), 0), ("conv2d", (5, 2, 3, 4), 0), ("depthwise_conv2d", (2, 3, 5), 2)],
)
def test_linear_bound(kind: str, shape: tuple[int, ...], axis: int, dtype: str, bits: int) -> None:
    rng = np.random.default_rng(5)
    constants = {1: rng.normal(size=shape), 2: rng.normal(size=shape[axis])}
    # zero point -1 is the middle of int8: both rims are then equally far but for one
    data = integer("x", (4, 4, shape[-1]), dtype, 0.01, -1 if dtype == "int8" else 0)
    operands = [data, Tensor("w", shape), Tensor("b", (shape[axis],))]
    attributes = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    graph = one_operator(kind, operands, integer("y", (1, 1, 5), dtype, 0.5), attributes, constants)
    found, reached = accumulator(graph), largest_sum(graph, axis)
    assert found.bits == bits
    weights = np.abs(graph.constants["op.weight"].astype(np.int64)).sum()
    # the bound takes the farther rim for every weight
    assert 0 <= found.bound - reached <= weights


def test_a_bound_with_weights_of_one_sign_is_reached_exactly() -> None:
    constants = {1: -np.ones((1, 40)), 2: np.array([-1.0])}
    operands = [integer("x", (40,), "int16", 2.0**-12), Tensor("w", (1, 40)), Tensor("b", (1,))]
    graph = one_operator("fully_connected", operands, integer("y", (1,), "int16", 0.01), {}, constants)
    assert accumulator(graph).bound == 40 * 127 * 32768 + abs(int(graph.constants["op.bias"][0]))
    constants = {1: np.ones((1, 40)), 2: np.array([0.0])}
    graph = one_operator("fully_connected", operands, integer("y", (1,), "int16", 0.01), {}, constants)
    assert accumulator(graph).bound == largest_sum(graph, 0) == 40 * 127 * 32768


def test_a_left_shift_counts_for_int8() -> None:
    operands = [integer("x", (40,), "int8", 1.0), Tensor("w", (1, 40)), Tensor("b", (1,))]
    constants = {1: np.full((1, 40), 127.0), 2: np.zeros(1)}
    graph = one_operator("fully_connected", operands, integer("y", (1,), "int8", 0.125), {}, constants)
    (operator,) = graph.operators()
    assert operator.attributes["shift"] == (4,)
    assert accumulator(graph) == Accumulator(40 * 127 * 128 << 4, 32)


@pytest.mark.parametrize(
    ("dtype", "bits", "largest"), [("int8", 32, (128 + 127) * 128), ("int16", 48, 2**30)]
)
def test_batch_matmul_bound(dtype: str, bits: int, largest: int) -> None:
    inputs = [
        integer("a", (3, 7), dtype, 0.01, 127 if dtype == "int8" else 0),
        integer("b", (7, 2), dtype, 0.01),
    ]
    graph = one_operator("batch_matmul", inputs, integer("y", (3, 2), dtype, 1.0), {})
    # all a at -128 (centred -255) or -32768, all b at their lowest
    assert accumulator(graph) == Accumulator(7 * largest, bits)


def test_mul_bound_counts_the_left_shift() -> None:
    inputs = [integer("a", (3,), "int16", 0.5), integer("b", (3,), "int16", 0.5)]
    fits = one_operator("mul", inputs, integer("y", (3,), "int16", 0.26), {})
    assert accumulator(fits) == Accumulator(2**30, 32)
    wraps = one_operator("mul", inputs, integer("y", (3,), "int16", 0.25), {})
    assert accumulator(wraps) == Accumulator(2**31, 32)


@pytest.mark.parametrize("columns", [1, 2, 3, 24, 1023, 1024])
def test_layer_norm_bound(columns: int) -> None:
    ones = np.ones(columns)
    operands = [integer("x", (columns,), "int16", 0.01), Tensor("g", (columns,)), Tensor("b", (columns,))]
    target = integer("y", (columns,), "int16", 0.01)
    graph = one_operator("layer_norm", operands, target, {"epsilon": 1e-5}, {1: ones, 2: ones})
    row = [-32768] * (columns // 2) + [32767] * (columns - columns // 2)
    energy = sum((columns * value - sum(row)) ** 2 for value in row)
    epsilon = next(graph.operators()).attributes["epsilon"]
    assert isinstance(epsilon, int)
    assert accumulator(graph) == Accumulator(energy + epsilon, 64)


def test_the_others_do_not_accumulate() -> None:
    summing = {"fully_connected", "conv2d", "depthwise_conv2d", "batch_matmul", "mul", "layer_norm"}
    summing |= {"binary_conv2d"}
    graph = one_operator("relu", [integer("x", (3,), "int8", 1.0)], integer("y", (3,), "int8", 1.0))
    (operator,) = graph.operators()
    for kind in set(ops.TABLE) - summing:
        assert ops.TABLE[kind].accumulator(operator, graph) is None


def test_a_large_bias_beside_small_weights_keeps_its_value() -> None:
    """The channel's scale grows until the bias takes at most 2**29 of its int32."""
    weight = np.array([[1e-9, -1e-9], [0.0, 0.0], [0.5, -1.0]])
    bias = np.array([3.0, -2.0, 0.25])
    operands = [integer("x", (2,), "int8", 0.01), Tensor("w", weight.shape), Tensor("b", bias.shape)]
    target = integer("y", (3,), "int8", 0.03)
    graph = one_operator("fully_connected", operands, target, {}, {1: weight, 2: bias})
    quantization = graph.tensors["op.bias"].quantization
    assert quantization is not None
    stored = graph.constants["op.bias"]
    assert np.max(np.abs(stored[:2].astype(np.int64))) <= 2**29 + 2**7
    np.testing.assert_allclose(stored * np.array(quantization.scale), bias, atol=0.01 * 1.0 / 127)
    np.testing.assert_allclose((stored * np.array(quantization.scale))[:2], bias[:2], rtol=1e-7)


def test_weights_and_bias_of_zero_stay_zero() -> None:
    operands = [
        integer("x", (2,), "int8", 0.01),
        Tensor("w", (1, 2)),
    ]
    operator = one_operator(
        "fully_connected", operands, integer("y", (1,), "int8", 0.03), {}, {1: np.zeros((1, 2))}
    )
    assert operator.constants["op.weight"].tolist() == [[0, 0]]
    assert operator.constants["op.bias"].tolist() == [0]
