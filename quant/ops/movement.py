"""What the operators that only move data share: one type, scale and zero point on both sides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quant import bits
from quant.graph import Attribute, DType, Operator
from quant.ops.base import Arrays, Attributes, OperatorDefinition, Quantized, QuantizeRequest, Slot, Slots
from quant.ops.common import no_accumulator, no_macs, remake


def slots(operator: Operator, dtype: DType) -> Slots:
    """All inputs and the output are one group."""
    count = len(operator.inputs)
    same = (*(("in", index) for index in range(count)), ("out", 0))
    return Slots((Slot(),) * count, (Slot(),), (same,))


def quantize(request: QuantizeRequest) -> Quantized:
    """The attributes stay; a reshape of bits (`quant.bits`) is one of their words."""
    attributes, output = request.operator.attributes, request.outputs[0]
    packed = {"shape": output.shape} if "shape" in attributes and output.dtype == bits.DTYPE else {}
    return remake(request, {**attributes, **packed})


def definition(
    kind: str,
    summary: str,
    infer: Callable[..., tuple[tuple[int, ...], ...]],
    move: Callable[[Attributes, Arrays], tuple[np.ndarray, ...]],
) -> OperatorDefinition:
    """A definition whose float and integer meaning is the same ``move``."""
    return OperatorDefinition(
        kind=kind,
        summary=summary,
        infer=infer,
        evaluate=move,
        slots=slots,
        quantize=quantize,
        reference=move,
        accumulator=no_accumulator,
        macs=no_macs,
    )


def with_attributes(request: QuantizeRequest, **extra: Attribute) -> Quantized:
    """The attributes and some more."""
    return remake(request, {**request.operator.attributes, **extra})
