"""binary_conv2d: a convolution and a step in one: bits [H', W', O] from an image [H, W, C] of bits or
numbers.

Weights [O, kh, kw, C] of 8 bits, attributes stride, dilation (height, width), padding (top, bottom, left,
right). Result 1 where sum + bias > 0.

Integer meaning: int32 sum of int8 weights, over bits of those whose bit is set (padding is bits of 0), over
numbers of their products (padding is real zero); the bias becomes the channel's threshold, floor(-bias /
(input scale * weight scale)), and bit = sum > threshold. Nothing is rounded, as an integer sum lies above a
real number where it lies above that number's floor. Bits lie as `quant.bits` says. (PAPERS.md, section 5.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant import bits
from quant.errors import GraphError
from quant.graph import INTEGER_RANGE, DType, Graph, Operator, Quantization, Tensor
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
from quant.ops.common import integer, quantization
from quant.ops.conv2d import total

WEIGHT_BITS = 8


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[H, W, C] with [O, kh, kw, C] -> [out height, out width, O]."""
    data, weight = shapes[0], shapes[1]
    if len(weight) != 4 or len(data) != 3 or data[-1] != weight[-1]:
        raise GraphError(
            f"binary_conv2d of input {data} with weight {weight} (must be [H, W, C] and [O, kh, kw, C])"
        )
    kernel = (weight[1], weight[2])
    return ((*windows.output_size("binary_conv2d", data, kernel, attributes), weight[0]),)


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    data, weight, bias = inputs
    assert data is not None and weight is not None
    result = total(data, weight, attributes) + (0 if bias is None else bias)
    return ((result > 0).astype(result.dtype),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Bits in where the operator's width is that of bits, else numbers of any scale; bits out."""
    return Slots((Slot(), None, None), (Slot(bits.DTYPE, bits.UNIT),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Constants ``<name>.weight``, int8, and ``<name>.threshold``, int32 [O].

    Attributes set: bits (whether the input is), channels (of the input), input_offset (0 for bits),
    weight_bits.
    """
    operator, data, weight = request.operator, request.inputs[0], request.constants[1]
    assert data is not None
    scale = quantization(data)
    bias = request.constants.get(2, np.zeros(len(weight))).astype(np.float64)
    values, scales = linear.quantize_weights(weight, 0, WEIGHT_BITS, np.zeros(len(weight)), 1.0)
    steps = scale.scale[0] * np.array(scales)
    threshold = np.clip(np.floor(-bias / steps), *INTEGER_RANGE["int32"]).astype(np.int32)
    attributes = {
        **{name: operator.attributes[name] for name in ("stride", "dilation", "padding")},
        "bits": data.dtype == bits.DTYPE,
        "channels": weight.shape[-1],
        "input_offset": -scale.zero_point,
        "weight_bits": WEIGHT_BITS,
    }
    names = (f"{operator.name}.weight", f"{operator.name}.threshold")
    made = Operator(
        operator.name,
        operator.kind,
        (operator.inputs[0], *names),
        operator.outputs,
        attributes,
        operator.source,
    )
    weights = Tensor(names[0], values.shape, "int8", Quantization(scales, 0, 0))
    thresholds = Tensor(names[1], threshold.shape, "int32", Quantization(tuple(map(float, steps)), 0, 0))
    return Quantized(made, {names[0]: (weights, values), names[1]: (thresholds, threshold)})


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning. float64 holds the sums exactly."""
    data, weight, threshold = inputs
    assert data is not None and weight is not None and threshold is not None
    if attributes["bits"]:
        values = bits.unpack(data, integer(attributes, "channels")).astype(np.float64)
    else:
        values = data.astype(np.float64) + integer(attributes, "input_offset")
    return (bits.pack(total(values, weight.astype(np.float64), attributes) > threshold),)


def accumulator(operator: Operator, graph: Graph) -> Accumulator:
    """The largest |sum - threshold - 1| for any input, a threshold being no further than a sum can be."""
    return Accumulator(2 * largest_sum(operator, graph) + 1, 32)


def largest_sum(operator: Operator, graph: Graph) -> int:
    """The largest |sum| of any channel for any input, without its threshold."""
    data, weight = graph.tensors[operator.inputs[0]], graph.constants[operator.inputs[1]].astype(np.int64)
    rows = weight.reshape(len(weight), -1)
    if operator.attributes["bits"]:
        return int(max(np.maximum(rows, 0).sum(axis=1).max(), -np.minimum(rows, 0).sum(axis=1).min()))
    low, high = INTEGER_RANGE[data.dtype]
    offset = integer(operator.attributes, "input_offset")
    return int(np.abs(rows).sum(axis=1).max()) * max(abs(low + offset), abs(high + offset))


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """Positions of the window times elements of the weight; sums of set bits need fewer."""
    height, width, _ = tensors[operator.outputs[0]].shape
    return height * width * tensors[operator.inputs[1]].size


DEFINITION = OperatorDefinition(
    kind="binary_conv2d",
    summary="2-D convolution of bits or numbers, compared with a threshold a channel: bits",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=accumulator,
    macs=macs,
    constraints=(windows.image_and_constant_weight,),
)
