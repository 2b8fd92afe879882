"""gate: the predicate of a gated region, ``logits[index] > threshold``.

Integer meaning: ``q > threshold`` with ``threshold = floor(real threshold / scale)``, which is the same
comparison for every integer q. The executor adds the run-time bias to the logits first (int32). Thresholds
beyond 2**17, which no logit with a bias reaches, are taken as that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quant.errors import GraphError
from quant.graph import DType, Operator
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
from quant.ops.common import integer, no_accumulator, no_macs, quantization, remake

FARTHEST = 2.0**17
"""Beyond any sum of two int16."""


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[K] -> a single bool; raises GraphError for an index outside."""
    index, size = integer(attributes, "index"), math.prod(shapes[0])
    if not 0 <= index < size:
        raise GraphError(f"gate {index} of logits {shapes[0]} (must be 0 to {size - 1})")
    return ((),)


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    (logits,) = inputs
    assert logits is not None
    value = logits.reshape(-1)[integer(attributes, "index")]
    return (np.array(value > float(attributes["threshold"])),)  # type: ignore[arg-type]


def slots(operator: Operator, dtype: DType) -> Slots:
    """Logits have 16 bits; the predicate is a bool."""
    return Slots((Slot("int16"),), (None,))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attributes ``index`` and the integer ``threshold``."""
    attributes = request.operator.attributes
    scale = quantization(request.inputs[0]).scale[0]
    units = float(attributes["threshold"]) / scale  # type: ignore[arg-type]
    threshold = math.floor(max(-FARTHEST, min(FARTHEST, units)))
    return remake(request, {"index": integer(attributes, "index"), "threshold": threshold})


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    (logits,) = inputs
    assert logits is not None
    return (
        np.array(int(logits.reshape(-1)[integer(attributes, "index")]) > integer(attributes, "threshold")),
    )


DEFINITION = OperatorDefinition(
    kind="gate",
    summary="predicate of a gated region: one logit above a threshold",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
)
