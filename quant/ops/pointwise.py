"""What sigmoid and tanh share: a 256-entry table in int8, CMSIS-NN's interpolated table in int16."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from quant.graph import Attribute, DType, Operator, Quantization
from quant.ops import activation_tables
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


def definition(
    kind: str,
    summary: str,
    real: Callable[[float], float],
    q15: Callable[[np.ndarray], np.ndarray],
    int8_output: Quantization,
) -> OperatorDefinition:
    """A function of one variable: ``real`` itself, ``q15`` of three times Q3.12, and int8's output scale."""

    def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
        (data,) = inputs
        assert data is not None
        return (np.vectorize(real, otypes=[np.float64])(data),)

    def slots(operator: Operator, dtype: DType) -> Slots:
        if dtype == "int16":
            return Slots((Slot(power_of_two=True),), (Slot(fixed=Quantization((2.0**-15,), 0)),))
        return Slots((Slot(),), (Slot(fixed=int8_output),))

    def quantize(request: QuantizeRequest) -> Quantized:
        source, target = quantization(request.inputs[0]), quantization(request.outputs[0])
        if request.outputs[0].dtype == "int16":
            return remake(request, to_tripled_q12(source.scale[0]))
        return remake(request, {}, {"table": activation_tables.int8_table(real, source, target)})

    def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
        data = inputs[0]
        assert data is not None
        if data.dtype == np.int8:
            assert inputs[1] is not None
            return (activation_tables.read_int8(inputs[1], data),)
        return (q15(tripled(data, attributes)).astype(np.int16),)

    return OperatorDefinition(
        kind=kind,
        summary=summary,
        infer=same_shape,
        evaluate=evaluate,
        slots=slots,
        quantize=quantize,
        reference=reference,
        accumulator=no_accumulator,
        macs=no_macs,
    )
