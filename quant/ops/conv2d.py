"""conv2d: convolution over an image [H, W, C] with weights [O, kh, kw, C].

Attributes stride, dilation (height, width), padding (top, bottom, left, right), activation. Integer meaning:
TFLite CONV_2D, per-channel scales; the padding is real zero. int8: int32 sum, double rounding;
int16 (16x8): int64 sum and bias, multiplier cut to Q15, one rounding (``arm_convolve_s8`` / ``_s16``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant.errors import GraphError
from quant.graph import DType, Graph, Operator, Tensor
from quant.ops import linear, windows
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
from quant.ops.common import integer

KIND = "conv2d"


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[H, W, C] with [O, kh, kw, C] -> [out height, out width, O]."""
    data, weight = shapes[0], shapes[1]
    if len(weight) != 4 or data[-1] != weight[-1]:
        raise GraphError(
            f"{KIND} of input {data} with weight {weight} (must be [H, W, C] and [O, kh, kw, C])"
        )
    return ((*windows.output_size(KIND, data, (weight[1], weight[2]), attributes), weight[0]),)


def _sum(data: np.ndarray, weight: np.ndarray, attributes: Attributes, fill: float) -> np.ndarray:
    found = windows.windows(data, (weight.shape[1], weight.shape[2]), attributes, fill)
    rows = found.reshape(*found.shape[:2], -1)
    return rows @ weight.reshape(weight.shape[0], -1).T


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    data, weight, bias = inputs
    assert data is not None and weight is not None
    result = _sum(data, weight, attributes, 0.0) + (0 if bias is None else bias)
    return (linear.activate_float(result, attributes),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Input and output have the operator's width; scales are free."""
    return Slots((Slot(), None, None), (Slot(),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Per-channel symmetric weights; bias in the accumulator's scale."""
    return linear.quantize(request, channel_axis=0)


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning; sums are exact in float64 (below 2**53 by the overflow proof)."""
    data, weight, bias = inputs
    assert data is not None and weight is not None
    centred = data.astype(np.float64) + integer(attributes, "input_offset")
    total = _sum(centred, weight.astype(np.float64), attributes, 0.0).astype(np.int64)
    return (linear.finish(attributes, total, bias, data.dtype),)


def accumulator(operator: Operator, graph: Graph) -> Accumulator | None:
    """Worst case over channels of sum |w| * max |x - zero point| + |bias|."""
    return linear.worst_accumulator(operator, graph, channel_axis=0)


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """positions * O * kh * kw * C."""
    height, width, _ = tensors[operator.outputs[0]].shape
    return height * width * tensors[operator.inputs[1]].size


DEFINITION = OperatorDefinition(
    kind=KIND,
    summary="2-D convolution, per-channel weights, optional ReLU",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=accumulator,
    macs=macs,
    constraints=(windows.image_and_constant_weight,),
)
