"""softmax of int8 as TFLite has it: 32-bit fixed point throughout (gemmlowp; ``arm_softmax_s8``).

With d = x - max over the row, in the input's scale:

1. ``a = doubling_high_mul(d << shift, multiplier)``, Q5.26; d below ``diff_min`` gives the lowest output.
2. ``e = exp(a)``, Q31: a polynomial of fourth order for the part in (-1/4, 0], times constants for the rest.
3. ``sum = Σ round(e / 2**12)``, Q12.19; its reciprocal by three Newton steps from 48/17 - 32/17 x.
4. ``y = round(e * reciprocal) - 128``, scale 1/256.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from quant.fixed_point import doubling_high_mul, quantize_multiplier, rounding_divide_by_pot

INTEGER_BITS = 5
"""Of the scaled difference."""
SUM_BITS = 12
"""Integer bits of the sum."""
ONE = 2**31 - 1
"""1 in Q31, as near as int32 comes."""
LOWEST = -128
LARGEST_SHIFT = 30


def narrow_factors(scale: float) -> dict[str, int]:
    """Attributes multiplier, shift and diff_min for an input scale, times beta (TFLite
    ``PreprocessSoftmaxScaling`` and ``CalculateInputRadius``)."""
    factor = max(scale * 2 ** (31 - INTEGER_BITS), 1.0)
    multiplier, shift = (ONE, LARGEST_SHIFT) if factor >= 2**LARGEST_SHIFT else quantize_multiplier(factor)
    radius = (2**INTEGER_BITS - 1) * 2 ** (31 - INTEGER_BITS) / 2**shift
    return {"multiplier": multiplier, "shift": shift, "diff_min": -math.floor(radius)}


def narrow_softmax(data: np.ndarray, multiplier: int, shift: int, diff_min: int) -> np.ndarray:
    """int8 [..., n] -> int8 of the same shape, scale 1/256 and zero point -128."""
    wide = data.astype(np.int64)
    difference = wide - np.max(wide, axis=-1, keepdims=True)
    live = difference >= diff_min
    scaled = doubling_high_mul(np.where(live, difference, 0) << shift, np.int64(multiplier))
    powers = _exp(scaled)
    total = np.sum(np.where(live, rounding_divide_by_pot(powers, np.int64(SUM_BITS)), 0), -1, keepdims=True)
    # the exponent of a positive integer in float64 is its bit length
    zeros = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    inverse = _one_over_one_plus((total << zeros) - 2**31)
    right = SUM_BITS - zeros + 31 - 8
    result = rounding_divide_by_pot(doubling_high_mul(inverse, powers), right) + LOWEST
    return np.where(live, np.clip(result, -128, 127), LOWEST).astype(np.int8)


def _shift_left(value: np.ndarray, bits: int) -> np.ndarray:
    return np.clip(value << bits, -(2**31), ONE)


@lru_cache(maxsize=1)
def _constants() -> tuple[int, ...]:
    """exp(-1/8), then exp(-2**k) for k from -2 to 4, in Q31."""
    return tuple(round(math.exp(-x) * 2**31) for x in (0.125, 0.25, 0.5, 1, 2, 4, 8, 16))


def _exp(value: np.ndarray) -> np.ndarray:
    """Q5.26 at most 0 -> Q31 (gemmlowp ``exp_on_negative_values``)."""
    quarter = 2 ** (31 - INTEGER_BITS - 2)
    part = (value & (quarter - 1)) - quarter
    eighth, *others = (np.int64(constant) for constant in _constants())
    x = _shift_left(part, INTEGER_BITS) + 2**28
    square = doubling_high_mul(x, x)
    cube, fourth = doubling_high_mul(square, x), doubling_high_mul(square, square)
    third = np.int64(round(2**31 / 3))
    inner = doubling_high_mul(rounding_divide_by_pot(fourth, np.int64(2)) + cube, third) + square
    result = eighth + doubling_high_mul(x + rounding_divide_by_pot(inner, np.int64(1)), eighth)
    remainder = part - value
    for power, constant in enumerate(others):
        taken = (remainder & (quarter << power)) != 0
        result = np.where(taken, doubling_high_mul(result, constant), result)
    return np.where(value == 0, ONE, result)


def _one_over_one_plus(value: np.ndarray) -> np.ndarray:
    """Q31 of [0, 1) -> Q31 of 1 / (1 + x) (gemmlowp ``one_over_one_plus_x_for_x_in_0_1``)."""
    half = (value + ONE + 1) >> 1
    x = round(48 / 17 * 2**29) + doubling_high_mul(half, np.int64(round(-32 / 17 * 2**29)))
    for _ in range(3):
        rest = 2**29 - doubling_high_mul(half, x)
        x = x + _shift_left(doubling_high_mul(x, rest), 2)
    return _shift_left(x, 1)
