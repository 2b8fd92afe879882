"""FULLY_CONNECTED, the convolutions and AVERAGE_POOL_2D of a file as linear operators of the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from quant import fixed_point
from quant.errors import UnsupportedOperator
from quant.graph import INTEGER_RANGE, Attribute, Quantization, Tensor
from quant.ops.common import quantization
from quant.tflite.file import FileOperator, FileTensor
from quant.tflite.incoming import Incoming

FUSED = ("none", "relu", "-1 to 1", "relu6", "tanh", "sign bit")
"""Activations by TFLite's number."""
SAME = 0
POOL_WEIGHT = 64
"""Of an average: a power of two, so that the scale's first rounding is exact where the second meets a tie."""


def fused_range(operator: FileOperator, output: Tensor, builtin: str = "") -> tuple[str, int, int]:
    """Name and integer clamp of the fused activation, or of the operator ``builtin`` (TFLite
    ``CalculateActivationRangeQuantized``, in float32). Raises UnsupportedOperator for other activations."""
    number = int(operator.options.get("FusedActivationFunction", 0))
    name = builtin.lower() if builtin else FUSED[number] if 0 <= number < len(FUSED) else str(number)
    if name not in ("none", "relu", "relu6"):
        raise UnsupportedOperator(f"has the fused activation {name} (must be none, relu or relu6)")
    low, high = INTEGER_RANGE[output.dtype]
    scale = quantization(output)
    if name != "none":
        low = max(low, scale.zero_point)
    if name == "relu6":
        steps = float(np.float32(6) / np.float32(scale.scale[0]))
        high = min(high, scale.zero_point + math.floor(steps + 0.5))
    return name, low, high


def _weights(operator: FileOperator, made: Incoming, axis: int) -> tuple[FileTensor, np.ndarray]:
    """Weights of the file; raises UnsupportedOperator unless they are int8 and symmetric, with a scale for
    all or for each channel of ``axis``."""
    index = operator.inputs[1] if len(operator.inputs) > 1 else -1
    if index < 0 or made.file.tensors[index].data is None:
        raise UnsupportedOperator("its weights are not constants")
    tensor = made.file.tensors[index]
    values = made.constant(index, "weight")
    if tensor.type != "INT8" or tensor.sparse:
        what = "sparse" if tensor.sparse else tensor.type.lower()
        raise UnsupportedOperator(f"weights are {what} (must be int8; quantize the model)")
    channels = values.shape[axis]
    if len(tensor.scales) not in (1, channels) or (len(tensor.scales) > 1 and tensor.axis != axis):
        raise UnsupportedOperator(
            f"weights have {len(tensor.scales)} scales along axis {tensor.axis} (must be 1, or {channels} "
            f"along axis {axis})"
        )
    if any(tensor.zero_points):
        raise UnsupportedOperator("weights have a zero point (must be 0)")
    return tensor, values


def _bias(operator: FileOperator, made: Incoming, channels: int, wide: bool) -> np.ndarray:
    """Bias of each channel. TFLite Micro sums 16x8 in 64 bits only with a bias of 64 bits."""
    index = operator.inputs[2] if len(operator.inputs) > 2 else -1
    wanted = "int64" if wide else "int32"
    if index < 0:
        if wide and operator.builtin != "FULLY_CONNECTED":
            raise UnsupportedOperator("16-bit activations without bias (TFLite Micro then sums in 32 bits)")
        return np.zeros(channels, wanted)
    values = made.constant(index, "bias")
    if str(values.dtype) != wanted or values.shape != (channels,):
        raise UnsupportedOperator(f"bias is {values.dtype} {values.shape} (must be {wanted} ({channels},))")
    return values


def _linear(
    operator: FileOperator,
    made: Incoming,
    kind: str,
    source: str,
    weight: tuple[np.ndarray, Sequence[float], int],
    bias: np.ndarray,
    output: Tensor,
    multipliers: Sequence[float],
    geometry: dict[str, Attribute],
) -> str:
    """Append the linear operator; ``weight``: values, scales, and the axis of output channels."""
    name = f"{operator.builtin.lower()}.{operator.index}"
    values, scales, axis = weight
    data, wide = made.tensors[source], output.dtype == "int16"
    if data.dtype != output.dtype:
        raise UnsupportedOperator(f"{data.dtype} to {output.dtype} (must be one type)")
    to_pair = fixed_point.quantize_wide if wide else fixed_point.quantize_multiplier
    pairs = [to_pair(factor) for factor in multipliers]
    activation, low, high = fused_range(operator, output)
    attributes: dict[str, Attribute] = {
        **geometry,
        "activation": activation,
        "input_offset": -quantization(data).zero_point,
        "output_offset": quantization(output).zero_point,
        "multiplier": tuple(pair[0] for pair in pairs),
        "shift": tuple(pair[1] for pair in pairs),
        "activation_min": low,
        "activation_max": high,
        "weight_bits": 8,
    }
    if wide:
        _check_range(values, axis, bias, pairs)
    bias_scales = tuple(quantization(data).scale[0] * scale for scale in scales)
    made.tensors[f"{name}.weight"] = Tensor(
        f"{name}.weight", values.shape, "int8", Quantization(tuple(scales), 0, axis)
    )
    made.tensors[f"{name}.bias"] = Tensor(
        f"{name}.bias", bias.shape, "int64" if wide else "int32", Quantization(bias_scales, 0, 0)
    )
    made.constants[f"{name}.weight"], made.constants[f"{name}.bias"] = values, bias
    return made.add(kind, name, (source, f"{name}.weight", f"{name}.bias"), output, attributes)


def _check_range(values: np.ndarray, axis: int, bias: np.ndarray, pairs: Sequence[tuple[int, int]]) -> None:
    """TFLite cuts 16x8 results to 32 bits before they saturate: refuse what could reach that."""
    rows = np.moveaxis(values, axis, 0).reshape(len(bias), -1).astype(np.int64)
    sums = np.abs(rows).sum(axis=1) * 2**15 + np.abs(bias)
    for largest, (multiplier, shift) in zip(sums.tolist(), pairs, strict=True):
        if largest * multiplier / 2.0 ** (31 - shift) >= 2**31 - 1:
            raise UnsupportedOperator(
                "a result could leave 32 bits, where TFLite wraps around (scales too far)"
            )


def _channel_scales(tensor: FileTensor, channels: int) -> tuple[float, ...]:
    return tensor.scales if len(tensor.scales) == channels else tensor.scales * channels


def _factors(source: Tensor, output: Tensor, scales: Sequence[float]) -> list[float]:
    """TFLite ``PopulateConvolutionQuantizationParams``: in float64."""
    before, after = quantization(source).scale[0], quantization(output).scale[0]
    return [before * scale / after for scale in scales]


def fully_connected(operator: FileOperator, made: Incoming) -> None:
    """Rows of the weight's length; other axes are flattened, as TFLite does it."""
    if operator.options.get("WeightsFormat", 0):
        raise UnsupportedOperator("weights are shuffled (must be in the default format)")
    tensor, values = _weights(operator, made, 0)
    source, output = made.tensor(operator.inputs[0]), made.wanted(operator.outputs[0])
    if values.ndim != 2 or source.size % values.shape[1]:
        raise UnsupportedOperator(f"input {source.shape} with weight {values.shape}")
    channels, columns = values.shape
    scales = _channel_scales(tensor, channels)
    factors = _factors(source, output, scales)
    if len(tensor.scales) == 1:
        # TFLite ``GetQuantizedConvolutionMultipler``: the product in float32
        before = np.float32(quantization(source).scale[0]) * np.float32(tensor.scales[0])
        factors = [float(before) / quantization(output).scale[0]] * channels
    rows = source.size // columns
    name = f"fully_connected.{operator.index}"
    data = made.view(source.name, (rows, columns), f"{name}.rows")
    bias = _bias(operator, made, channels, output.dtype == "int16")
    result = Tensor(f"{name}.sums", (rows, channels), output.dtype, output.quantization)
    if output.shape == result.shape:
        result = output
    weight = (values, scales, 0)
    written = _linear(operator, made, "fully_connected", data, weight, bias, result, factors, {})
    made.finish(operator.outputs[0], written)


def _image(operator: FileOperator, made: Incoming) -> tuple[Tensor, str]:
    """The input and its view as an image without batch."""
    source = made.tensor(operator.inputs[0])
    if len(source.shape) != 4 or source.shape[0] != 1:
        raise UnsupportedOperator(f"input of shape {source.shape} (must be [1, height, width, channels])")
    view = made.view(source.name, source.shape[1:], f"{operator.builtin.lower()}.{operator.index}.image")
    return source, view


def _geometry(options: Any, size: Sequence[int], kernel: Sequence[int]) -> dict[str, Attribute]:
    """Attributes stride, dilation and padding (TFLite ``ComputePaddingHeightWidth``)."""
    if not options:
        raise UnsupportedOperator("has no options")
    stride = (int(options["StrideH"]), int(options["StrideW"]))
    dilation = (int(options.get("DilationHFactor", 1)), int(options.get("DilationWFactor", 1)))
    if min(*stride, *dilation) < 1:
        raise UnsupportedOperator(f"stride {stride}, dilation {dilation} (must be 1 or more)")
    around = []
    for length, taps, step, apart in zip(size, kernel, stride, dilation, strict=True):
        span = (taps - 1) * apart + 1
        total = max((-(-length // step) - 1) * step + span - length, 0) if options["Padding"] == SAME else 0
        around += [total // 2, total - total // 2]
    return {"stride": stride, "dilation": dilation, "padding": tuple(around)}


def _image_output(operator: FileOperator, made: Incoming) -> Tensor:
    output = made.wanted(operator.outputs[0])
    name = f"{operator.builtin.lower()}.{operator.index}.result"
    return Tensor(name, output.shape[1:], output.dtype, output.quantization)


def convolution(operator: FileOperator, made: Incoming) -> None:
    """CONV_2D of one image, without groups."""
    tensor, values = _weights(operator, made, 0)
    source, image = _image(operator, made)
    output = _image_output(operator, made)
    if values.ndim != 4 or values.shape[3] != source.shape[3]:
        raise UnsupportedOperator(
            f"input of {source.shape} with weight {values.shape} (groups are not supported)"
        )
    geometry = _geometry(operator.options, source.shape[1:3], values.shape[1:3])
    scales = _channel_scales(tensor, len(values))
    bias = _bias(operator, made, len(values), output.dtype == "int16")
    factors = _factors(source, output, scales)
    weight = (values, scales, 0)
    written = _linear(operator, made, "conv2d", image, weight, bias, output, factors, geometry)
    made.finish(operator.outputs[0], written)


def depthwise(operator: FileOperator, made: Incoming) -> None:
    """DEPTHWISE_CONV_2D with multiplier 1; of one input channel it is a convolution, with any multiplier."""
    tensor, values = _weights(operator, made, 3)
    source, image = _image(operator, made)
    output = _image_output(operator, made)
    channels, inputs = values.shape[-1], source.shape[3]
    if values.ndim != 4 or values.shape[0] != 1 or channels not in (inputs, channels // inputs * inputs):
        raise UnsupportedOperator(f"input of {source.shape} with weight {values.shape}")
    if channels != inputs and inputs != 1:
        raise UnsupportedOperator(
            f"depth multiplier {channels // inputs} of {inputs} channels (must be 1, or any of one channel)"
        )
    geometry = _geometry(operator.options, source.shape[1:3], values.shape[1:3])
    scales = _channel_scales(tensor, channels)
    bias = _bias(operator, made, channels, output.dtype == "int16")
    factors = _factors(source, output, scales)
    kind, weight = "depthwise_conv2d", (values[0], scales, 2)
    if inputs == 1:
        kind, weight = "conv2d", (np.moveaxis(values[0], 2, 0)[..., None].copy(), scales, 0)
    written = _linear(operator, made, kind, image, weight, bias, output, factors, geometry)
    made.finish(operator.outputs[0], written)


def average_pool(operator: FileOperator, made: Incoming) -> None:
    """int8 AVERAGE_POOL_2D without padding, as a depthwise convolution with equal weights.

    TFLite divides the sum of a window and rounds halves away from zero; that the scaled sum gives the same is
    tried for every sum. Raises UnsupportedOperator where it does not.
    """
    source, image = _image(operator, made)
    output = _image_output(operator, made)
    options = operator.options
    if source.dtype != "int8" or (source.dtype, source.quantization) != (output.dtype, output.quantization):
        raise UnsupportedOperator(f"of {source.dtype} (must be int8, with one scale)")
    if not options:
        raise UnsupportedOperator("has no options")
    kernel = (int(options["FilterHeight"]), int(options["FilterWidth"]))
    geometry = _geometry(options, source.shape[1:3], kernel)
    if any(geometry["padding"]):  # type: ignore[arg-type]
        raise UnsupportedOperator("windows reach beyond the image (must have no padding)")
    count, channels = kernel[0] * kernel[1], source.shape[3]
    pair = fixed_point.quantize_multiplier(1 / (POOL_WEIGHT * count))
    _check_average(count, pair)
    activation, low, high = fused_range(operator, output)
    name = f"average_pool_2d.{operator.index}"
    weight = np.full((*kernel, channels), POOL_WEIGHT, np.int8)
    scales = (1 / (POOL_WEIGHT * count),) * channels
    attributes: dict[str, Attribute] = {
        **geometry,
        "activation": activation,
        # the sum is of integers as they are: their rounding does not depend on the zero point
        "input_offset": 0,
        "output_offset": 0,
        "multiplier": (pair[0],) * channels,
        "shift": (pair[1],) * channels,
        "activation_min": low,
        "activation_max": high,
        "weight_bits": 8,
    }
    made.tensors[f"{name}.weight"] = Tensor(
        f"{name}.weight", weight.shape, "int8", Quantization(scales, 0, 2)
    )
    made.tensors[f"{name}.bias"] = Tensor(f"{name}.bias", (channels,), "int32")
    made.constants[f"{name}.weight"] = weight
    made.constants[f"{name}.bias"] = np.zeros(channels, np.int32)
    inputs = (image, f"{name}.weight", f"{name}.bias")
    made.finish(operator.outputs[0], made.add("depthwise_conv2d", name, inputs, output, attributes))


def _check_average(count: int, pair: tuple[int, int]) -> None:
    sums = np.arange(-128 * count, 127 * count + 1, dtype=np.int64)
    exact = np.where(sums > 0, (sums + count // 2) // count, -((-sums + count // 2) // count))
    if not np.array_equal(fixed_point.requantize_s32(sums * POOL_WEIGHT, *pair), exact):
        raise UnsupportedOperator(
            f"an average of {count} elements has no integer form with the same roundings"
        )
