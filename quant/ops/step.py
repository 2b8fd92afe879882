"""step: 1 where x > 0, else 0 (the Heaviside step): an activation of one bit.

Integer meaning: bit = x > zero point, packed as `quant.bits` says. Behind a convolution lowering makes one
operator of both, ``binary_conv2d``.
"""

from __future__ import annotations

import numpy as np

from quant import bits
from quant.graph import DType, Operator
from quant.ops.base import Arrays, Attributes, OperatorDefinition, Quantized, QuantizeRequest, Slot, Slots
from quant.ops.common import integer, no_accumulator, no_macs, quantization, remake, same_shape


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    (data,) = inputs
    assert data is not None
    return ((data > 0).astype(data.dtype),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Any numbers in, bits out."""
    return Slots((Slot(),), (Slot(bits.DTYPE, bits.UNIT),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attribute zero_point."""
    return remake(request, {"zero_point": quantization(request.inputs[0]).zero_point})


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    (data,) = inputs
    assert data is not None
    return (bits.pack(data > integer(attributes, "zero_point")),)


DEFINITION = OperatorDefinition(
    kind="step",
    summary="1 where x > 0, else 0: one bit, 32 channels to a word",
    infer=same_shape,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
)
