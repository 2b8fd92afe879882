"""Rounding rules at their corners, against plain Python integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quant import fixed_point
from quant.errors import QuantizationError

INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIERS = st.just(0) | st.integers(2**30, 2**31 - 1)


def half_away(value: Fraction) -> int:
    """Nearest integer, halves away from zero."""
    rounded = math.floor(abs(value) + Fraction(1, 2))
    return rounded if value >= 0 else -rounded


def requantize_s32_by_fractions(value: int, multiplier: int, shift: int) -> int:
    """The two roundings of gemmlowp. The first rounds halves up: its nudge below zero is one unit less."""
    doubled = Fraction(value * 2 ** max(shift, 0) * multiplier, 2**31)
    first = math.floor(doubled + Fraction(1, 2))
    return half_away(Fraction(first, 2 ** max(-shift, 0)))


@given(value=INT32, multiplier=MULTIPLIERS, shift=st.integers(-31, 0))
@example(value=-(2**31), multiplier=2**31 - 1, shift=0)
@example(value=2**31 - 1, multiplier=2**31 - 1, shift=0)
@example(value=-3, multiplier=2**30, shift=0)
@example(value=3, multiplier=2**30, shift=-1)
@example(value=-1, multiplier=2**30, shift=-31)
def test_requantize_s32_is_two_roundings(value: int, multiplier: int, shift: int) -> None:
    found = fixed_point.requantize_s32(np.array([value]), multiplier, shift)
    assert found.tolist() == [requantize_s32_by_fractions(value, multiplier, shift)]


@given(value=st.integers(-(2**15), 2**15), multiplier=MULTIPLIERS, shift=st.integers(0, 15))
def test_requantize_s32_shifts_left_first(value: int, multiplier: int, shift: int) -> None:
    found = fixed_point.requantize_s32(np.array([value]), multiplier, shift)
    assert found.tolist() == [requantize_s32_by_fractions(value, multiplier, shift)]


def test_requantize_s32_of_two_lowest_values_saturates() -> None:
    low = np.array([-(2**31)])
    assert fixed_point.requantize_s32(low, low, 0).tolist() == [2**31 - 1]


def test_requantize_s32_wraps_like_an_int32_where_the_proof_does_not_hold() -> None:
    assert fixed_point.requantize_s32(np.array([2**30]), 2**30, 1).tolist() == [-(2**30)]


def test_requantize_takes_one_multiplier_a_channel() -> None:
    found = fixed_point.requantize_s32(np.full((2, 2), 100), np.array([2**30, 2**30]), np.array([0, -2]))
    assert found.tolist() == [[50, 13], [50, 13]]


@given(value=st.integers(-(2**47), 2**47), reduced=st.integers(0, 2**15 - 1), shift=st.integers(-31, 7))
@example(value=-(2**47), reduced=2**15 - 1, shift=7)
@example(value=2**47, reduced=2**15 - 1, shift=7)
@example(value=-1, reduced=2**14, shift=0)
@example(value=1, reduced=2**14, shift=0)
def test_requantize_s64_rounds_once_with_halves_up(value: int, reduced: int, shift: int) -> None:
    exact = Fraction(value * reduced, 2**15) * Fraction(2) ** shift
    found = fixed_point.requantize_s64(np.array([value]), reduced, shift)
    assert found.tolist() == [math.floor(exact + Fraction(1, 2))]


@given(real=st.floats(2.0**-31, 2.0**29))
@example(real=1.0)
@example(real=0.5)
@example(real=1.0 - 2.0**-53)
@example(real=2.0**-31)
def test_quantize_multiplier_is_within_half_a_unit(real: float) -> None:
    multiplier, shift = fixed_point.quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    unit = Fraction(2) ** (shift - 31)
    assert abs(multiplier * unit - Fraction(real)) <= unit / 2


def test_quantize_multiplier_at_its_corners() -> None:
    assert fixed_point.quantize_multiplier(0.0) == (0, 0)
    assert fixed_point.quantize_multiplier(1.0) == (2**30, 1)
    # the mantissa rounds up to 2**31
    assert fixed_point.quantize_multiplier(1.0 - 2.0**-40) == (2**30, 1)
    assert fixed_point.quantize_multiplier(2.0**-33) == (0, 0)
    assert fixed_point.quantize_multiplier(2.0**29) == (2**30, 30)


@pytest.mark.parametrize(
    ("real", "message"),
    [
        (-1.0, "a scale ratio of -1.0 cannot be quantized (must be finite and >= 0)"),
        (math.inf, "a scale ratio of inf cannot be quantized (must be finite and >= 0)"),
        (math.nan, "a scale ratio of nan cannot be quantized (must be finite and >= 0)"),
        (2.0**30, "a scale ratio of 1073741824.0 is too large to quantize (must be below 2**30)"),
    ],
)
def test_quantize_multiplier_refuses(real: float, message: str) -> None:
    with pytest.raises(QuantizationError) as caught:
        fixed_point.quantize_multiplier(real)
    assert str(caught.value) == message


def test_quantize_wide_refuses_a_shift_above_seven() -> None:
    assert fixed_point.quantize_wide(127.0)[1] == 7
    with pytest.raises(QuantizationError) as caught:
        fixed_point.quantize_wide(128.0)
    expected = "a scale ratio of 128.0 is too large for 16-bit activations (must be below 2**7)"
    assert str(caught.value) == expected


@given(value=st.integers(-65535, 65535), ratio=st.floats(2.0**14, 2.0**29))
def test_quantize_rescale_saturates_instead_of_wrapping(value: int, ratio: float) -> None:
    multiplier, shift = fixed_point.quantize_rescale(ratio)
    found = int(fixed_point.requantize_s32(np.array([value]), multiplier, shift)[0])
    assert max(-32768, min(32767, found)) == max(-32768, min(32767, round(value * ratio)))


@given(multiplier=MULTIPLIERS)
@example(multiplier=0x7FFF0000)
@example(multiplier=0x7FFEFFFF)
@example(multiplier=2**31 - 1)
def test_reduce_multiplier_rounds_and_stays_in_15_bits(multiplier: int) -> None:
    reduced = fixed_point.reduce_multiplier(multiplier)
    assert reduced == min(half_away(Fraction(multiplier, 2**16)), 2**15 - 1)
