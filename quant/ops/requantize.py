"""requantize: the same real values in another integer type or scale (inserted by the converter).

Integer meaning: TFLite QUANTIZE, ``saturate(requantize_s32(x + input_offset) + output_offset)``.
"""

from __future__ import annotations

import numpy as np

from quant import fixed_point
from quant.graph import INTEGER_RANGE, DType, Operator
from quant.ops.base import (
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Slot,
    Slots,
)
from quant.ops.common import integer, no_accumulator, no_macs, quantization, remake, same_shape


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning: nothing changes."""
    (data,) = inputs
    assert data is not None
    return (data,)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Anything to anything; the converter sets both sides itself."""
    return Slots((None,), (Slot(),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attributes input_offset, output_offset, multiplier, shift, bits of the output."""
    source, target = quantization(request.inputs[0]), quantization(request.outputs[0])
    multiplier, shift = fixed_point.quantize_rescale(source.scale[0] / target.scale[0])
    return remake(
        request,
        {
            "input_offset": -source.zero_point,
            "output_offset": target.zero_point,
            "multiplier": multiplier,
            "shift": shift,
            "dtype": request.outputs[0].dtype,
        },
    )


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    (data,) = inputs
    assert data is not None
    centred = data.astype(np.int64) + integer(attributes, "input_offset")
    scaled = fixed_point.requantize_s32(
        centred, integer(attributes, "multiplier"), integer(attributes, "shift")
    )
    dtype = str(attributes["dtype"])
    return (np.clip(scaled + integer(attributes, "output_offset"), *INTEGER_RANGE[dtype]).astype(dtype),)


DEFINITION = OperatorDefinition(
    kind="requantize",
    summary="change of integer type or scale (inserted by the converter)",
    infer=same_shape,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
)
