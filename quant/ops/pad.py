"""pad: real zeros (the zero point) before and after each axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.errors import GraphError
from quant.graph import DType, Operator
from quant.ops import movement
from quant.ops.base import Arrays, Attributes, OperatorDefinition, Quantized, QuantizeRequest, Shape, Slots
from quant.ops.common import integers, no_accumulator, no_macs, quantization


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """Each axis longer by ``before`` and ``after``."""
    before, after = integers(attributes, "before"), integers(attributes, "after")
    if not len(before) == len(after) == len(shapes[0]) or min(before + after) < 0:
        raise GraphError(f"pad of {shapes[0]} by {before} and {after} (one number >= 0 an axis)")
    return (tuple(b + size + a for b, size, a in zip(before, shapes[0], after, strict=True)),)


def _pad(attributes: Attributes, inputs: Arrays, value: int) -> tuple[np.ndarray, ...]:
    (data,) = inputs
    assert data is not None
    widths = list(zip(integers(attributes, "before"), integers(attributes, "after"), strict=True))
    return (np.pad(data, widths, constant_values=value),)


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    return _pad(attributes, inputs, 0)


def slots(operator: Operator, dtype: DType) -> Slots:
    """One scale on both sides."""
    return movement.slots(operator, dtype)


def quantize(request: QuantizeRequest) -> Quantized:
    """Attribute ``value``: the zero point."""
    return movement.with_attributes(request, value=quantization(request.inputs[0]).zero_point)


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    return _pad(attributes, inputs, int(attributes["value"]))  # type: ignore[arg-type]


DEFINITION = OperatorDefinition(
    kind="pad",
    summary="zeros around a tensor (a copy)",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
)
