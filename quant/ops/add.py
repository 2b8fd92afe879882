"""add: ``y = act(a + b)``; b has a's shape, its trailing axes, or one element.

Integer meaning. int16: all three have one scale, so the saturated integer sum is exact (TFLite's ADD
gives the same bits for equal scales); then the activation's clamp. int8: both inputs are shifted left by
20 bits and brought to twice the larger scale, summed, and requantized (``arm_elementwise_add_s8``). An
imported int16 sum of several scales has the attributes of int8, and 15 bits (``arm_elementwise_add_s16``).
"""

from __future__ import annotations

import numpy as np

from quant.ops import elementwise
from quant.ops.base import OperatorDefinition
from quant.ops.common import no_accumulator

DEFINITION = OperatorDefinition(
    kind="add",
    summary="elementwise sum, optional ReLU",
    infer=elementwise.infer("add"),
    evaluate=elementwise.evaluate(np.add),
    slots=elementwise.sum_slots,
    quantize=elementwise.sum_quantize,
    reference=elementwise.sum_reference(1),
    accumulator=no_accumulator,
    macs=elementwise.macs,
    constraints=(elementwise.second_repeats,),
)
