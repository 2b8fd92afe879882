"""What add, sub and mul share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from quant import fixed_point
from quant.graph import Attribute, DType, Operator, Quantization, Tensor
from quant.ops.base import Arrays, Attributes, Quantized, QuantizeRequest, Shape, Slot, Slots
from quant.ops.common import broadcast, integer, quantization, remake, repeats
from quant.ops.linear import activate_float, activation_range

LEFT_SHIFT = 20
"""Bits that TFLite's int8 ADD and SUB gain before they rescale their inputs."""
WIDE_LEFT_SHIFT = 15
"""The same for int16."""
SUM_LIMIT = 2.0**3 * (1 - 2.0**-31)
"""Largest output factor of int8 sums: they reach 255 * 2**20, and three bits more still fit in 32.

A unit of the coarser input is 2**19 in the sum: what cancels less than that is rounding, and the rest
saturates with this factor too.
"""


def infer(kind: str) -> Callable[[Sequence[Shape], Attributes], tuple[Shape, ...]]:
    """Shape rule of an elementwise operator."""
    return lambda shapes, attributes: (broadcast(kind, shapes[0], shapes[1]),)


def evaluate(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Callable[..., tuple[np.ndarray, ...]]:
    """Float meaning of an elementwise operator with a fused activation."""

    def run(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
        a, b = inputs
        assert a is not None and b is not None
        return (activate_float(function(a, b), attributes),)

    return run


def sum_slots(operator: Operator, dtype: DType) -> Slots:
    """int16: one scale for all three, so that the sum is exact; int8: free scales."""
    same = ((("in", 0), ("in", 1), ("out", 0)),) if dtype == "int16" else ()
    return Slots((Slot(), Slot()), (Slot(),), same)


def sum_quantize(request: QuantizeRequest) -> Quantized:
    """int16: only the clamp. int8: TFLite's three multipliers, as AddParams of ``arm_elementwise_add_s8``."""
    output = request.outputs[0]
    low, high = activation_range(request.operator.attributes, output)
    attributes: dict[str, Attribute] = {
        **request.operator.attributes,
        "activation_min": low,
        "activation_max": high,
    }
    if output.dtype == "int8":
        one, two, out = (quantization(t) for t in (request.inputs[0], request.inputs[1], output))
        attributes |= sum_factors(one, two, out, LEFT_SHIFT)
    return remake(request, attributes)


def sum_factors(one: Quantization, two: Quantization, out: Quantization, left_shift: int) -> dict[str, int]:
    """Attributes of a sum of inputs with scales of their own (TFLite's ADD and SUB; AddParams)."""
    twice = 2 * max(one.scale[0], two.scale[0])
    multiplier1, shift1 = fixed_point.quantize_multiplier(one.scale[0] / twice)
    multiplier2, shift2 = fixed_point.quantize_multiplier(two.scale[0] / twice)
    multiplier, shift = fixed_point.quantize_multiplier(
        min(twice / (2**left_shift * out.scale[0]), SUM_LIMIT)
    )
    return {
        "offset1": -one.zero_point,
        "multiplier1": multiplier1,
        "shift1": shift1,
        "offset2": -two.zero_point,
        "multiplier2": multiplier2,
        "shift2": shift2,
        "left_shift": left_shift,
        "output_offset": out.zero_point,
        "output_multiplier": multiplier,
        "output_shift": shift,
    }


def sum_reference(sign: int) -> Callable[[Attributes, Arrays], tuple[np.ndarray, ...]]:
    """Integer meaning of add (sign 1) and sub (sign -1)."""

    def run(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
        a, b = inputs
        assert a is not None and b is not None
        low, high = integer(attributes, "activation_min"), integer(attributes, "activation_max")
        if a.dtype == np.int16 and "left_shift" not in attributes:
            return (np.clip(a.astype(np.int32) + sign * b.astype(np.int32), low, high).astype(np.int16),)
        first, second = _scaled(attributes, a, 1), _scaled(attributes, b, 2)
        total = fixed_point.requantize_s32(
            first + sign * second,
            integer(attributes, "output_multiplier"),
            integer(attributes, "output_shift"),
        )
        return (np.clip(total + integer(attributes, "output_offset"), low, high).astype(a.dtype),)

    return run


def _scaled(attributes: Attributes, values: np.ndarray, number: int) -> np.ndarray:
    centred = (values.astype(np.int64) + integer(attributes, f"offset{number}")) << integer(
        attributes, "left_shift"
    )
    return fixed_point.requantize_s32(
        centred, integer(attributes, f"multiplier{number}"), integer(attributes, f"shift{number}")
    )


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """One a result."""
    return tensors[operator.outputs[0]].size


def second_repeats(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """The second input has the first's shape, its trailing axes, or one element."""
    a, b = tensors[operator.inputs[0]].shape, tensors[operator.inputs[1]].shape
    return repeats(a, b), f"{a} and {b}"
