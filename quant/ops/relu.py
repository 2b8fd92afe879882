"""relu: ``max(x, 0)``, a clamp at the zero point; input and output have one scale."""

from __future__ import annotations

import numpy as np

from quant.graph import DType, Operator
from quant.ops.base import (
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Slot,
    Slots,
)
from quant.ops.common import integer, no_accumulator, no_macs, remake, same_shape
from quant.ops.linear import activation_range


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    (data,) = inputs
    assert data is not None
    return (np.maximum(data, 0),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """One group."""
    return Slots((Slot(),), (Slot(),), ((("in", 0), ("out", 0)),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attributes activation_min and activation_max."""
    low, high = activation_range({"activation": "relu"}, request.outputs[0])
    return remake(request, {"activation_min": low, "activation_max": high})


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    (data,) = inputs
    assert data is not None
    return (np.clip(data, integer(attributes, "activation_min"), integer(attributes, "activation_max")),)


DEFINITION = OperatorDefinition(
    kind="relu",
    summary="rectifier, where it cannot be fused into the operator before it",
    infer=same_shape,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
)
