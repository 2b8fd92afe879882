"""Each TFLite operator as operators of the table, with the integer attributes that TFLite Micro computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from quant import fixed_point
from quant.errors import UnsupportedOperator
from quant.graph import Attribute, Quantization, Tensor
from quant.ops.common import quantization, repeats
from quant.ops.elementwise import LEFT_SHIFT, SUM_LIMIT, WIDE_LEFT_SHIFT, sum_factors
from quant.ops.pointwise import LONGEST_RIGHT_SHIFT
from quant.ops.softmax_narrow import narrow_factors
from quant.tflite.file import FileOperator
from quant.tflite.incoming import EXACT, Incoming, activation
from quant.tflite.incoming_linear import (
    average_pool,
    convolution,
    depthwise,
    fully_connected,
    fused_range,
)
from quant.tflite.recurrent import check_gate_scale

Translation = Callable[[FileOperator, Incoming], None]
FIXED_OUTPUT: Mapping[tuple[str, str], Quantization] = MappingProxyType(
    {
        ("sigmoid", "int8"): Quantization((2.0**-8,), -128),
        ("sigmoid", "int16"): Quantization((2.0**-15,), 0),
        ("tanh", "int8"): Quantization((2.0**-7,), 0),
        ("tanh", "int16"): Quantization((2.0**-15,), 0),
        ("softmax", "int8"): Quantization((2.0**-8,), -128),
        ("softmax", "int16"): Quantization((2.0**-15,), 0),
    }
)
"""The only output scale that TFLite's kernel computes."""
TRIPLED_Q12 = 3 * 4096
LARGEST_FACTOR = 32767


def label(operator: FileOperator) -> str:
    """Name of an operator in the graph: ``conv_2d.3``."""
    return f"{operator.builtin.lower()}.{operator.index}"


def _elementwise(kind: str) -> Translation:
    def add(operator: FileOperator, made: Incoming) -> None:
        first, second = (made.tensor(index) for index in operator.inputs)
        output = made.wanted(operator.outputs[0])
        if not repeats(first.shape, second.shape) or first.name in made.constants:
            if kind == "sub" or not repeats(second.shape, first.shape):
                raise UnsupportedOperator(
                    f"inputs of shapes {first.shape} and {second.shape} (the second must have the first's "
                    "shape, its trailing axes, or one element)"
                )
            first, second = second, first
        if len({first.dtype, second.dtype, output.dtype}) > 1:
            raise UnsupportedOperator("inputs and output of several types (must have one)")
        name, low, high = fused_range(operator, output)
        changed: dict[str, Attribute] = {"activation_min": low, "activation_max": high}
        if kind != "mul":
            changed |= _sum_factors(first, second, output)
        made.quantized(
            kind, label(operator), (first.name, second.name), output, {"activation": name}, changed
        )
        made.names[operator.outputs[0]] = output.name

    return add


def _sum_factors(first: Tensor, second: Tensor, output: Tensor) -> dict[str, int]:
    """int16 of several scales: attributes as in int8; of one scale the sum is exact, and needs none."""
    scales = (quantization(first), quantization(second), quantization(output))
    wide, twice = output.dtype == "int16", 2 * max(scales[0].scale[0], scales[1].scale[0])
    left = WIDE_LEFT_SHIFT if wide else LEFT_SHIFT
    if twice / (2**left * scales[2].scale[0]) >= SUM_LIMIT:
        raise UnsupportedOperator(
            f"its output has a scale of {scales[2].scale[0]:g}, its inputs up to {twice / 2:g} (TFLite's sum "
            "would overflow)"
        )
    return sum_factors(scales[0], scales[1], scales[2], left) if wide and len(set(scales)) > 1 else {}


def _relu(operator: FileOperator, made: Incoming) -> None:
    """The clamp, after a change of scale where there is one."""
    source, output = made.tensor(operator.inputs[0]), made.wanted(operator.outputs[0])
    if source.dtype != output.dtype:
        raise UnsupportedOperator(f"{source.dtype} to {output.dtype} (must be one type)")
    one, two = quantization(source), quantization(output)
    _, low, high = fused_range(operator, output, operator.builtin)
    name = source.name
    if one != two:
        if operator.builtin == "RELU6":
            raise UnsupportedOperator("RELU6 with other scales on both sides (must be one)")
        ratio = float(np.float32(one.scale[0]) / np.float32(two.scale[0]))
        multiplier, shift = fixed_point.quantize_rescale(ratio)
        changed: dict[str, Attribute] = {"multiplier": multiplier, "shift": shift}
        scaled = Tensor(f"{output.name}.scaled", output.shape, output.dtype, output.quantization)
        name = made.quantized("requantize", f"{label(operator)}.scale", (name,), scaled, {}, changed)
    limits: dict[str, Attribute] = {"activation_min": low, "activation_max": high}
    made.names[operator.outputs[0]] = made.add("relu", label(operator), (name,), output, limits)


def _pointwise(kind: str) -> Translation:
    def add(operator: FileOperator, made: Incoming) -> None:
        source, output = made.tensor(operator.inputs[0]), made.wanted(operator.outputs[0])
        _check_fixed(kind, source, output)
        if source.dtype == "int16":
            scale = quantization(source).scale[0]
            check_gate_scale(label(operator), scale)
            made.add(kind, label(operator), (source.name,), output, tripled_factor(scale))
        else:
            made.quantized(kind, label(operator), (source.name,), output)
        made.names[operator.outputs[0]] = output.name

    return add


def tripled_factor(scale: float) -> dict[str, Attribute]:
    """Attributes of int16 LOGISTIC and TANH for any scale (TFLite Micro's preparation of both): factor and
    right shift to three times Q3.12, the factor cut off where the scale is no power of two."""
    if scale == 2.0**-12:
        return {"multiplier": 3, "right_shift": 0}
    factor, right = scale * TRIPLED_Q12, 0
    while factor <= LARGEST_FACTOR / 2 and right <= LONGEST_RIGHT_SHIFT:
        factor, right = factor * 2, right + 1
    return {"multiplier": int(factor), "right_shift": right}


def _check_fixed(kind: str, source: Tensor, output: Tensor) -> None:
    wanted = FIXED_OUTPUT.get((kind, output.dtype))
    if source.dtype != output.dtype or output.quantization != wanted:
        scale = quantization(output)
        raise UnsupportedOperator(
            f"{source.dtype} to {output.dtype} of scale {scale.scale[0]:g} and zero point {scale.zero_point} "
            f"(must be {source.dtype} with {_scale_text(FIXED_OUTPUT[kind, source.dtype])})"
        )


def _scale_text(scale: Quantization) -> str:
    return f"scale 1/{round(1 / scale.scale[0])} and zero point {scale.zero_point}"


def _softmax(operator: FileOperator, made: Incoming) -> None:
    source, output = made.tensor(operator.inputs[0]), made.wanted(operator.outputs[0])
    _check_fixed("softmax", source, output)
    beta = float(operator.options.get("Beta", 1.0))
    scale = quantization(source).scale[0]
    if not (beta > 0 and math.isfinite(beta)):
        raise UnsupportedOperator(f"beta is {beta:g} (must be above 0)")
    if source.dtype == "int8":
        changed = dict(narrow_factors(scale * beta))
        made.add("softmax", label(operator), (source.name,), output, changed)
    else:
        multiplier, shift = fixed_point.quantize_rescale(scale * beta / (10.0 / 65535))
        factors: dict[str, Attribute] = {"multiplier": multiplier, "shift": shift}
        made.quantized("softmax", label(operator), (source.name,), output, {}, factors)
    made.names[operator.outputs[0]] = output.name


def _reshape(operator: FileOperator, made: Incoming) -> None:
    _same_scale(operator, made, operator.inputs[0])
    made.finish(operator.outputs[0], made.name(operator.inputs[0]))


def _same_scale(operator: FileOperator, made: Incoming, *inputs: int) -> Tensor:
    """The output, which has the type and scale of these inputs."""
    output = made.wanted(operator.outputs[0])
    for index in inputs:
        source = made.tensor(index)
        if (source.dtype, source.quantization) != (output.dtype, output.quantization):
            raise UnsupportedOperator(
                f"tensors {source.name!r} and {output.name!r} have other scales (must be one, it only copies)"
            )
    return output


def _quantize(operator: FileOperator, made: Incoming) -> None:
    source, target = (made.file.tensors[index] for index in (operator.inputs[0], operator.outputs[0]))
    if "UINT8" in (source.type, target.type):
        _shifted(operator, made)
        return
    data, output = made.tensor(source.index), made.wanted(target.index)
    made.quantized("requantize", label(operator), (data.name,), output)
    made.names[target.index] = output.name


def _shifted(operator: FileOperator, made: Incoming) -> None:
    """int8 to a uint8 output, or a uint8 input to int8, of one scale: a shift by 128 in an int16."""
    source, target = (made.file.tensors[index] for index in (operator.inputs[0], operator.outputs[0]))
    incoming, outgoing = source.index in made.file.inputs, target.index in made.file.outputs
    types = (source.type, target.type)
    ends = types == ("INT8", "UINT8") and outgoing or types == ("UINT8", "INT8") and incoming
    zeros = [(item.zero_points or (0,))[0] for item in (source, target)]
    step = 128 if target.type == "UINT8" else -128
    if not ends or source.scales != target.scales or zeros[1] - zeros[0] != step:
        raise UnsupportedOperator(
            f"{source.type.lower()} to {target.type.lower()} (uint8 only as the file's input or output, with "
            "the int8's scale and zero points that differ by 128)"
        )
    dtype = "int16" if outgoing else "int8"
    name = made.name(source.index, raw=True)
    scale = Quantization(target.scales, zeros[1])
    output = Tensor(f"{target.name}.{target.index}", target.shape, dtype, scale)  # type: ignore[arg-type]
    moved: dict[str, Attribute] = {"input_offset": 0, "output_offset": step, **EXACT, "dtype": dtype}
    made.names[target.index] = made.add("requantize", label(operator), (name,), output, moved)


def _concatenation(operator: FileOperator, made: Incoming) -> None:
    output = _same_scale(operator, made, *operator.inputs)
    if operator.options.get("FusedActivationFunction", 0):
        raise UnsupportedOperator("has a fused activation (must have none)")
    axis = int(operator.options.get("Axis", 0)) % max(1, len(output.shape))
    names = tuple(made.name(index) for index in operator.inputs)
    made.names[operator.outputs[0]] = made.add("concat", label(operator), names, output, {"axis": axis})


def _transpose(operator: FileOperator, made: Incoming) -> None:
    output = _same_scale(operator, made, operator.inputs[0])
    order = tuple(int(axis) for axis in made.constant(operator.inputs[1], "permutation").reshape(-1))
    source = (made.name(operator.inputs[0]),)
    made.names[operator.outputs[0]] = made.add(
        "transpose", label(operator), source, output, {"permutation": order}
    )


def _pad(operator: FileOperator, made: Incoming) -> None:
    output = _same_scale(operator, made, operator.inputs[0])
    widths = made.constant(operator.inputs[1], "padding").reshape(-1, 2)
    attributes: dict[str, Attribute] = {
        "before": tuple(int(width) for width in widths[:, 0]),
        "after": tuple(int(width) for width in widths[:, 1]),
        "value": quantization(output).zero_point,
    }
    source = (made.name(operator.inputs[0]),)
    made.names[operator.outputs[0]] = made.add("pad", label(operator), source, output, attributes)


def _strided_slice(operator: FileOperator, made: Incoming) -> None:
    source = made.tensor(operator.inputs[0])
    begin, end, steps = (
        made.constant(index, what).reshape(-1)
        for index, what in zip(operator.inputs[1:], ("begin", "end", "strides"), strict=True)
    )
    masks = {name: int(operator.options.get(f"{name}Mask", 0)) for name in ("Begin", "End", "ShrinkAxis")}
    others = [operator.options.get(f"{name}Mask", 0) for name in ("Ellipsis", "NewAxis")]
    if np.any(steps != 1) or any(others) or len(begin) > len(source.shape):
        raise UnsupportedOperator(
            f"strides {tuple(map(int, steps))} or masks (strides must be 1, no new axes)"
        )
    bounds = []
    for axis, length in enumerate(source.shape):
        first, last = 0, length
        if axis < len(begin):
            first = 0 if masks["Begin"] >> axis & 1 else _place(int(begin[axis]), length)
            last = length if masks["End"] >> axis & 1 else _place(int(end[axis]), length)
            last = first + 1 if masks["ShrinkAxis"] >> axis & 1 else last
        bounds.append((first, last))
    _cut(operator, made, bounds)


def _place(value: int, length: int) -> int:
    return min(max(value + length if value < 0 else value, 0), length)


def _slice(operator: FileOperator, made: Incoming) -> None:
    source = made.tensor(operator.inputs[0])
    begin, size = (
        made.constant(index, what).reshape(-1)
        for index, what in zip(operator.inputs[1:], ("begin", "size"), strict=True)
    )
    bounds = []
    for first, count, length in zip(map(int, begin), map(int, size), source.shape, strict=True):
        bounds.append((first, length if count < 0 else first + count))
    _cut(operator, made, bounds)


def _cut(operator: FileOperator, made: Incoming, bounds: list[tuple[int, int]]) -> None:
    """One slice for each axis that becomes shorter."""
    _same_scale(operator, made, operator.inputs[0])
    name = made.name(operator.inputs[0])
    for axis, (first, last) in enumerate(bounds):
        if (first, last) != (0, made.tensors[name].shape[axis]):
            name = _part(f"{label(operator)}.cut{axis}", made, name, axis, (first, last))
    made.finish(operator.outputs[0], name)


def _part(part: str, made: Incoming, source: str, axis: int, bounds: tuple[int, int]) -> str:
    found, (first, last) = made.tensors[source], bounds
    if not 0 <= first < last <= found.shape[axis]:
        raise UnsupportedOperator(f"cuts {first} to {last} of {found.shape[axis]} (nothing would be left)")
    shape = (*found.shape[:axis], last - first, *found.shape[axis + 1 :])
    output = Tensor(part, shape, found.dtype, found.quantization)
    attributes: dict[str, Attribute] = {"axis": axis, "begin": first, "end": last}
    return made.add("slice", part, (source,), output, attributes)


def _split(operator: FileOperator, made: Incoming) -> None:
    """SPLIT (axis, values) in equal parts."""
    axis = int(made.constant(operator.inputs[0], "axis").reshape(-1)[0])
    length = made.tensor(operator.inputs[1]).shape[axis]
    parts = len(operator.outputs)
    if length % parts:
        raise UnsupportedOperator(f"{length} in {parts} parts (must be equal)")
    _parts(operator, made, operator.inputs[1], axis, [length // parts] * parts)


def _split_v(operator: FileOperator, made: Incoming) -> None:
    """SPLIT_V (values, lengths, axis); a length of -1 is what remains."""
    source, sizes, axis = operator.inputs
    place = int(made.constant(axis, "axis").reshape(-1)[0])
    lengths = [int(length) for length in made.constant(sizes, "lengths").reshape(-1)]
    rest = made.tensor(source).shape[place] - sum(length for length in lengths if length >= 0)
    _parts(operator, made, source, place, [rest if length < 0 else length for length in lengths])


def _parts(operator: FileOperator, made: Incoming, source: int, axis: int, lengths: list[int]) -> None:
    name = made.name(source)
    axis %= max(1, len(made.tensors[name].shape))
    begin = 0
    for place, (index, length) in enumerate(zip(operator.outputs, lengths, strict=True)):
        part = _part(f"{label(operator)}.part{place}", made, name, axis, (begin, begin + length))
        made.finish(index, part)
        begin += length


TRANSLATIONS: Mapping[str, Translation] = MappingProxyType(
    {
        "ADD": _elementwise("add"),
        "AVERAGE_POOL_2D": average_pool,
        "CONCATENATION": _concatenation,
        "CONV_2D": convolution,
        "DEPTHWISE_CONV_2D": depthwise,
        "EXPAND_DIMS": _reshape,
        "FULLY_CONNECTED": fully_connected,
        "LOGISTIC": _pointwise("sigmoid"),
        "MUL": _elementwise("mul"),
        "PAD": _pad,
        "QUANTIZE": _quantize,
        "RELU": _relu,
        "RELU6": _relu,
        "RESHAPE": _reshape,
        "SLICE": _slice,
        "SOFTMAX": _softmax,
        "SPLIT": _split,
        "SPLIT_V": _split_v,
        "SQUEEZE": _reshape,
        "STRIDED_SLICE": _strided_slice,
        "SUB": _elementwise("sub"),
        "TANH": _pointwise("tanh"),
        "TRANSPOSE": _transpose,
    }
)
"""What can be imported."""
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "DEQUANTIZE": "firmware has integers only; convert the model with integer inputs and outputs",
    }
)


def translate(operator: FileOperator, made: Incoming) -> None:
    """Append one operator. Raises UnsupportedOperator for a kind, type or option that has no meaning here."""
    translation = TRANSLATIONS.get(operator.builtin)
    if translation is None:
        for index in (*operator.inputs, *operator.outputs):
            if index >= 0 and made.file.tensors[index].type == "FLOAT32":
                activation(made.file.tensors[index])
        reason = REASONS.get(operator.builtin, f"must be one of {', '.join(TRANSLATIONS)}")
        raise UnsupportedOperator(f"cannot be imported ({reason})")
    if not operator.inputs or operator.inputs[0] < 0 or not operator.outputs or min(operator.outputs) < 0:
        raise UnsupportedOperator("lacks an input or output")
    try:
        translation(operator, made)
    except (IndexError, ValueError) as error:
        raise UnsupportedOperator(f"has inputs or options that do not fit ({error})") from error
