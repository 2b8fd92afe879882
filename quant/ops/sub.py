"""sub: ``y = act(a - b)``; b has a's shape, its trailing axes, or one element.

Integer meaning. int16: all three have one scale, so the saturated integer difference is exact (TFLite's SUB
gives the same bits for equal scales); then the activation's clamp. int8: both inputs are shifted left by
20 bits and brought to twice the larger scale, summed, and requantized (TFLite SUB).
"""

from __future__ import annotations

import numpy as np

from quant.ops import elementwise
from quant.ops.base import OperatorDefinition
from quant.ops.common import no_accumulator

DEFINITION = OperatorDefinition(
    kind="sub",
    summary="elementwise difference, optional ReLU",
    infer=elementwise.infer("sub"),
    evaluate=elementwise.evaluate(np.subtract),
    slots=elementwise.sum_slots,
    quantize=elementwise.sum_quantize,
    reference=elementwise.sum_reference(-1),
    accumulator=no_accumulator,
    macs=elementwise.macs,
    constraints=(elementwise.second_repeats,),
)
