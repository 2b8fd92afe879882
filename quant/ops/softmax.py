"""softmax: ``exp(x - max) / Σ exp(x - max)`` over the last axis.

Integer meaning, int16 (TFLite Micro SOFTMAX int16, ``arm_softmax_s16``), with two 513-entry tables
``<name>.exp`` (exp over [-10, 0]) and ``<name>.reciprocal`` (1 / (1 + x) over [0, 1]), both Q15:

1. ``e[i] = lookup(exp, clamp(requantize_s32(x[i] - max) + 32767))``; 65535 means 10.0.
2. ``sum = Σ e``; ``h = leading zeros of sum`` (32 bits); ``s = ((sum << (h - 1)) + 2**13) >> 14``.
3. ``r = lookup(reciprocal, clamp(s - 2**15 - 2**16))``.
4. ``y[i] = clamp((e[i] * r + 2**(30 - h)) >> (31 - h), 0, 32767)``, scale 2**-15.

int8 is computed in int16: the converter brings the input to 16 bits first. A graph that was imported may hold
int8 on both sides; its meaning is in `quant.ops.softmax_narrow`, with attribute diff_min and without tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from quant import fixed_point
from quant.graph import DType, Operator, Quantization, Tensor
from quant.ops.activation_tables import read_int16
from quant.ops.base import (
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Slot,
    Slots,
)
from quant.ops.common import integer, no_accumulator, quantization, remake, same_shape
from quant.ops.softmax_narrow import narrow_softmax

LONGEST_AXIS = 65536


def _one_over_one_plus(x: float) -> float:
    return 1 / (1 + x)


@lru_cache(maxsize=2)
def lookup_table(name: str) -> np.ndarray:
    """int16 [513]: "exp" over [-10, 0] or "reciprocal", 1 / (1 + x), over [0, 1], for an output scale of
    2 / 65535 (TFLite ``LUTPopulate``, computed in float32 as there)."""
    single = np.float32
    function: Callable[[float], float]
    if name == "exp":
        step_in, zero, function = single(10.0) / single(65535), 32767, math.exp
    else:
        step_in, zero, function = single(1.0) / single(65535), -32768, _one_over_one_plus
    low, high = single(step_in * single(-32768 - zero)), single(step_in * single(32767 - zero))
    step = single((high - low) / single(512))
    half = single(step / single(2))
    scale = single(2.0) / single(65535)
    inverse = single(65536) / single(scale * single(32767) - scale * single(-32768))

    def at(value: np.float32) -> np.float32:
        return single(function(float(value)))

    def rounded(value: np.float32) -> np.float32:
        return single(math.copysign(math.floor(abs(float(value)) + 0.5), float(value)))

    table = []
    for index in range(512):
        here = at(single(low + single(index) * step))
        middle = at(single(single(low + single(index) * step) + half))
        there = at(single(low + single(index + 1) * step))
        sample = rounded(single(here * inverse))
        between = rounded(single(single(there * inverse + rounded(single(here * inverse))) / single(2)))
        error = single(between - rounded(single(middle * inverse)))
        table.append(float(sample - rounded(single(error / single(2)))))
    table.append(float(rounded(single(at(high) * inverse))))
    values = np.clip(table, -32768, 32767).astype(np.int16)
    values.flags.writeable = False
    return values


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    (data,) = inputs
    assert data is not None
    powers = np.exp(data - np.max(data, axis=-1, keepdims=True))
    return (powers / np.sum(powers, axis=-1, keepdims=True),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """int16 on both sides, output Q15."""
    return Slots((Slot("int16"),), (Slot("int16", Quantization((2.0**-15,), 0)),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attributes multiplier and shift; two tables."""
    scale = quantization(request.inputs[0]).scale[0]
    multiplier, shift = fixed_point.quantize_rescale(scale / (10.0 / 65535))
    tables = {"exp": lookup_table("exp"), "reciprocal": lookup_table("reciprocal")}
    return remake(request, {"multiplier": multiplier, "shift": shift}, tables)


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    if "diff_min" in attributes:
        assert inputs[0] is not None
        names = ("multiplier", "shift", "diff_min")
        return (narrow_softmax(inputs[0], *(integer(attributes, name) for name in names)),)
    data, exp, reciprocal = inputs
    assert data is not None and exp is not None and reciprocal is not None
    wide = data.astype(np.int64)
    difference = wide - np.max(wide, axis=-1, keepdims=True)
    scaled = fixed_point.requantize_s32(
        difference, integer(attributes, "multiplier"), integer(attributes, "shift")
    )
    powers = read_int16(exp, np.clip(scaled + 32767, -32768, 32767))
    total = np.sum(powers, axis=-1, keepdims=True)
    # the exponent of a positive integer in float64 is its bit length
    zeros = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    shifted = ((total << (zeros - 1)) + (1 << 13)) >> 14
    inverse = read_int16(reciprocal, np.clip(shifted - (1 << 15) - (1 << 16), -32768, 32767))
    right = 31 - zeros
    result = (powers * inverse + (np.int64(1) << (right - 1))) >> right
    return (np.clip(result, 0, 32767).astype(np.int16),)


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """One product an element."""
    return tensors[operator.inputs[0]].size


def axis_below_65536(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """The axis is the last one and has at most 65536 elements."""
    length = tensors[operator.inputs[0]].shape[-1]
    return length <= LONGEST_AXIS, f"{length} elements"


DEFINITION = OperatorDefinition(
    kind="softmax",
    summary="softmax over the last axis, int16",
    infer=same_shape,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=macs,
    constraints=(axis_below_65536,),
)
