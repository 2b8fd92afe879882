"""tanh: hyperbolic tangent.

int8: a table of 256 entries, constant ``<name>.table``, output scale 1/128 and zero point 0. int16:
CMSIS-NN's interpolated table of the logistic function (``arm_nn_activation_s16``, TFLite TANH); the
input's scale is a power of two, ``multiplier`` and ``right_shift`` bring it to three times Q3.12:
``t = x * multiplier``, rounded right shift by ``right_shift`` where that is above 0. Output Q15.
"""

from __future__ import annotations

import math

from quant.graph import Quantization
from quant.ops import pointwise
from quant.ops.activation_tables import tanh_q15


def real(value: float) -> float:
    """The function itself."""
    return math.tanh(value)


DEFINITION = pointwise.definition("tanh", "hyperbolic tangent", real, tanh_q15, Quantization((1 / 128,), 0))
