"""leaky_relu: x where x >= 0, else ``alpha * x``.

Integer meaning: TFLite LEAKY_RELU. With v = x + input_offset: v >= 0 is requantized by
multiplier_identity / shift_identity, v < 0 by multiplier_alpha / shift_alpha, both with double rounding;
plus output_offset, saturated.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quant import fixed_point
from quant.graph import DType, Operator, Tensor
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


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    (data,) = inputs
    assert data is not None
    return (np.where(data >= 0, data, data * float(attributes["alpha"])),)  # type: ignore[arg-type]


def slots(operator: Operator, dtype: DType) -> Slots:
    """Free scales."""
    return Slots((Slot(),), (Slot(),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Two multipliers."""
    source, target = quantization(request.inputs[0]), quantization(request.outputs[0])
    # in float32, as TFLite computes them
    alpha = np.float32(request.operator.attributes["alpha"])  # type: ignore[arg-type]
    before, after = np.float32(source.scale[0]), np.float32(target.scale[0])
    identity, identity_shift = fixed_point.quantize_rescale(float(before / after))
    slope, slope_shift = fixed_point.quantize_rescale(float(before * alpha / after))
    return remake(
        request,
        {
            **request.operator.attributes,
            "input_offset": -source.zero_point,
            "output_offset": target.zero_point,
            "multiplier_identity": identity,
            "shift_identity": identity_shift,
            "multiplier_alpha": slope,
            "shift_alpha": slope_shift,
        },
    )


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    (data,) = inputs
    assert data is not None
    centred = data.astype(np.int64) + integer(attributes, "input_offset")
    above, below = (
        fixed_point.requantize_s32(
            centred, integer(attributes, f"multiplier_{name}"), integer(attributes, f"shift_{name}")
        )
        for name in ("identity", "alpha")
    )
    result = np.where(centred >= 0, above, below) + integer(attributes, "output_offset")
    limits = np.iinfo(data.dtype)
    return (np.clip(result, limits.min, limits.max).astype(data.dtype),)


def alpha_not_negative(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """alpha is 0 or more."""
    alpha = float(operator.attributes["alpha"])  # type: ignore[arg-type]
    return alpha >= 0, f"alpha {alpha}"


DEFINITION = OperatorDefinition(
    kind="leaky_relu",
    summary="rectifier with a slope below zero",
    infer=same_shape,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
    constraints=(alpha_not_negative,),
)
