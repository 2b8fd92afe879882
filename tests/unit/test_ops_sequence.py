"""layer_norm, gru_update and gate against independent arithmetic."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ops_example import integer, one_operator, run, to_real

from quant.graph import Tensor
from quant.ops import gate, gru_update, layer_norm
from quant.ops.activation_tables import sigmoid_table

Q12, Q15 = 2.0**-12, 2.0**-15


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


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    columns=st.integers(1, 64) | st.sampled_from([127, 256, 1024]),
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1, 3, 40, 1000, 32767]),
    offset=st.sampled_from([0, -32768, 32767, 1000]),
    scale=st.sampled_from([2.0**-12, 2.0**-15, 0.0009, 0.05]),
    gain=st.sampled_from([0.0, 0.01, 1.0, 30.0]),
)
def test_layer_norm_of_random_rows_is_within_one_unit(
    columns: int, seed: int, size: int, offset: int, scale: float, gain: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = np.clip(rng.integers(-size - 1, size + 1, (3, columns)) + offset, -32768, 32767).astype(np.int16)
    gamma, beta = gain * rng.normal(size=columns), rng.normal(size=columns)
    found, exact = normalise(rows, gamma, beta, scale, 2.0**-11)
    assert np.max(np.abs(found - exact)) < 1.01


@pytest.mark.parametrize("size", [1, 2, 5, 20, 300, 32767])
@pytest.mark.parametrize("columns", [8, 24, 64])
def test_layer_norm_with_the_real_epsilon_is_within_one_unit(columns: int, size: int) -> None:
    """At the scales of a network, down to rows whose variance is below epsilon."""
    rng = np.random.default_rng(columns)
    rows = rng.integers(-size, size + 1, (20, columns)).astype(np.int16)
    gamma, beta = rng.uniform(-2, 2, columns), rng.normal(size=columns)
    found, _ = normalise(rows, gamma, beta, 2.0**-12, 2.0**-12)
    (real,) = layer_norm.evaluate({"epsilon": 1e-5}, (rows * 2.0**-12, gamma, beta))
    assert np.max(np.abs(found - np.clip(real * 4096, -32768, 32767))) < 1.01


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


def plain_layer_norm(
    row: list[int], gamma: list[int], beta: list[int], epsilon: int, shift: int
) -> list[int]:
    """The five steps of the operator's description, for one row."""
    centred = [len(row) * value - sum(row) for value in row]
    energy = sum(value**2 for value in centred) + epsilon
    up = len(f"{energy:b}") - 32
    up += up % 2
    mantissa = energy // 2**up if up >= 0 else energy * 2**-up
    root = layer_norm.SEED_OFFSET - mantissa * layer_norm.SEED_SLOPE // 2**32
    for _ in range(3):
        root = root * (3 * 2**28 - mantissa * (root * root // 2**32) // 2**32) // 2**29
    right = up // 2 + 16
    normal = [(value * root + 2 ** (right - 1)) // 2**right for value in centred]
    scaled = [(u * g + 2 ** (shift - 1)) // 2**shift for u, g in zip(normal, gamma, strict=True)]
    return [max(-32768, min(32767, value + b)) for value, b in zip(scaled, beta, strict=True)]


@pytest.mark.parametrize("columns", [1, 5, 24, 1024])
@pytest.mark.parametrize("size", [2, 300, 32767])
def test_layer_norm_equals_plain_integers(columns: int, size: int) -> None:
    rng = np.random.default_rng(columns)
    rows = rng.integers(-size - 1, size + 1, (8, columns)).astype(np.int16)
    operands = [integer("x", rows.shape, "int16", Q12), Tensor("g", (columns,)), Tensor("b", (columns,))]
    # a gain so large that the last bits of step 4 reach the output
    constants = {1: 50 * rng.normal(size=columns), 2: rng.normal(size=columns)}
    target = integer("y", rows.shape, "int16", Q12 / 4)
    graph = one_operator("layer_norm", operands, target, {"epsilon": 1e-5}, constants)
    attributes = next(graph.operators()).attributes
    gamma, beta = (graph.constants[f"op.{name}"].tolist() for name in ("gamma", "beta"))
    epsilon, shift = attributes["epsilon"], attributes["shift"]
    assert isinstance(epsilon, int) and isinstance(shift, int)
    expected = [plain_layer_norm(row, gamma, beta, epsilon, shift) for row in rows.tolist()]
    np.testing.assert_array_equal(run(graph, rows), expected)


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


@given(value=st.integers(1, 2**63 - 1) | st.integers(0, 62).map(lambda power: 2**power))
@example(value=1)
@example(value=3)
@example(value=2**32 - 1)
@example(value=2**63 - 1)
def test_the_inverse_root_has_22_bits_and_stays_in_32(value: int) -> None:
    root, right = layer_norm.inverse_root(value)
    assert relative_error(value) < Decimal(2) ** -22
    assert 2**30 - 2**8 < root < 2**31 + 2**9
    assert 1 <= right <= 32


def test_the_inverse_root_over_its_whole_mantissa() -> None:
    """A grid over [2**30, 2**32), where the seed's error has its extremes."""
    worst = max(relative_error(value) for value in range(2**30, 2**32, 2**32 // 4001))
    assert worst < Decimal(2) ** -22


def plain_sigmoid(tripled: int) -> int:
    """Logistic function of a third of Q3.12, in Q15, with Python integers."""
    table = [int(value) for value in sigmoid_table()]
    place, rest = divmod(abs(tripled), 512)
    wide = table[place] * 512 + rest * (table[place + 1] - table[place]) if place < 255 else 0x7FFF * 1024
    return (wide + 512) // 1024 if tripled >= 0 else ((1 << 25) - wide + 511) // 1024


def plain_tanh(tripled: int) -> int:
    """Hyperbolic tangent of a third of Q3.12, in Q15, from the same entries at half the distance."""
    table = [int(value) for value in sigmoid_table()]
    place, rest = divmod(abs(tripled), 256)
    wide = table[place] * 256 + rest * (table[place + 1] - table[place]) if place < 255 else 0xFFFF * 256
    return (wide - (1 << 23) + 128) // 256 if tripled >= 0 else ((1 << 23) - wide + 127) // 256


def saturate(value: int) -> int:
    return max(-32768, min(32767, value))


def plain_update(gx: list[int], gh: list[int], state: list[int], power: int) -> list[int]:
    """One row of gru_update, element by element, for gates in units of 2**(power - 12)."""
    size, tripled = len(state), 3 * 2**power
    result = []
    for i, held in enumerate(state):
        reset = plain_sigmoid(tripled * saturate(gx[i] + gh[i]))
        update = plain_sigmoid(tripled * saturate(gx[size + i] + gh[size + i]))
        inner = gx[2 * size + i] + (reset * gh[2 * size + i] + 2**14) // 2**15
        new = plain_tanh(tripled * saturate(inner))
        result.append(saturate(new + (update * (held - new) + 2**14) // 2**15))
    return result


def gru(power: int, *arrays: np.ndarray) -> np.ndarray:
    rows, size = arrays[2].shape
    inputs = [integer(name, (rows, 3 * size), "int16", 2.0 ** (power - 12)) for name in ("gx", "gh")]
    inputs.append(integer("h", (rows, size), "int16", Q15))
    return run(one_operator("gru_update", inputs, integer("y", (rows, size), "int16", Q15)), *arrays)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    reach=st.sampled_from([5, 3000, 12000, 32767]),
    power=st.sampled_from([0, 1, 3, 14]),
)
def test_gru_update_equals_plain_integers(seed: int, reach: int, power: int) -> None:
    rng = np.random.default_rng(seed)
    gx, gh = (rng.integers(-reach - 1, reach + 1, (4, 15)).astype(np.int16) for _ in range(2))
    state = rng.integers(-32768, 32768, (4, 5)).astype(np.int16)
    expected = [plain_update(*(array[row].tolist() for array in (gx, gh, state)), power) for row in range(4)]
    np.testing.assert_array_equal(gru(power, gx, gh, state), expected)


def test_gru_update_over_the_whole_range_of_its_arguments() -> None:
    """Each of the three gate arguments walks over all int16 values, the others stand at the rims."""
    walk = np.arange(-32768, 32768, 37).astype(np.int16)
    rng = np.random.default_rng(5)
    rims = np.array([-32768, 0, 32767], np.int16)
    for part in range(3):
        gx, gh = (rng.choice(rims, (len(walk), 3)) for _ in range(2))
        gx[:, part] = walk
        state = rng.choice(rims, (len(walk), 1))
        rows = zip(gx.tolist(), gh.tolist(), state.tolist(), strict=True)
        assert gru(0, gx, gh, state).tolist() == [plain_update(*row, 0) for row in rows]


@pytest.mark.parametrize("x", [-32768, 32767])
@pytest.mark.parametrize("h", [-32768, 32767])
@pytest.mark.parametrize("state", [-32768, -1, 0, 32767])
def test_gru_update_at_the_rims(x: int, h: int, state: int) -> None:
    arrays = [np.full((1, width), value, np.int16) for width, value in ((3, x), (3, h), (1, state))]
    for power in (0, 14):
        assert gru(power, *arrays).tolist() == [plain_update([x] * 3, [h] * 3, [state], power)]


def test_gru_update_is_close_to_its_float_meaning() -> None:
    """Within 12 units of Q15 where no sum saturates."""
    rng = np.random.default_rng(3)
    gx, gh = (rng.integers(-12000, 12000, (400, 12)).astype(np.int16) for _ in range(2))
    state = rng.integers(-32768, 32768, (400, 4)).astype(np.int16)
    (exact,) = gru_update.evaluate({}, (gx / 4096, gh / 4096, state * Q15))
    assert np.max(np.abs(gru(0, gx, gh, state) - exact / Q15)) < 12


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
