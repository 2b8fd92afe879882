"""The integer meaning of each operator is its float meaning, to within the rounding of its output."""

from __future__ import annotations

import numpy as np
import pytest
from ops_example import error_in_units, integer, one_operator

from quant.fixed_point import quantize_multiplier
from quant.graph import Tensor
from quant.ops import TABLE
from quant.ops.table import FUNCTIONS

WIDTHS = pytest.mark.parametrize("dtype", ["int8", "int16"])
STEP = {"int8": 2.0**-5, "int16": 2.0**-13}
"""Activations in about [-4, 4)."""
HALF = 0.501
TWO_ROUNDINGS = 1.01
WIDE_MULTIPLIER = 1.6
"""int16: the multiplier is cut to 15 bits, up to 1 unit at full scale, and then the rounding."""


def of(name: str, shape: tuple[int, ...], dtype: str, factor: float = 1.0, zero: int = 7) -> Tensor:
    return integer(name, shape, dtype, STEP[dtype] * factor, zero if dtype == "int8" else 0)


@WIDTHS
@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_fully_connected(dtype: str, activation: str) -> None:
    rng = np.random.default_rng(1)
    inputs = [of("x", (20, 24), dtype), Tensor("w", (9, 24)), Tensor("b", (9,))]
    constants = {1: rng.normal(size=(9, 24)), 2: rng.normal(size=9)}
    output = of("y", (20, 9), dtype, 13.0, -20)
    error = error_in_units("fully_connected", inputs, output, {"activation": activation}, constants)
    assert error < (WIDE_MULTIPLIER if dtype == "int16" else TWO_ROUNDINGS)


@WIDTHS
@pytest.mark.parametrize("kind", ["conv2d", "depthwise_conv2d"])
def test_convolutions(dtype: str, kind: str) -> None:
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(6, 2, 3, 4) if kind == "conv2d" else (2, 3, 4))
    channels = 6 if kind == "conv2d" else 4
    inputs = [of("x", (5, 9, 4), dtype), Tensor("w", weight.shape), Tensor("b", (channels,))]
    attributes = {"stride": (1, 2), "dilation": (2, 1), "padding": (2, 0, 1, 2), "activation": "none"}
    output = of("y", (5, 5, channels), dtype, 11.0, 3)
    error = error_in_units(kind, inputs, output, attributes, {1: weight, 2: rng.normal(size=channels)})
    assert error < (WIDE_MULTIPLIER if dtype == "int16" else TWO_ROUNDINGS)


@WIDTHS
@pytest.mark.parametrize("transposed", [False, True])
def test_batch_matmul(dtype: str, transposed: bool) -> None:
    second = (3, 5, 8) if transposed else (3, 8, 5)
    inputs = [of("a", (3, 7, 8), dtype), of("b", second, dtype, 0.7, -3)]
    error = error_in_units(
        "batch_matmul", inputs, of("y", (3, 7, 5), dtype, 19.0), {"transpose_b": transposed}
    )
    assert error < (WIDE_MULTIPLIER if dtype == "int16" else TWO_ROUNDINGS)


@pytest.mark.parametrize("kind", ["add", "sub"])
@pytest.mark.parametrize("other", [(4, 6), (6,), (1, 6), (1,), ()])
def test_sums(kind: str, other: tuple[int, ...]) -> None:
    inputs = [of("a", (4, 6), "int8"), of("b", other, "int8", 0.3, -9)]
    assert error_in_units(kind, inputs, of("y", (4, 6), "int8", 1.4), {"activation": "none"}) < TWO_ROUNDINGS
    inputs = [of("a", (4, 6), "int16"), of("b", other, "int16")]
    assert error_in_units(kind, inputs, of("y", (4, 6), "int16"), {"activation": "relu"}) == 0


@WIDTHS
@pytest.mark.parametrize("other", [(4, 6), (6,), ()])
def test_mul(dtype: str, other: tuple[int, ...]) -> None:
    inputs = [of("a", (4, 6), dtype), of("b", other, dtype, 0.3, -9)]
    assert error_in_units("mul", inputs, of("y", (4, 6), dtype, 2.5), {"activation": "none"}) < TWO_ROUNDINGS


def test_a_constant_operand_is_quantized_to_its_tensor() -> None:
    inputs = [of("a", (4, 6), "int16"), of("b", (6,), "int16")]
    constants = {1: np.linspace(-3, 3, 6)}
    assert error_in_units("add", inputs, of("y", (4, 6), "int16"), {"activation": "none"}, constants) == 0


@WIDTHS
def test_relu_and_leaky_relu(dtype: str) -> None:
    assert error_in_units("relu", [of("x", (500,), dtype)], of("y", (500,), dtype)) == 0
    output = of("y", (500,), dtype, 0.8, -11)
    assert error_in_units("leaky_relu", [of("x", (500,), dtype)], output, {"alpha": 0.125}) < TWO_ROUNDINGS


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
def test_sigmoid_and_tanh(kind: str) -> None:
    target = (
        integer("y", (500,), "int8", 1 / 256, -128)
        if kind == "sigmoid"
        else of("y", (500,), "int8", 1 / 4, 0)
    )
    assert error_in_units(kind, [of("x", (500,), "int8")], target) < HALF
    for power in (-15, -12, -10, -8, 0, 2):
        source = integer("x", (4000,), "int16", 2.0**power)
        # linear interpolation of a table of 256 entries, and 14 bits where the table is used for tanh
        assert error_in_units(kind, [source], integer("y", (4000,), "int16", 2.0**-15)) < 16


@pytest.mark.parametrize("columns", [1, 2, 7, 200])
@pytest.mark.parametrize("scale", [2.0**-15, 2.0**-12, 2.0**-9, 0.1])
def test_softmax(columns: int, scale: float) -> None:
    source = integer("x", (30, columns), "int16", scale)
    # exp is cut at -10, where the table has 2 units: a row of n elements may gain 2 n units in its sum
    allowed = 8 + 2 * columns
    assert error_in_units("softmax", [source], integer("y", (30, columns), "int16", 2.0**-15)) < allowed


@pytest.mark.parametrize(
    ("source", "target"), [("int8", "int8"), ("int8", "int16"), ("int16", "int8"), ("int16", "int16")]
)
def test_requantize(source: str, target: str) -> None:
    for factor in (0.3, 1.0, 7.7):
        error = error_in_units("requantize", [of("x", (500,), source)], of("y", (500,), target, factor, -40))
        assert error < TWO_ROUNDINGS


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_tables(name: str) -> None:
    source = integer("x", (500,), "int8", 0.03, -128 if name in ("log", "sqrt", "reciprocal") else 5)
    attributes = {"function": name}
    assert error_in_units("table", [source], integer("y", (500,), "int8", 0.05, -30), attributes) < HALF
    if name not in ("log", "sqrt", "reciprocal"):  # steep at zero: no use at 16 bits without a smaller range
        wide = integer("x", (5000,), "int16", 2.0**-13)
        assert error_in_units("table", [wide], integer("y", (5000,), "int16", 2.0**-9), attributes) < 3


@WIDTHS
def test_copies_are_exact(dtype: str) -> None:
    x = of("x", (3, 4, 5), dtype)
    assert (
        error_in_units("concat", [x, of("b", (3, 2, 5), dtype)], of("y", (3, 6, 5), dtype), {"axis": 1}) == 0
    )
    assert (
        error_in_units("concat", [x, of("b", (3, 4, 1), dtype)], of("y", (3, 4, 6), dtype), {"axis": -1}) == 0
    )
    assert error_in_units("transpose", [x], of("y", (5, 3, 4), dtype), {"permutation": (2, 0, 1)}) == 0
    assert error_in_units("reshape", [x], of("y", (12, 5), dtype), {"shape": (12, 5)}) == 0
    assert error_in_units("slice", [x], of("y", (3, 2, 5), dtype), {"axis": 1, "begin": 1, "end": 3}) == 0
    widths = {"before": (0, 1, 0), "after": (2, 0, 0)}
    assert error_in_units("pad", [x], of("y", (5, 5, 5), dtype), widths) == 0


def test_multipliers_come_from_float32_products_where_tflites_do() -> None:
    """Scales whose exact product and whose float32 product give other multipliers."""
    one, two, out = (float(np.float32(value)) for value in (0.0123, 0.0457, 0.789))
    inputs = [integer("a", (2, 2), "int8", one), integer("b", (2, 2), "int8", two)]
    graph = one_operator("batch_matmul", inputs, integer("y", (2, 2), "int8", out))
    expected = quantize_multiplier(float(np.float32(one) * np.float32(two)) / out)
    attributes = next(graph.operators()).attributes
    assert (attributes["multiplier"], attributes["shift"]) == expected != quantize_multiplier(one * two / out)

    graph = one_operator("leaky_relu", inputs[:1], integer("y", (2, 2), "int8", out), {"alpha": 0.1})
    attributes = next(graph.operators()).attributes
    expected = quantize_multiplier(float(np.float32(one) * np.float32(0.1) / np.float32(out)))
    assert (attributes["multiplier_alpha"], attributes["shift_alpha"]) == expected
    assert expected != quantize_multiplier(one * 0.1 / out)
    expected = quantize_multiplier(float(np.float32(one) / np.float32(out)))
    assert (attributes["multiplier_identity"], attributes["shift_identity"]) == expected


def test_every_operator_of_the_table_is_compared_somewhere() -> None:
    here = {"add", "sub", "mul", "fully_connected", "conv2d", "depthwise_conv2d", "batch_matmul", "relu"}
    here |= {"leaky_relu", "sigmoid", "tanh", "softmax", "requantize", "table"}
    here |= {"concat", "transpose", "reshape", "slice", "pad"}
    in_test_ops_sequence = {"layer_norm", "gru_update", "gate"}
    in_test_bits = {"binary_conv2d", "step", "unpack"}
    assert here | in_test_ops_sequence | in_test_bits == set(TABLE)
