"""Lines in place of TFLite's roundings: found where they give the same for all inputs, and only there."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from quant.fixed_point import quantize_multiplier
from tinydsn.codegen import affine
from tinydsn.codegen.affine import _line, _scale_line, _sum_line  # what they are of needs no graph

EVERY = np.arange(-128, 128, dtype=np.int8)


def attributes(one: float, two: float, output: float) -> tuple[tuple[str, int], ...]:
    twice = 2 * max(one, two)
    values = {"offset1": 7, "offset2": -31, "left_shift": 20, "output_offset": -5}
    for name, factor in (("1", one / twice), ("2", two / twice)):
        values[f"multiplier{name}"], values[f"shift{name}"] = quantize_multiplier(factor)
    values["output_multiplier"], values["output_shift"] = quantize_multiplier(twice / 2**20 / output)
    return tuple(values.items())


def test_usual_sums_have_lines() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        one, two, output = rng.uniform(0.01, 0.03, 3)
        found = _sum_line(attributes(one, two, output), 1)
        assert found["line"] == 1
        assert abs(found["factor1"] - one / output * 2**29) < 4


def test_a_difference_has_the_line_of_a_sum_with_a_negative_factor() -> None:
    values = attributes(0.02, 0.013, 0.017)
    assert _sum_line(values, -1)["factor2"] == -_sum_line(values, 1)["factor2"] < 0


def test_ties_that_tflite_rounds_away_from_zero_have_no_line() -> None:
    assert _sum_line(attributes(0.5, 0.5, 1.0), 1) == dict.fromkeys(affine.SUM, 0)


def test_factors_that_leave_32_bits_have_no_line() -> None:
    assert _sum_line(attributes(1.0, 0.01, 0.2), 1) == dict.fromkeys(affine.SUM, 0)
    multiplier, shift = quantize_multiplier(600.0)
    scale = (("input_offset", 0), ("output_offset", 0), ("multiplier", multiplier), ("shift", shift))
    assert _scale_line(scale, "int16") == dict.fromkeys(affine.SCALE, 0)


def test_a_line_gives_every_result_or_is_none() -> None:
    expected = np.clip((3 * EVERY.astype(np.int64) + 10) >> 2, -128, 127).astype(np.int8)
    found = _line((Fraction(3, 4),), (EVERY,), expected)
    assert found is not None
    _, factor, constant = found
    made = (((factor * EVERY.astype(np.int64)) >> 8) + constant) >> 21
    np.testing.assert_array_equal(np.clip(made, -128, 127), expected)
    expected[100] += 1
    assert _line((Fraction(3, 4),), (EVERY,), expected) is None
