"""Operators whose tensors are almost, but not quite, zero in calibration: scales far from each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_example import error_in_units, integer, one_operator, run

from quant.convert import prove_accumulators
from quant.errors import QuantizationError
from quant.graph import IntegerGraph, Tensor

Q15 = 2.0**-15
TINY = 2.0**-60
"""The smallest scale that the converter chooses."""


def attributes(graph: IntegerGraph) -> dict[str, object]:
    return dict(next(graph.operators()).attributes)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("kind", ["fully_connected", "conv2d", "depthwise_conv2d"])
def test_a_dead_channel_does_not_limit_the_output_scale(kind: str, dtype: str) -> None:
    """A channel without weights and bias is zero at every scale, however far it is from the others'."""
    rng = np.random.default_rng(1)
    shape = {"fully_connected": (5, 4), "conv2d": (5, 1, 2, 4), "depthwise_conv2d": (1, 2, 4)}[kind]
    weight = 1e-5 * rng.normal(size=shape)
    channels = np.moveaxis(weight, -1 if kind == "depthwise_conv2d" else 0, 0)
    channels[1] = 0
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 1), "activation": "none"}
    data = integer("x", (3, 4) if kind == "fully_connected" else (1, 3, 4), dtype, 0.01)
    operands = [data, Tensor("w", shape), Tensor("b", (len(channels),))]
    output = integer("y", (*data.shape[:-1], len(channels)), dtype, 2.0**-25)
    graph = one_operator(kind, operands, output, window, {1: weight, 2: np.zeros(len(channels))})
    prove_accumulators(graph)
    values = rng.integers(-100, 100, data.shape).astype(dtype)
    found = run(graph, values)
    assert not np.any(found[..., 1])
    assert np.any(found[..., 0])


def test_dead_channels_keep_the_scale_one_where_it_does_no_harm() -> None:
    operands = [integer("x", (1, 2), "int16", 2.0**-12), Tensor("w", (2, 2)), Tensor("b", (2,))]
    weight = np.array([[0.0, 0.0], [127.0, 0.0]])
    graph = one_operator(
        "fully_connected", operands, integer("y", (1, 2), "int16", 1.0), {}, {1: weight, 2: np.zeros(2)}
    )
    quantization = graph.tensors["op.weight"].quantization
    assert quantization is not None and quantization.scale == (1.0, 1.0)


@pytest.mark.parametrize("kind", ["add", "sub"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(power=st.integers(-60, -15), zero=st.sampled_from([-128, 0, 127]), seed=st.integers(0, 999))
def test_int8_sums_saturate_to_the_right_side(kind: str, power: int, zero: int, seed: int) -> None:
    """Of inputs that are far coarser than the output: the sign of the sum decides, or it is zero."""
    rng = np.random.default_rng(seed)
    inputs = [integer(name, (300,), "int8", 0.05, zero) for name in "ab"]
    graph = one_operator(kind, inputs, integer("y", (300,), "int8", 2.0**power, 3), {"activation": "none"})
    a, b = (rng.integers(-128, 128, 300).astype(np.int8) for _ in "ab")
    b[:150] = -a[:150] - 1
    one, two = a.astype(np.int64) - zero, b.astype(np.int64) - zero
    total = one + two if kind == "add" else one - two
    np.testing.assert_array_equal(run(graph, a, b), np.select([total > 0, total < 0], [127, -128], 3))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("function", ["exp", "square", "silu"])
def test_tables_saturate_where_the_function_leaves_every_integer(function: str, dtype: str) -> None:
    source = integer("x", (256,), dtype, 6.0 if dtype == "int8" else 6.0 / 256)
    graph = one_operator("table", [source], integer("y", (256,), dtype, TINY), {"function": function})
    table = graph.constants["op.table"]
    limits = np.iinfo(table.dtype)
    assert table[-1] == limits.max
    values = np.linspace(limits.min, limits.max, 256).astype(dtype)
    assert run(graph, values)[-1] == limits.max


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
@pytest.mark.parametrize("power", [-60, -44, -43, -42, -31, -30])
def test_int16_sigmoid_and_tanh_of_almost_nothing(kind: str, power: int) -> None:
    """C shifts an int32: by less than 31, so that half a unit fits too."""
    source = integer("x", (5,), "int16", 2.0**power)
    graph = one_operator(kind, [source], integer("y", (5,), "int16", Q15))
    shift = attributes(graph)["right_shift"]
    assert shift == min(-12 - power, 30)
    middle = 2**14 if kind == "sigmoid" else 0
    values = np.array([-32768, -1, 0, 1, 32767], np.int16)
    np.testing.assert_array_equal(run(graph, values), np.full(5, middle))


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.5, 2**17), (-0.5, -(2**17)), (float("inf"), 2**17), (float("-inf"), -(2**17)), (TINY * 9, 9)],
)
def test_the_gate_threshold_fits_int32(threshold: float, expected: int) -> None:
    """No logit with a bias passes 2**17, and each passes -2**17."""
    given_ = {"index": 0, "threshold": threshold}
    graph = one_operator("gate", [integer("x", (1,), "int16", TINY)], Tensor("y", (), "bool"), given_)
    assert attributes(graph)["threshold"] == expected


def layer_norm(columns: int, scale: float, out: float, gain: float = 1.0) -> IntegerGraph:
    operands = [integer("x", (1, columns), "int16", scale), Tensor("g", (columns,)), Tensor("b", (columns,))]
    constants = {1: np.full(columns, gain), 2: np.zeros(columns)}
    target = integer("y", (1, columns), "int16", out)
    return one_operator("layer_norm", operands, target, {"epsilon": 1e-5}, constants)


@pytest.mark.parametrize("out", [TINY, 2.0**-59, 2.0**-57, 2.0**-40])
@pytest.mark.parametrize("gain", [1.0, -1.0, 1e6])
def test_layer_norm_into_a_tiny_scale_saturates(out: float, gain: float) -> None:
    graph = layer_norm(8, 2.0**-12, out, gain)
    shift = attributes(graph)["shift"]
    assert isinstance(shift, int) and shift >= 1
    assert np.max(np.abs(graph.constants["op.gamma"].astype(np.int64))) <= 2**30
    rows = np.array([[-4, -3, -2, -1, 1, 2, 3, 4]], np.int16)
    side = rows * np.sign(gain)
    np.testing.assert_array_equal(run(graph, rows), np.where(side > 0, 32767, -32768))


@pytest.mark.parametrize("columns", [24, 256, 1024])
def test_layer_norm_at_its_smallest_input_is_within_one_unit(columns: int) -> None:
    """Epsilon just below 2**62: the variance hardly counts, and d, r and gamma are at their extremes."""
    scale = np.sqrt(1e-5 * columns**3 / 2**62) * 1.01
    rows = np.random.default_rng(2).integers(-30000, 30001, (1, columns)).astype(np.int16)
    real = (rows - rows.mean()) * scale
    real = real / np.sqrt(np.mean(real**2) + 1e-5)
    out = float(np.max(np.abs(real))) / 30000
    graph = layer_norm(columns, float(scale), out)
    prove_accumulators(graph)
    assert attributes(graph)["epsilon"] > 2**61  # type: ignore[operator]
    assert np.max(np.abs(run(graph, rows) - real / out)) < 1.01


def test_layer_norm_refuses_an_input_that_is_nothing_against_epsilon() -> None:
    with pytest.raises(QuantizationError) as caught:
        layer_norm(1024, 2.0**-25, 2.0**-15)
    assert str(caught.value) == (
        "the input of layer_norm stays within 0.000977 (must reach 0.00158 for epsilon 1e-05 and "
        "1024 columns): scale it up, or make epsilon smaller"
    )


@pytest.mark.parametrize("columns", [1, 2, 4, 8, 16, 64, 1024])
def test_softmax_of_equal_values_where_the_sum_is_near_a_power_of_two(columns: int) -> None:
    """The bit length of the sum, at and beside powers of two."""
    source = integer("x", (1, columns), "int16", 2.0**-12)
    graph = one_operator("softmax", [source], integer("y", (1, columns), "int16", Q15))
    found = run(graph, np.full((1, columns), -5, np.int16)).astype(np.int64)
    assert np.all(np.abs(found - 32768 / columns) <= 2)


def test_leaky_relu_and_requantize_into_a_tiny_scale_saturate() -> None:
    for kind, extra in (("leaky_relu", {"alpha": 0.5}), ("requantize", {})):
        source, target = integer("x", (600,), "int16", 0.01), integer("y", (600,), "int16", TINY)
        assert error_in_units(kind, [source], target, extra) == 0
