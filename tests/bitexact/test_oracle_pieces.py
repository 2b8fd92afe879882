"""gru_update and table, which TFLite has only in pieces, equal ours bit for bit in tflite-micro."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_harness import one_operator, reference
from oracle_harness import SEEDS, WIDE_AND_NARROW, ZEROS, assert_equal, scales, small, tensor

from quant.errors import UnsupportedOperator
from quant.graph import IntegerGraph
from quant.ops.table import FUNCTIONS
from quant.oracle import run_operator

Q15 = 2.0**-15


def gru(rows: int, hidden: int, scale: float) -> IntegerGraph:
    inputs = [tensor(name, (rows, 3 * hidden), "int16", scale) for name in ("gx", "gh")]
    state = tensor("h", (rows, hidden), "int16", Q15)
    return one_operator("gru_update", [*inputs, state], tensor("y", (rows, hidden), "int16", Q15), {})


def equal(graph: IntegerGraph, values: dict[str, np.ndarray]) -> None:
    (operator,) = graph.operators()
    (expected,) = reference(graph, values)
    np.testing.assert_array_equal(run_operator(operator, graph, values)[0], expected)


@small(60)
@given(
    rows=st.integers(1, 5),
    hidden=st.integers(1, 24),
    power=st.integers(-12, 2),
    level=st.sampled_from([30, 3000, 32768]),
    seed=SEEDS,
)
@example(rows=1, hidden=1, power=2, level=32768, seed=0)
def test_gru_update(rows: int, hidden: int, power: int, level: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = gru(rows, hidden, 2.0**power)
    draw = {name: rng.integers(-level, level, graph.tensors[name].shape) for name in graph.inputs}
    draw["h"] = rng.integers(-32768, 32768, (rows, hidden))
    for name, values in draw.items():
        rims = rng.random(values.shape) < 0.05
        draw[name] = np.where(rims, rng.choice([-32768, 32767], values.shape), values).astype(np.int16)
    equal(graph, draw)


def test_gru_update_where_rounding_twice_gives_another_bit() -> None:
    """r * gh_n is 2**14 - 1 modulo 2**15 there: TFLite's int16 MUL rounds it up."""
    from quant.ops.activation_tables import sigmoid_q15

    graph = gru(1, 64, 2.0**-12)
    doors = np.arange(64, dtype=np.int16) * 37
    opened = sigmoid_q15(3 * doors.astype(np.int64))
    wanted = [int(pow(int(r) | 1, -1, 2**15) * (2**14 - 1) % 2**15) for r in opened]
    gx, gh = np.zeros((1, 192), np.int16), np.zeros((1, 192), np.int16)
    gx[0, :64], gh[0, 128:] = doors, wanted
    hits = opened * gh[0, 128:].astype(np.int64) % 2**15 == 2**14 - 1
    assert np.count_nonzero(hits) > 10
    equal(graph, {"gx": gx, "gh": gh, "h": np.zeros((1, 64), np.int16)})


def test_a_gru_with_coarse_gates_is_refused() -> None:
    graph = gru(1, 2, 8.0)
    (operator,) = graph.operators()
    with pytest.raises(UnsupportedOperator) as caught:
        run_operator(operator, graph, {})
    assert str(caught.value) == (
        f"operator {operator.name!r}: its argument has a scale of 8 (TFLite Micro's int16 LOGISTIC and "
        "TANH take at most 4)"
    )


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_int16_table_of_every_input(function: str) -> None:
    x, y = tensor("x", (65536,), "int16", 2.0**-12), tensor("y", (65536,), "int16", 2.0**-11)
    graph = one_operator("table", [x], y, {"function": function})
    equal(graph, {"x": np.arange(-32768, 32768).astype(np.int16)})


@WIDE_AND_NARROW
@small(30)
@given(
    function=st.sampled_from(sorted(FUNCTIONS)),
    scale=scales(1e-3, 1.0),
    ratio=scales(0.1, 10),
    seed=SEEDS,
    zero_in=ZEROS,
    zero_out=ZEROS,
)
def test_table(
    dtype: str, function: str, scale: float, ratio: float, seed: int, zero_in: int, zero_out: int
) -> None:
    x, y = tensor("x", (2, 300), dtype, scale, zero_in), tensor("y", (2, 300), dtype, scale * ratio, zero_out)
    assert_equal("table", [x], y, {"function": function}, seed, 7)


def test_layer_norm_is_refused() -> None:
    x, y = tensor("x", (2, 8), "int16", Q15), tensor("y", (2, 8), "int16", Q15)
    weights = {1: np.ones(8), 2: np.zeros(8)}
    inputs = [x, tensor("g", (8,), "int16", 1.0), tensor("b", (8,), "int16", 1.0)]
    graph = one_operator("layer_norm", inputs, y, {"epsilon": 1e-5}, weights)
    (operator,) = graph.operators()
    with pytest.raises(UnsupportedOperator) as caught:
        run_operator(operator, graph, {})
    assert str(caught.value) == (
        f"operator {operator.name!r}: layer_norm has no TFLite form with equal bits (it sums squares and "
        "takes a root in 64 bits, and TFLite Micro has no operator with results of more than 32)"
    )
