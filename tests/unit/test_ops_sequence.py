"""layer_norm at its extremes, and the gate's comparison."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ops_example import integer, one_operator, run, to_real

from quant.graph import Tensor
from quant.ops import gate, layer_norm


def normalise(
    rows: np.ndarray, gamma: np.ndarray, beta: np.ndarray, scale: float, out: float, epsilon: float = 1e-5
) -> tuple[np.ndarray, np.ndarray]:
    """(integer result, exact result in units of the output, saturated) for int16 rows.

    The exact one has the integer epsilon's real value, which is a multiple of scale**2 / columns**3.
    """
    source, target = integer("x", rows.shape, "int16", scale), integer("y", rows.shape, "int16", out)
    operands = [source, Tensor("g", gamma.shape), Tensor("b", beta.shape)]
    graph = one_operator("layer_norm", operands, target, {"epsilon": epsilon}, {1: gamma, 2: beta})
    rounded = next(graph.operators()).attributes["epsilon"]
    assert rounded == max(1, round(epsilon * rows.shape[-1] ** 3 / scale**2))
    attributes = {"epsilon": rounded * scale**2 / rows.shape[-1] ** 3}
    (real,) = layer_norm.evaluate(attributes, (to_real(rows, source), gamma, beta))
    return run(graph, rows).astype(np.int64), np.clip(real / out, -32768, 32767)


@pytest.mark.parametrize("columns", [1, 2, 24, 1023, 1024])
def test_layer_norm_of_extreme_rows(columns: int) -> None:
    """Rims, one element apart from the others, and halves at both rims (the largest V)."""
    rows = np.full((6, columns), -32768)
    rows[1] = 32767
    rows[2, 0] = 32767
    rows[3, : columns // 2] = 32767
    rows[4] = 7
    rows[4, -1] = 8
    rows[5] = np.arange(columns) % 2
    gamma, beta = np.linspace(-1.0, 1.0, columns), np.linspace(-0.5, 0.5, columns)
    for scale in (2.0**-15, 2.0**-8, 1.0):
        found, exact = normalise(rows.astype(np.int16), gamma, beta, scale, 2.0**-11)
        assert np.max(np.abs(found - exact)) < 1.01


def test_layer_norm_of_constant_rows_is_beta() -> None:
    beta = np.linspace(-3, 3, 24)
    rows = np.repeat(np.array([[-32768], [-1], [0], [5], [32767]], np.int16), 24, 1)
    found, _ = normalise(rows, np.ones(24), beta, 2.0**-12, 2.0**-12)
    np.testing.assert_array_equal(found, np.tile(np.round(beta * 4096), (5, 1)))


def test_layer_norm_saturates() -> None:
    rows = np.array([[-32768, 0, 32767]], np.int16)
    found, exact = normalise(rows, np.full(3, 100.0), np.zeros(3), 2.0**-12, 2.0**-12)
    np.testing.assert_array_equal(found, [[-32768, round(exact[0, 1]), 32767]])


def relative_error(value: int) -> Decimal:
    """Of step 3's r * sqrt(V) against 2**(30 + k)."""
    root, right = layer_norm.inverse_root(value)
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(2) ** (30 + right) / Decimal(value).sqrt()
        return abs(Decimal(root) / exact - 1)


def test_the_inverse_root_over_its_whole_mantissa() -> None:
    """A grid over [2**30, 2**32), where the seed's error has its extremes."""
    worst = max(relative_error(value) for value in range(2**30, 2**32, 2**32 // 4001))
    assert worst < Decimal(2) ** -22


@given(
    logit=st.integers(-32768, 32767),
    threshold=st.floats(-5, 5),
    scale=st.floats(1e-4, 1e-1),
    place=st.integers(0, 2),
)
@example(logit=3, threshold=3 * 0.125, scale=0.125, place=0)
@example(logit=-3, threshold=-3 * 0.125, scale=0.125, place=0)
def test_the_integer_gate_decides_as_the_real_comparison(
    logit: int, threshold: float, scale: float, place: int
) -> None:
    attributes = {"index": place, "threshold": threshold}
    graph = one_operator("gate", [integer("x", (3,), "int16", scale)], Tensor("y", (), "bool"), attributes)
    values = np.zeros(3, np.int16)
    values[place] = logit
    # compared in units, as a float product of logit and scale would itself be rounded
    assert bool(run(graph, values)) == (logit > threshold / scale)
    assert isinstance(next(graph.operators()).attributes["threshold"], int)


def test_the_float_gate_is_strict() -> None:
    logits = np.array([0.0, 0.5])
    assert [bool(gate.evaluate({"index": i, "threshold": 0.0}, (logits,))[0]) for i in (0, 1)] == [
        False,
        True,
    ]
    assert math.isclose(float(gate.evaluate({"index": 1, "threshold": 0.5}, (logits,))[0]), 0.0)
