"""Each operator of the table as TFLite operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from quant.errors import UnsupportedOperator
from quant.graph import Operator, Quantization, Tensor
from quant.ops.common import integer, integers
from quant.tflite.lookup import table
from quant.tflite.model import Model, module
from quant.tflite.norms import layer_norm
from quant.tflite.recurrent import check_gate_scale, close_gru, equal_gru
from quant.tflite.slopes import close_leaky_relu, equal_leaky_relu

ACTIVATIONS = {"none": "NONE", "relu": "RELU", "relu6": "RELU6"}
Translation = Callable[[Operator, Model], None]


def _activation(operator: Operator) -> int:
    name = ACTIVATIONS[str(operator.attributes.get("activation", "none"))]
    return int(getattr(module("tflite").ActivationFunctionType, name))


def _pointwise(builtin: str, options: str = "") -> Translation:
    """One operator of the first input; a table, which TFLite makes itself, is left out of the file."""

    def add(operator: Operator, model: Model) -> None:
        for name in operator.inputs[1:]:
            model.constants.pop(name, None)
            model.tensors.pop(name, None)
        model.add(builtin, operator.inputs[:1], operator.outputs[0], options)

    return add


def _binary(builtin: str, options: str) -> Translation:
    def add(operator: Operator, model: Model) -> None:
        fields = {"FusedActivationFunction": _activation(operator)}
        model.add(builtin, operator.inputs, operator.outputs[0], options, fields)

    return add


def _padded(operator: Operator, model: Model) -> str:
    """The convolution's input, through a PAD where it has padding (TFLite itself has only SAME and VALID)."""
    data = operator.inputs[0]
    top, bottom, left, right = integers(operator.attributes, "padding")
    if not any((top, bottom, left, right)):
        return data
    found = model.tensors[data]
    _, height, width, channels = found.shape
    shape = (1, height + top + bottom, width + left + right, channels)
    name = model.tensor(f"{operator.name}.padded", shape, found.dtype, found.quantization)
    widths = model.constant(f"{operator.name}.widths", ((0, 0), (top, bottom), (left, right), (0, 0)))
    return model.add("PAD", (data, widths), name, "PadOptions")


def _convolution(builtin: str, options: str) -> Translation:
    def add(operator: Operator, model: Model) -> None:
        _, weight, bias = operator.inputs
        fields: dict[str, int | float | bool] = {"FusedActivationFunction": _activation(operator)}
        if builtin == "DEPTHWISE_CONV_2D":
            _with_leading_axis(model, weight)
            fields["DepthMultiplier"] = 1
        data = _padded(operator, model)
        (stride_h, stride_w) = integers(operator.attributes, "stride")
        (dilation_h, dilation_w) = integers(operator.attributes, "dilation")
        fields |= {"Padding": int(module("tflite").Padding.VALID), "StrideH": stride_h, "StrideW": stride_w}
        fields |= {"DilationHFactor": dilation_h, "DilationWFactor": dilation_w}
        model.add(builtin, (data, weight, bias), operator.outputs[0], options, fields)

    return add


def _with_leading_axis(model: Model, name: str) -> None:
    found = model.tensors[name]
    old = found.quantization
    if old is not None and old.axis is not None:
        old = Quantization(old.scale, old.zero_point, old.axis + 1)
    model.tensors[name] = Tensor(name, (1, *found.shape), found.dtype, old)


def _fully_connected(operator: Operator, model: Model) -> None:
    fields = {"FusedActivationFunction": _activation(operator), "KeepNumDims": True}
    model.add("FULLY_CONNECTED", operator.inputs, operator.outputs[0], "FullyConnectedOptions", fields)


def _sigmoid(builtin: str) -> Translation:
    """LOGISTIC or TANH. Raises UnsupportedOperator for int16 of a coarser scale than TFLite Micro takes."""

    def add(operator: Operator, model: Model) -> None:
        source = model.tensors[operator.inputs[0]]
        if source.dtype == "int16" and source.quantization is not None:
            check_gate_scale(operator.name, source.quantization.scale[0])
        _pointwise(builtin)(operator, model)

    return add


def _softmax(operator: Operator, model: Model) -> None:
    _pointwise("SOFTMAX")(operator, model)
    last = model.steps.pop()
    model.add("SOFTMAX", last.inputs, last.outputs[0], "SoftmaxOptions", {"Beta": 1.0})


def _batch_matmul(operator: Operator, model: Model) -> None:
    fields = {"AdjX": False, "AdjY": bool(operator.attributes["transpose_b"])}
    model.add("BATCH_MATMUL", operator.inputs, operator.outputs[0], "BatchMatMulOptions", fields)


def _concat(operator: Operator, model: Model) -> None:
    first = operator.inputs[0]
    axis = integer(operator.attributes, "axis") % model.rank(first) + model.leading(first)
    fields = {"Axis": axis, "FusedActivationFunction": 0}
    model.add("CONCATENATION", operator.inputs, operator.outputs[0], "ConcatenationOptions", fields)


def _transpose(operator: Operator, model: Model) -> None:
    lead = model.leading(operator.inputs[0])
    permutation = (*range(lead), *(axis + lead for axis in integers(operator.attributes, "permutation")))
    order = model.constant(f"{operator.name}.order", permutation)
    model.add("TRANSPOSE", (operator.inputs[0], order), operator.outputs[0], "TransposeOptions")


def _pad(operator: Operator, model: Model) -> None:
    before, after = (integers(operator.attributes, name) for name in ("before", "after"))
    pairs = (*[(0, 0)] * model.leading(operator.inputs[0]), *zip(before, after, strict=True))
    widths = model.constant(f"{operator.name}.widths", pairs)
    model.add("PAD", (operator.inputs[0], widths), operator.outputs[0], "PadOptions")


def _slice(operator: Operator, model: Model) -> None:
    data, (output,) = operator.inputs[0], operator.outputs
    begin = [0] * len(model.tensors[data].shape)
    axis = integer(operator.attributes, "axis") % model.rank(data) + model.leading(data)
    begin[axis] = integer(operator.attributes, "begin")
    first = model.constant(f"{operator.name}.first", begin)
    size = model.constant(f"{operator.name}.size", model.tensors[output].shape)
    model.add("SLICE", (data, first, size), output, "SliceOptions")


def _reshape(operator: Operator, model: Model) -> None:
    (output,) = operator.outputs
    model.reshape(operator.inputs[0], output, model.tensors[output].shape)


EQUAL: Mapping[str, Translation] = MappingProxyType(
    {
        "add": _binary("ADD", "AddOptions"),
        "batch_matmul": _batch_matmul,
        "concat": _concat,
        "conv2d": _convolution("CONV_2D", "Conv2DOptions"),
        "depthwise_conv2d": _convolution("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"),
        "fully_connected": _fully_connected,
        "gru_update": equal_gru,
        "leaky_relu": equal_leaky_relu,
        "mul": _binary("MUL", "MulOptions"),
        "pad": _pad,
        "relu": _pointwise("RELU"),
        "requantize": _pointwise("QUANTIZE", "QuantizeOptions"),
        "reshape": _reshape,
        "sigmoid": _sigmoid("LOGISTIC"),
        "slice": _slice,
        "softmax": _softmax,
        "sub": _binary("SUB", "SubOptions"),
        "table": table,
        "tanh": _sigmoid("TANH"),
        "transpose": _transpose,
    }
)
"""Translations that give the same bits in tflite-micro."""
CLOSE: Mapping[str, Translation] = MappingProxyType(
    {"gru_update": close_gru, "layer_norm": layer_norm, "leaky_relu": close_leaky_relu}
)
"""Translations that compute the same function with other roundings, as a converter would write it."""
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "gate": "it is the predicate of a branch, and tflite-micro has no gated regions",
        "layer_norm": "it sums squares and takes a root in 64 bits, and TFLite Micro has no operator with "
        "results of more than 32",
    }
)


def translation(operator: Operator, close: bool) -> Translation:
    """How to write an operator; ``close`` allows other roundings. Raises UnsupportedOperator."""
    found = (CLOSE.get(operator.kind) if close else None) or EQUAL.get(operator.kind)
    if found is None:
        reason = REASONS.get(operator.kind, f"the export knows {', '.join(EQUAL)}")
        raise UnsupportedOperator(
            f"operator {operator.name!r}: {operator.kind} has no TFLite form with equal bits ({reason})"
        )
    return found
