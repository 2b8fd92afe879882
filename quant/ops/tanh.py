"""tanh: hyperbolic tangent.

int8: a table of 256 entries, constant ``<name>.table``, output scale 1/128 and zero point 0. int16:
CMSIS-NN's interpolated table of the logistic function (``arm_nn_activation_s16``, TFLite TANH); the
input's scale is a power of two, ``multiplier`` and ``right_shift`` bring it to three times Q3.12:
``t = x * multiplier``, rounded right shift by ``right_shift`` where that is above 0. Output Q15.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quant.graph import DType, Operator, Quantization
from quant.ops import activation_tables, pointwise
from quant.ops.base import (
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Shape,
    Slot,
    Slots,
)
from quant.ops.common import no_accumulator, no_macs, quantization, remake


def real(value: float) -> float:
    """The function itself."""
    return math.tanh(value)


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """Same shape."""
    return (shapes[0],)


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    (data,) = inputs
    assert data is not None
    return (np.tanh(data),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Fixed output scale; int16 input scale a power of two."""
    if dtype == "int16":
        return Slots((Slot(power_of_two=True),), (Slot(fixed=Quantization((2.0**-15,), 0)),))
    return Slots((Slot(),), (Slot(fixed=Quantization((1 / 128,), 0)),))


def quantize(request: QuantizeRequest) -> Quantized:
    """int16: attributes ``multiplier``, ``right_shift``; int8: the table."""
    source, target = quantization(request.inputs[0]), quantization(request.outputs[0])
    if request.outputs[0].dtype == "int16":
        return remake(request, pointwise.to_tripled_q12(source.scale[0]))
    return remake(request, {}, {"table": activation_tables.int8_table(real, source, target)})


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    data = inputs[0]
    assert data is not None
    if data.dtype == np.int8:
        assert inputs[1] is not None
        return (activation_tables.read_int8(inputs[1], data),)
    tripled = pointwise.tripled(data, attributes)
    return (activation_tables.tanh_q15(tripled).astype(np.int16),)


DEFINITION = OperatorDefinition(
    kind="tanh",
    summary="hyperbolic tangent.",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
)
