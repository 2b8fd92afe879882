"""What fully connected and the convolutions share: weight quantization, bias, requantize and activation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from quant import fixed_point
from quant.errors import QuantizationError
from quant.graph import INTEGER_RANGE, Attribute, DType, Graph, Operator, Quantization, Tensor
from quant.ops.base import (
    Accumulator,
    Arrays,
    Attributes,
    Constraint,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Shape,
    Slot,
    Slots,
)

SMALLEST_SCALE = 1e-30
"""Channels whose weights and bias are below it are zero, and have any scale."""
SCALE_FRACTIONS = tuple(float(value) for value in np.linspace(1.0, 0.2, 81))
"""Scales below 8 bits that are tried, as parts of the scale of the channel's peak."""
SCALE_REFINEMENTS = 3
LARGEST_WIDE_RATIO, LARGEST_NARROW_RATIO = 0.25, 0.5
"""Scales of sums, in the output's, from which kernels with 32-bit sums shift right only (16x8, int8)."""
LARGEST_BIAS = 2**29
"""A bias takes at most a quarter of an int32 sum."""
CUT = "cut"
"""Attribute of operators that lowering has not linked yet: their weight was cut out of a larger parameter."""
LEADING_OF = "leading_of"
"""Attribute: the weight (a tensor's name) whose leading rows and columns are the operator's; they share its
scales, so that flash can hold them once."""
LEARNED_BITS, LEARNED_SCALE = "learned_bits", "learned_scale"
"""Attributes of float operators: scales of the weight's channels, and the width they were learned for."""


def activate_float(values: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Apply the fused activation: ``none``, ``relu`` or ``relu6``."""
    activation = attributes.get("activation", "none")
    if activation == "none":
        return values
    high = 6.0 if activation == "relu6" else np.inf
    return np.clip(values, 0.0, high)


def activation_range(attributes: Attributes, output: Tensor) -> tuple[int, int]:
    """Integer clamp of the fused activation (TFLite ``CalculateActivationRangeQuantized``)."""
    low, high = INTEGER_RANGE[output.dtype]
    quantization = output.quantization
    assert quantization is not None
    activation = attributes.get("activation", "none")
    if activation in ("relu", "relu6"):
        low = max(low, quantization.zero_point)
    if activation == "relu6":
        high = min(high, quantization.zero_point + round(6.0 / quantization.scale[0]))
    return low, high


def quantize_weights(
    weight: np.ndarray,
    axis: int,
    bits: int,
    floor: np.ndarray,
    idle: float,
    learned: np.ndarray | None = None,
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Symmetric per-channel weights of ``bits`` bits: (int8 values, scale of each channel).

    8 bits: the scale brings the channel's peak to 127. Fewer: the scale of the smallest squared error
    (`least_squares_scale`). ``learned``: the scale of each channel instead. ``floor``: smallest scale of each
    channel; ``idle``: scale of channels that are zero. Scales are float32 numbers, as TFLite's are.
    """
    top = 2 ** (bits - 1) - 1
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    scale = np.max(np.abs(rows), axis=1) / top
    if learned is not None:
        scale = np.where(scale >= SMALLEST_SCALE, learned, scale)
    elif bits < 8:
        scale = least_squares_scale(rows, scale, top)
    scale = np.maximum(scale, floor)
    scale = np.where(scale >= SMALLEST_SCALE, scale, idle).astype(np.float32).astype(np.float64)
    shape = [1] * weight.ndim
    shape[axis] = -1
    values = np.clip(np.round(weight / scale.reshape(shape)), -top, top).astype(np.int8)
    return values, tuple(float(value) for value in scale)


def least_squares_scale(rows: np.ndarray, largest: np.ndarray, top: int) -> np.ndarray:
    """For each row of [channels, weights] the scale of the smallest squared error of its rounded and clipped
    weights, among fractions of ``largest`` (the scale of its peak) and the best real scale for the integers
    that the best of them gives. Rows of zeros keep ``largest``.
    """
    best, least = largest.copy(), np.full(len(rows), np.inf)
    tried = [largest * fraction for fraction in SCALE_FRACTIONS]
    for turn in range(len(tried) + SCALE_REFINEMENTS):
        scale = tried[turn] if turn < len(tried) else _fitted_scale(rows, best, top)
        safe = np.maximum(scale, SMALLEST_SCALE)[:, None]
        error = np.sum((rows - safe * np.clip(np.round(rows / safe), -top, top)) ** 2, axis=1)
        better = (error < least) & (largest >= SMALLEST_SCALE)
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return best


def _fitted_scale(rows: np.ndarray, scale: np.ndarray, top: int) -> np.ndarray:
    """The real scale that fits the integers of ``scale`` best."""
    integers = np.clip(np.round(rows / np.maximum(scale, SMALLEST_SCALE)[:, None]), -top, top)
    power = np.sum(integers**2, axis=1)
    return np.where(power > 0, np.sum(rows * integers, axis=1) / np.maximum(power, 1), scale)


def learned_scales(operator: Operator, bits: int, channels: int) -> np.ndarray | None:
    """Scales that training learned for weights of ``bits`` bits, float64 [channels]; None without.

    Raises QuantizationError when there are more or fewer than channels.
    """
    scale = operator.attributes.get(LEARNED_SCALE)
    if scale is None or operator.attributes.get(LEARNED_BITS) != bits:
        return None
    assert isinstance(scale, tuple)
    if len(scale) != channels:
        raise QuantizationError(f"{len(scale)} scales were learned for {channels} channels of weights")
    return np.array(scale, np.float64)


def owner_of(operator: Operator, graph: Graph) -> Operator | None:
    """The operator whose weight begins with this one's (`LEADING_OF`), or None."""
    name = operator.attributes.get(LEADING_OF)
    readers = (item for item in graph.operators() if name and name in item.inputs[1:2])
    return next(readers, None)


def leading_part(whole: np.ndarray, shape: Shape) -> np.ndarray | None:
    """The leading rows of a weight [N, ...], and of a matrix [N, K] also the leading columns, as ``shape``;
    None where it has not so many, or another form."""
    if whole.ndim != len(shape) or any(size > most for size, most in zip(shape, whole.shape, strict=True)):
        return None
    if whole.ndim != 2 and whole.shape[1:] != tuple(shape[1:]):
        return None
    return whole[tuple(slice(size) for size in shape)]


def upper_bits(bits: int, ratios: np.ndarray, wide: bool) -> int:
    """Left shift of weights of ``bits`` bits in their int8, with scales smaller by as much.

    Weights of less than 8 bits are the upper bits of an int8: scales that are too large for sums of 32 bits
    and for right shifts only then become those of 8-bit weights. 4 bits, for which there are kernels, stay
    where they are unless some ratio of the sum's scale to the output's needs that.
    """
    largest = float(np.max(ratios, initial=0.0))
    if bits == 4 and largest < (LARGEST_WIDE_RATIO if wide else LARGEST_NARROW_RATIO):
        return 0
    return 8 - bits


def quantize(request: QuantizeRequest, channel_axis: int) -> Quantized:
    """Make a linear operator integer: constants ``<name>.weight``, ``<name>.bias`` and its attributes.

    Attributes set: input_offset, output_offset, multiplier and shift (one an output channel),
    activation_min, activation_max, weight_bits, and weight_shift where weights of fewer than 8 bits are
    multiples of 2**weight_shift.
    """
    operator, (output,) = request.operator, request.outputs
    data = request.inputs[0]
    assert data is not None and data.quantization is not None and output.quantization is not None
    weight = request.constants[1]
    bias = request.constants.get(2, np.zeros(weight.shape[channel_axis])).astype(np.float64)
    wide = data.dtype == "int16"
    bias_type = np.int64 if wide else np.int32
    input_scale = data.quantization.scale[0]
    bits, output_scale = request.weight_bits, output.quantization.scale[0]
    floor = np.abs(bias) / (input_scale * LARGEST_BIAS)
    # a ratio of at most 1 to the output's scale, which any width can requantize
    idle = min(1.0, output_scale / input_scale)
    ruling, weighed = (operator, weight) if request.whole is None else request.whole
    rows = weighed.shape[channel_axis]
    learned = learned_scales(ruling, bits, rows)
    floor = np.pad(floor, (0, rows - len(floor)))

    def integers(floor: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
        found, scales = quantize_weights(weighed, channel_axis, bits, floor, idle, learned)
        own = leading_part(found, weight.shape)
        assert own is not None
        return own, scales[: len(bias)]

    values, scales = integers(floor)
    used = np.any(np.moveaxis(weight, channel_axis, 0).reshape(len(bias), -1), axis=1) | (bias != 0)
    moved = upper_bits(bits, np.array(scales)[used] * input_scale / output_scale, wide)
    if moved:
        values, scales = integers(floor * 2**moved)
        values, scales = values << moved, tuple(scale / 2**moved for scale in scales)
    bias_scales = np.array([input_scale * scale for scale in scales])
    bias_values = np.round(bias / bias_scales).astype(bias_type)
    to_pair = fixed_point.quantize_wide if wide else fixed_point.quantize_multiplier
    pairs = [to_pair(scale / output_scale) for scale in bias_scales]
    low, high = activation_range(operator.attributes, output)
    kept = {
        key: item for key, item in operator.attributes.items() if key not in (LEARNED_BITS, LEARNED_SCALE)
    }
    attributes: dict[str, Attribute] = {
        **kept,
        "input_offset": -data.quantization.zero_point,
        "output_offset": output.quantization.zero_point,
        "multiplier": tuple(pair[0] for pair in pairs),
        "shift": tuple(pair[1] for pair in pairs),
        "activation_min": low,
        "activation_max": high,
        "weight_bits": bits,
        **({"weight_shift": moved} if moved else {}),
    }
    weight_tensor = Tensor(
        f"{operator.name}.weight", values.shape, "int8", Quantization(scales, 0, channel_axis)
    )
    bias_tensor = Tensor(
        f"{operator.name}.bias",
        bias_values.shape,
        "int64" if wide else "int32",
        Quantization(tuple(float(value) for value in bias_scales), 0, 0),
    )
    inputs = (operator.inputs[0], weight_tensor.name, bias_tensor.name)
    made = Operator(operator.name, operator.kind, inputs, operator.outputs, attributes, operator.source)
    return Quantized(
        made, {weight_tensor.name: (weight_tensor, values), bias_tensor.name: (bias_tensor, bias_values)}
    )


@lru_cache(maxsize=1024)
def _scales(multiplier: Attribute, shift: Attribute) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and shifts as int64 [channels], made once: each frame of a reference needs them."""
    return np.array(multiplier, np.int64), np.array(shift, np.int64)


@lru_cache(maxsize=1024)
def _wide_scales(multiplier: Attribute, shift: Attribute) -> tuple[np.ndarray, np.ndarray]:
    """The same with multipliers of 16 bits."""
    whole, shifts = _scales(multiplier, shift)
    return np.array([fixed_point.reduce_multiplier(int(value)) for value in whole], np.int64), shifts


def finish(
    attributes: Attributes, accumulator: np.ndarray, bias: np.ndarray | None, dtype: np.dtype
) -> np.ndarray:
    """Bias, requantize, zero point and clamp of an accumulator [..., channels] (int64 values).

    int16 results beyond 32 bits saturate; in TFLite and CMSIS-NN those wrap around.
    """
    total = accumulator if bias is None else accumulator + bias.astype(np.int64)
    pairs = attributes["multiplier"], attributes["shift"]
    if dtype == np.int16:
        scaled = fixed_point.requantize_s64(total, *_wide_scales(*pairs))
    else:
        scaled = fixed_point.requantize_s32(total, *_scales(*pairs))
    scaled = scaled + int(attributes["output_offset"])  # type: ignore[arg-type]
    low, high = int(attributes["activation_min"]), int(attributes["activation_max"])  # type: ignore[arg-type]
    return np.clip(scaled, low, high).astype(dtype)


def worst_accumulator(operator: Operator, graph: Graph, channel_axis: int) -> Accumulator:
    """Largest |accumulator| over output channels for any input of the input's integer type.

    int8: after the left shift that comes before the multiplier, 32 bits. int16: 48 bits, so that its product
    with the multiplier of 16 bits stays within 64.
    """
    data = graph.tensors[operator.inputs[0]]
    weight = graph.constants[operator.inputs[1]].astype(np.int64)
    bias = graph.constants[operator.inputs[2]].astype(np.int64)
    low, high = INTEGER_RANGE[data.dtype]
    offset = int(operator.attributes["input_offset"])  # type: ignore[arg-type]
    largest = max(abs(low + offset), abs(high + offset))
    other = tuple(index for index in range(weight.ndim) if index != channel_axis)
    sums = np.sum(np.abs(weight), axis=other) * largest + np.abs(bias)
    if data.dtype == "int16":
        return Accumulator(int(np.max(sums)), 48)
    shifts = operator.attributes["shift"]
    assert isinstance(shifts, tuple)
    return Accumulator(max(int(s) << max(int(k), 0) for s, k in zip(sums, shifts, strict=True)), 32)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Input and output have the operator's width; scales are free."""
    return Slots((Slot(), None, None), (Slot(),))


def definition(
    kind: str,
    summary: str,
    infer: Callable[[Sequence[Shape], Attributes], tuple[Shape, ...]],
    total: Callable[[np.ndarray, np.ndarray, Attributes], np.ndarray],
    channel_axis: int,
    macs: Callable[[Operator, Mapping[str, Tensor]], int],
    constraint: Constraint,
) -> OperatorDefinition:
    """A linear operator: ``total(data, weight, attributes)`` is its sum of products, [..., channels], without
    bias. It is given float64 arrays in both meanings; integer sums are exact there, since the overflow proof
    keeps them below 2**48. ``channel_axis``: the weight's axis of output channels.
    """

    def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
        data, weight, bias = inputs
        assert data is not None and weight is not None
        result = total(data, weight, attributes) + (0 if bias is None else bias)
        return (activate_float(result, attributes),)

    def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
        data, weight, bias = inputs
        assert data is not None and weight is not None
        centred = data.astype(np.float64) + int(attributes["input_offset"])  # type: ignore[arg-type]
        accumulator = total(centred, weight.astype(np.float64), attributes).astype(np.int64)
        return (finish(attributes, accumulator, bias, data.dtype),)

    return OperatorDefinition(
        kind=kind,
        summary=summary,
        infer=infer,
        evaluate=evaluate,
        slots=slots,
        quantize=lambda request: quantize(request, channel_axis),
        reference=reference,
        accumulator=lambda operator, graph: worst_accumulator(operator, graph, channel_axis),
        macs=macs,
        constraints=(constraint,),
    )
