"""mul: ``y = act(a * b)``; b has a's shape, its trailing axes, or one element.

Integer meaning: the int32 product of the centred inputs, requantized with the double rounding of int32
accumulators, plus the zero point, clamped (TFLite MUL; ``arm_elementwise_mul_s8`` / ``_s16``).
"""

from __future__ import annotations

import numpy as np

from quant import fixed_point
from quant.graph import INTEGER_RANGE, DType, Graph, Operator
from quant.ops import elementwise
from quant.ops.base import (
    Accumulator,
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Slot,
    Slots,
)
from quant.ops.common import integer, quantization, remake
from quant.ops.linear import activation_range


def slots(operator: Operator, dtype: DType) -> Slots:
    """Free scales."""
    return Slots((Slot(), Slot()), (Slot(),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attributes offset1, offset2, output_offset, multiplier, shift, activation_min, activation_max."""
    one, two, out = (quantization(t) for t in (request.inputs[0], request.inputs[1], request.outputs[0]))
    multiplier, shift = fixed_point.quantize_multiplier(one.scale[0] * two.scale[0] / out.scale[0])
    low, high = activation_range(request.operator.attributes, request.outputs[0])
    return remake(
        request,
        {
            **request.operator.attributes,
            "offset1": -one.zero_point,
            "offset2": -two.zero_point,
            "output_offset": out.zero_point,
            "multiplier": multiplier,
            "shift": shift,
            "activation_min": low,
            "activation_max": high,
        },
    )


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    a, b = inputs
    assert a is not None and b is not None
    product = (a.astype(np.int64) + integer(attributes, "offset1")) * (
        b.astype(np.int64) + integer(attributes, "offset2")
    )
    scaled = fixed_point.requantize_s32(
        product, integer(attributes, "multiplier"), integer(attributes, "shift")
    )
    low, high = integer(attributes, "activation_min"), integer(attributes, "activation_max")
    return (np.clip(scaled + integer(attributes, "output_offset"), low, high).astype(a.dtype),)


def accumulator(operator: Operator, graph: Graph) -> Accumulator | None:
    """The largest product, after the left shift that comes before the multiplier."""
    largest = 1
    for name, offset in zip(operator.inputs, ("offset1", "offset2"), strict=True):
        low, high = INTEGER_RANGE[graph.tensors[name].dtype]
        zero = integer(operator.attributes, offset)
        largest *= max(abs(low + zero), abs(high + zero))
    return Accumulator(largest << max(integer(operator.attributes, "shift"), 0), 32)


DEFINITION = OperatorDefinition(
    kind="mul",
    summary="elementwise product, optional ReLU",
    infer=elementwise.infer("mul"),
    evaluate=elementwise.evaluate(np.multiply),
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=accumulator,
    macs=elementwise.macs,
    constraints=(elementwise.second_repeats,),
)
