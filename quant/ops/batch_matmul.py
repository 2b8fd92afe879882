"""batch_matmul: product of two activations, [B, M, K] with [B, K, N], or with [B, N, K] when ``transpose_b``.

B may be absent (two axes). Integer meaning: TFLite BATCH_MATMUL. int8: int32 sum of centred products,
double rounding. int16: int64 sum, multiplier cut to Q15 (the attribute ``multiplier``), one rounding.
Results beyond 32 bits saturate; in TFLite those wrap around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant import fixed_point
from quant.errors import GraphError
from quant.graph import INTEGER_RANGE, DType, Graph, Operator, Tensor
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
from quant.ops.common import integer, quantization, remake


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[B, M, K] x [B, K, N] -> [B, M, N]."""
    a, b = shapes
    if len(a) != len(b) or len(a) < 2:
        raise _mismatch(a, b)
    rows, columns = (b[-1], b[-2]) if attributes.get("transpose_b") else (b[-2], b[-1])
    if a[:-2] != b[:-2] or a[-1] != rows:
        raise _mismatch(a, b)
    return ((*a[:-1], columns),)


def _mismatch(a: Shape, b: Shape) -> GraphError:
    return GraphError(f"batch_matmul of {a} and {b} (inner axes and batches must agree)")


def _second(attributes: Attributes, b: np.ndarray) -> np.ndarray:
    return np.swapaxes(b, -1, -2) if attributes.get("transpose_b") else b


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    a, b = inputs
    assert a is not None and b is not None
    return (a @ _second(attributes, b),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Free scales."""
    return Slots((Slot(), Slot()), (Slot(),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attributes offset1, offset2, output_offset, multiplier, shift, transpose_b."""
    one, two, out = (quantization(t) for t in (request.inputs[0], request.inputs[1], request.outputs[0]))
    # the product in float32, as TFLite computes it
    product = float(np.float32(one.scale[0]) * np.float32(two.scale[0]))
    if request.outputs[0].dtype == "int16":
        multiplier, shift = fixed_point.quantize_wide(product / out.scale[0])
        multiplier = fixed_point.reduce_multiplier(multiplier)
    else:
        multiplier, shift = fixed_point.quantize_multiplier(product / out.scale[0])
    return remake(
        request,
        {
            "offset1": -one.zero_point,
            "offset2": -two.zero_point,
            "output_offset": out.zero_point,
            "multiplier": multiplier,
            "shift": shift,
            "transpose_b": bool(request.operator.attributes.get("transpose_b")),
        },
    )


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning; the sums are exact in float64 (below 2**53, see ``at_most_65536_products``)."""
    a, b = inputs
    assert a is not None and b is not None
    first = a.astype(np.float64) + integer(attributes, "offset1")
    second = _second(attributes, b).astype(np.float64) + integer(attributes, "offset2")
    total = (first @ second).astype(np.int64)
    multiplier, shift = integer(attributes, "multiplier"), integer(attributes, "shift")
    if a.dtype == np.int16:
        scaled = fixed_point.requantize_s64(total, multiplier, shift)
    else:
        scaled = fixed_point.requantize_s32(total, multiplier, shift)
    limits = np.iinfo(a.dtype)
    result = np.clip(scaled + integer(attributes, "output_offset"), limits.min, limits.max)
    return (result.astype(a.dtype),)


def accumulator(operator: Operator, graph: Graph) -> Accumulator | None:
    """K products of the largest centred values; int8: after the left shift before the multiplier."""
    a, b = (graph.tensors[name] for name in operator.inputs)
    low, high = INTEGER_RANGE[a.dtype]
    largest = [
        max(abs(low + integer(operator.attributes, name)), abs(high + integer(operator.attributes, name)))
        for name in ("offset1", "offset2")
    ]
    bound = a.shape[-1] * largest[0] * largest[1]
    if a.dtype == "int16":
        return Accumulator(bound, 48)
    return Accumulator(bound << max(integer(operator.attributes, "shift"), 0), 32)


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """B * M * N * K."""
    return tensors[operator.outputs[0]].size * tensors[operator.inputs[0]].shape[-1]


def at_most_65536_products(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """The inner axis has at most 65536 elements."""
    inner = tensors[operator.inputs[0]].shape[-1]
    return inner <= 65536, f"{inner} elements"


DEFINITION = OperatorDefinition(
    kind="batch_matmul",
    summary="product of two activations, batched",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=accumulator,
    macs=macs,
    constraints=(at_most_65536_products,),
)
