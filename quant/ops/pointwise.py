"""Input scaling of the int16 sigmoid and tanh."""

from __future__ import annotations

import math

import numpy as np

from quant.graph import Attribute
from quant.ops.base import Attributes
from quant.ops.common import integer

LONGEST_LEFT_SHIFT = 14
"""x * (3 << 14) still fits in int32."""
LONGEST_RIGHT_SHIFT = 30
"""From 18 on every int16 gives 0; C shifts an int32."""


def to_tripled_q12(scale: float) -> dict[str, Attribute]:
    """Attributes that bring an int16 of a power-of-two ``scale`` to three times Q3.12.

    A scale above 2**2 is taken as 2**2: all inputs but -2 to 2 lie outside the table with either.
    """
    left = min(round(math.log2(scale)) + 12, LONGEST_LEFT_SHIFT)
    return {"multiplier": 3 << max(left, 0), "right_shift": min(max(-left, 0), LONGEST_RIGHT_SHIFT)}


def tripled(data: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Three times the argument in Q3.12, int64."""
    product = data.astype(np.int64) * integer(attributes, "multiplier")
    right = integer(attributes, "right_shift")
    return (product + (1 << (right - 1))) >> right if right else product
