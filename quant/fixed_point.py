"""Integer rounding rules of TFLite and CMSIS-NN, vectorised over NumPy arrays.

Multipliers are Q31 with a power-of-two shift: ``real = multiplier / 2**31 * 2**shift``.
"""

from __future__ import annotations

import math

import numpy as np

from quant.errors import QuantizationError

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)
LONGEST_WIDE_SHIFT = 7
RESCALE_LIMIT = 2.0**15 * (1 - 2.0**-31)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(multiplier Q31, shift) of a positive real factor (TFLite ``QuantizeMultiplier``).

    Raises QuantizationError for a factor that is negative, not finite, or needs a shift above 30.
    """
    if not math.isfinite(real) or real < 0:
        raise QuantizationError(f"a scale ratio of {real} cannot be quantized (must be finite and >= 0)")
    if real == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    # round half away from zero, as std::round does
    multiplier = int(math.floor(mantissa * 2**31 + 0.5))
    if multiplier == 2**31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise QuantizationError(f"a scale ratio of {real} is too large to quantize (must be below 2**30)")
    return multiplier, shift


def quantize_rescale(real: float) -> tuple[int, int]:
    """As ``quantize_multiplier``, for values of at most 17 bits; a factor above 2**15 becomes just less.

    The left shift then never leaves int32, and as one unit already gives 2**15 the int16 result is the same.
    """
    return quantize_multiplier(min(real, RESCALE_LIMIT))


def quantize_wide(real: float) -> tuple[int, int]:
    """As ``quantize_multiplier``, for ``requantize_s64``, where a shift above 7 is an error as in TFLite."""
    multiplier, shift = quantize_multiplier(real)
    if shift > LONGEST_WIDE_SHIFT:
        raise QuantizationError(
            f"a scale ratio of {real} is too large for 16-bit activations (must be below 2**7)"
        )
    return multiplier, shift


def reduce_multiplier(multiplier: int) -> int:
    """Q31 multiplier cut to Q15 with rounding (CMSIS-NN ``REDUCE_MULTIPLIER``)."""
    return (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF


def doubling_high_mul(a: np.ndarray, b: np.ndarray | np.int64) -> np.ndarray:
    """2 * a * b / 2**32 of int32 values held in int64, rounded (gemmlowp; ``arm_nn_doubling_high_mult``)."""
    product = a * b
    nudge = np.where(product >= 0, np.int64(1 << 30), np.int64(1 - (1 << 30)))
    total = product + nudge
    # C's division truncates toward zero
    result = np.where(total >= 0, total >> 31, -((-total) >> 31))
    return np.where((a == INT32_MIN) & (b == INT32_MIN), np.int64(INT32_MAX), result)


def rounding_divide_by_pot(x: np.ndarray, exponent: np.ndarray | np.int64) -> np.ndarray:
    """x / 2**exponent, halves away from zero (gemmlowp; ``arm_nn_divide_by_power_of_two``)."""
    mask = (np.int64(1) << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


def requantize_s32(value: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """Double-rounding requantize of an int32 accumulator (``arm_nn_requantize``), as int64."""
    value = np.asarray(value, np.int64)
    multiplier = np.asarray(multiplier, np.int64)
    shift = np.asarray(shift, np.int64)
    left = np.maximum(shift, 0)
    right = np.maximum(-shift, 0)
    # the C code shifts an int32; the wrap keeps both equal even outside the proven range
    shifted = (value << left).astype(np.int32).astype(np.int64)
    return rounding_divide_by_pot(doubling_high_mul(shifted, multiplier), right)


def requantize_s64(value: np.ndarray, reduced: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """Single-rounding requantize of an int64 accumulator (``arm_nn_requantize_s64``), as int64.

    ``reduced`` is the Q15 multiplier of ``reduce_multiplier``.
    """
    product = np.asarray(value, np.int64) * np.asarray(reduced, np.int64)
    total_shift = 14 - np.asarray(shift, np.int64)
    return ((product >> total_shift) + 1) >> 1


def clamp(value: np.ndarray, low: int, high: int, dtype: type[np.signedinteger]) -> np.ndarray:
    """Saturate to [low, high] and narrow."""
    return np.clip(value, low, high).astype(dtype)
