"""fully_connected: ``y[..., n] = act(sum_k x[..., k] * weight[n, k] + bias[n])`` over the last axis.

Integer meaning: TFLite FULLY_CONNECTED with per-channel scales. int8: int32 accumulator and double
rounding; int16 (16x8): int64 accumulator, multiplier cut to 16 bits, one rounding shift
(CMSIS-NN ``arm_fully_connected_s8`` / ``_s16`` arithmetic, one multiplier a row).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant.errors import GraphError
from quant.graph import DType, Graph, Operator, Tensor
from quant.ops import linear
from quant.ops.base import (
    Accumulator,
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Shape,
    Slot,
    Slots,
)


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[..., K] x [N, K] -> [..., N]."""
    data, weight = shapes[0], shapes[1]
    if len(weight) != 2 or data[-1] != weight[1]:
        raise GraphError(
            f"fully_connected of input {data} with weight {weight} (must be [..., K] and [N, K])"
        )
    return ((*data[:-1], weight[0]),)


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    data, weight, bias = inputs
    assert data is not None and weight is not None
    result = data @ weight.T + (0 if bias is None else bias)
    return (linear.activate_float(result, attributes),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Input and output have the operator's width; scales are free."""
    return Slots((Slot(), None, None), (Slot(),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Per-channel symmetric weights; bias in the accumulator's scale."""
    return linear.quantize(request, channel_axis=0)


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    data, weight, bias = inputs
    assert data is not None and weight is not None
    # float64 products are exact: |sum| < 2**53 is implied by the overflow proof's 2**46 for 16x8
    centred = data.astype(np.float64) + int(attributes["input_offset"])  # type: ignore[arg-type]
    accumulator = (centred @ weight.astype(np.float64).T).astype(np.int64)
    return (linear.finish(attributes, accumulator, bias, data.dtype),)


def accumulator(operator: Operator, graph: Graph) -> Accumulator | None:
    """Worst case over rows of sum |w| * max |x - zero point| + |bias|."""
    return linear.worst_accumulator(operator, graph, channel_axis=0)


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """rows * K * N."""
    data, weight = tensors[operator.inputs[0]], tensors[operator.inputs[1]]
    return data.size * weight.shape[0]


def weight_is_constant(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """The weight is a constant matrix [N, K]."""
    shape = tensors[operator.inputs[1]].shape
    return len(shape) == 2, f"weight of shape {shape}"


DEFINITION = OperatorDefinition(
    kind="fully_connected",
    summary="matrix times vectors over the last axis, per-channel weights, optional ReLU",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=accumulator,
    macs=macs,
    constraints=(weight_is_constant,),
)
