"""sigmoid: logistic function, ``1 / (1 + exp(-x))``.

int8: a table of 256 entries, constant ``<name>.table``, output scale 1/256 and zero point -128. int16:
CMSIS-NN's interpolated table of the logistic function (``arm_nn_activation_s16``, TFLite LOGISTIC); the
input's scale is a power of two, ``multiplier`` and ``right_shift`` bring it to three times Q3.12:
``t = x * multiplier``, rounded right shift by ``right_shift`` where that is above 0. Output Q15.
"""

from __future__ import annotations

import math

from quant.graph import Quantization
from quant.ops import pointwise
from quant.ops.activation_tables import sigmoid_q15


def real(value: float) -> float:
    """The function itself."""
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


DEFINITION = pointwise.definition(
    "sigmoid", "logistic function, 1 / (1 + exp(-x))", real, sigmoid_q15, Quantization((1 / 256,), -128)
)
