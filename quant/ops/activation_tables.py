"""Tables of functions of one variable, and the interpolation rules that read them.

Three kinds: 256 entries for int8 (exact); CMSIS-NN's 256 values of the logistic function for int16
sigmoid and tanh; TFLite's 513 entries with linear interpolation for any other int16 function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from quant.graph import Quantization

_FAR = 2.0**40
"""Far outside every integer type, and still exact in float64."""

# CMSIS-NN's `sigmoid_table_uint16` is round(65536 * sigmoid(i / 24)) but for these entries, one above it.
_RAISED = (
    *(4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44),
    *(45, 46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255),
)


@lru_cache(maxsize=1)
def sigmoid_table() -> np.ndarray:
    """int64 [256]: sigmoid(i / 24) in Q16, as CMSIS-NN and TFLite Micro have it."""
    exact = [math.floor(65536 / (1 + math.exp(-index / 24)) + 0.5) for index in range(256)]
    table = np.array(exact, np.int64)
    table[list(_RAISED)] += 1
    table.flags.writeable = False
    return table


def sigmoid_q15(tripled: np.ndarray) -> np.ndarray:
    """Logistic function of ``tripled`` / 3 in Q3.12, as Q15 (``arm_nn_activation_s16``, ARM_SIGMOID)."""
    magnitude = np.abs(tripled)
    index = magnitude >> 9
    inside = index < 255
    low = sigmoid_table()[np.where(inside, index, 0)]
    high = sigmoid_table()[np.where(inside, index + 1, 0)]
    found = np.where(inside, (low << 9) + (magnitude & 0x1FF) * (high - low), 0x7FFF << 10)
    return np.where(tripled >= 0, found + (1 << 9), (1 << 25) - found + (1 << 9) - 1) >> 10


def tanh_q15(tripled: np.ndarray) -> np.ndarray:
    """tanh of ``tripled`` / 3 in Q3.12, as Q15 (``arm_nn_activation_s16``, ARM_TANH)."""
    magnitude = np.abs(tripled)
    index = magnitude >> 8
    inside = index < 255
    low = sigmoid_table()[np.where(inside, index, 0)]
    high = sigmoid_table()[np.where(inside, index + 1, 0)]
    found = np.where(inside, (low << 8) + (magnitude & 0xFF) * (high - low), 0xFFFF << 8)
    half = 1 << 23
    return np.where(tripled >= 0, found - half + (1 << 7), half - found + (1 << 7) - 1) >> 8


def int8_table(function: Callable[[float], float], source: Quantization, target: Quantization) -> np.ndarray:
    """int8 [256]: ``function`` at every int8 value from -128 up."""
    values = []
    for quantized in range(-128, 128):
        real = function(source.scale[0] * (quantized - source.zero_point))
        rounded = math.floor(min(abs(real / target.scale[0]), _FAR) + 0.5) * (1 if real >= 0 else -1)
        values.append(min(127, max(-128, rounded + target.zero_point)))
    return np.array(values, np.int8)


def read_int8(table: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Look int8 values up."""
    return table[data.astype(np.int64) + 128]


def int16_table(function: Callable[[float], float], low: float, high: float, scale: float) -> np.ndarray:
    """int16 [513]: ``function`` over [low, high] in units of ``scale``, each entry corrected by half of the
    error of the interpolated midpoint after it (TFLite ``LUTPopulate<int16_t>``)."""
    step = (high - low) / 512

    def rounded(value: float) -> float:
        return math.copysign(math.floor(min(abs(value), _FAR) + 0.5), value)

    table = []
    for index in range(512):
        here = rounded(function(low + index * step) / scale)
        middle = rounded(function(low + (index + 0.5) * step) / scale)
        there = rounded(function(low + (index + 1) * step) / scale)
        error = rounded((rounded((there + here) / 2) - middle) / 2)
        table.append(min(32767.0, max(-32768.0, here - error)))
    table.append(min(32767.0, max(-32768.0, rounded(function(high) / scale))))
    return np.array(table, np.int16)


def read_int16(table: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Interpolated look-up (TFLite ``LUTLookup`` for int16); int64 result within int16."""
    wide, values = data.astype(np.int64), table.astype(np.int64)
    index = 256 + (wide >> 7)
    slope = values[index + 1] - values[index]
    return values[index] + ((slope * (wide & 0x7F) + 64) >> 7)
