"""Runs one integer operator in TensorFlow Lite for Microcontrollers, as an independent second opinion.

Each operator of an integer graph that TFLite has too is written as a one-operator ``.tflite`` model with the
same types, scales and constants, and run by the ``tflite-micro`` interpreter. Scales are float32 there, so
both agree on the multipliers only where ours are float32 numbers (those that the converter chooses are).

Needs the packages of ``tinydsn[oracle]``, imported on first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quant.errors import ConfigError, UnsupportedOperator
from quant.graph import Graph, Operator, Quantization, Tensor
from quant.ops.common import integer, integers

ARENA_BYTES = 1 << 20
TFLITE_SCHEMA = 3
TYPES = {"int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64"}
ACTIVATIONS = {"none": "NONE", "relu": "RELU", "relu6": "RELU6"}


@dataclass(frozen=True)
class Step:
    """One TFLite operator: its builtin's name, tensors, and options as (table, field -> value)."""

    builtin: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: str = ""
    fields: Mapping[str, int | float | bool] = field(default_factory=dict)


@dataclass
class Model:
    """What goes into the file: tensors in order, constant values, steps, the model's inputs and outputs."""

    tensors: dict[str, Tensor]
    constants: dict[str, np.ndarray]
    steps: list[Step]
    inputs: list[str]
    outputs: list[str]

    def constant(self, name: str, values: Sequence[int] | Sequence[Sequence[int]]) -> str:
        """Add an int32 constant (a shape, a permutation) and return its name."""
        array = np.array(values, np.int32)
        self.tensors[name], self.constants[name] = Tensor(name, array.shape, "int32"), array
        return name


def run_operator(
    operator: Operator, graph: Graph, inputs: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, ...]:
    """Outputs of one operator of an integer graph, by tflite-micro; shapes and types are the graph's.

    ``inputs`` holds the operator's activations by tensor name. Raises ConfigError without the packages,
    UnsupportedOperator for an operator or type that TFLite Micro does not have.
    """
    runtime = _module("tflite_micro.python.tflite_micro.runtime")
    model = translate(operator, graph)
    try:
        interpreter = runtime.Interpreter.from_bytes(to_flatbuffer(model), arena_size=ARENA_BYTES)
        for index, name in enumerate(model.inputs):
            tensor = model.tensors[name]
            values = np.ascontiguousarray(inputs[name]).reshape(tensor.shape)
            interpreter.set_input(values.astype(tensor.dtype, casting="no"), index)
        interpreter.invoke()
    except RuntimeError as error:
        raise UnsupportedOperator(
            f"operator {operator.name!r} ({operator.kind}): refused by TFLite Micro"
        ) from error
    found = (interpreter.get_output(index) for index in range(len(model.outputs)))
    return tuple(
        np.array(values).reshape(graph.tensors[name].shape)
        for name, values in zip(operator.outputs, found, strict=True)
    )


def supports(operator: Operator) -> bool:
    """Whether TFLite has this kind of operator."""
    return operator.kind in _TRANSLATIONS


def translate(operator: Operator, graph: Graph) -> Model:
    """The operator as TFLite operators. Raises UnsupportedOperator when TFLite has no such operator."""
    if not supports(operator):
        raise UnsupportedOperator(
            f"operator {operator.name!r}: {operator.kind} is not a TFLite operator "
            f"(the oracle knows {', '.join(_TRANSLATIONS)})"
        )
    names = [name for name in (*operator.inputs, *operator.outputs) if name]
    model = Model(
        tensors={name: graph.tensors[name] for name in names},
        constants={name: graph.constants[name] for name in operator.inputs if name in graph.constants},
        steps=[],
        inputs=[name for name in dict.fromkeys(operator.inputs) if name and name not in graph.constants],
        outputs=list(operator.outputs),
    )
    _TRANSLATIONS[operator.kind](operator, model)
    return model


def _plain(builtin: str, options: str = "") -> Callable[[Operator, Model], None]:
    def add(operator: Operator, model: Model) -> None:
        data = tuple(name for name in operator.inputs if not name.endswith((".table", ".exp", ".reciprocal")))
        fields = {"FusedActivationFunction": _activation(operator)} if options in _FUSED else {}
        model.steps.append(Step(builtin, data, operator.outputs, options, fields))

    return add


_FUSED = ("AddOptions", "SubOptions", "MulOptions")


def _activation(operator: Operator) -> int:
    name = ACTIVATIONS[str(operator.attributes.get("activation", "none"))]
    return int(getattr(_module("tflite").ActivationFunctionType, name))


def _with_batch(model: Model, name: str) -> None:
    """Give an image or a depthwise weight TFLite's leading axis of one."""
    tensor = model.tensors[name]
    old = tensor.quantization
    if old is not None and old.axis is not None:
        old = Quantization(old.scale, old.zero_point, old.axis + 1)
    model.tensors[name] = Tensor(name, (1, *tensor.shape), tensor.dtype, old)


def _padded(operator: Operator, model: Model) -> str:
    """The convolution's input, through a PAD where it has padding (TFLite itself has only SAME and VALID)."""
    data = operator.inputs[0]
    top, bottom, left, right = integers(operator.attributes, "padding")
    if not any((top, bottom, left, right)):
        return data
    tensor = model.tensors[data]
    _, height, width, channels = tensor.shape
    shape = (1, height + top + bottom, width + left + right, channels)
    name = f"{operator.name}.padded"
    model.tensors[name] = Tensor(name, shape, tensor.dtype, tensor.quantization)
    widths = model.constant(f"{operator.name}.widths", ((0, 0), (top, bottom), (left, right), (0, 0)))
    model.steps.append(Step("PAD", (data, widths), (name,), "PadOptions"))
    return name


def _convolution(builtin: str, options: str) -> Callable[[Operator, Model], None]:
    def add(operator: Operator, model: Model) -> None:
        data, weight, bias = operator.inputs
        _with_batch(model, data)
        _with_batch(model, operator.outputs[0])
        fields: dict[str, int | float | bool] = {"FusedActivationFunction": _activation(operator)}
        if builtin == "DEPTHWISE_CONV_2D":
            _with_batch(model, weight)
            fields["DepthMultiplier"] = 1
        data = _padded(operator, model)
        (stride_h, stride_w) = integers(operator.attributes, "stride")
        (dilation_h, dilation_w) = integers(operator.attributes, "dilation")
        fields |= {"Padding": int(_module("tflite").Padding.VALID), "StrideH": stride_h, "StrideW": stride_w}
        fields |= {"DilationHFactor": dilation_h, "DilationWFactor": dilation_w}
        model.steps.append(Step(builtin, (data, weight, bias), operator.outputs, options, fields))

    return add


def _fully_connected(operator: Operator, model: Model) -> None:
    fields = {"FusedActivationFunction": _activation(operator), "KeepNumDims": True}
    step = Step("FULLY_CONNECTED", operator.inputs, operator.outputs, "FullyConnectedOptions", fields)
    model.steps.append(step)


def _leaky_relu(operator: Operator, model: Model) -> None:
    fields = {"Alpha": float(operator.attributes["alpha"])}  # type: ignore[arg-type]
    model.steps.append(Step("LEAKY_RELU", operator.inputs[:1], operator.outputs, "LeakyReluOptions", fields))


def _softmax(operator: Operator, model: Model) -> None:
    model.steps.append(
        Step("SOFTMAX", operator.inputs[:1], operator.outputs, "SoftmaxOptions", {"Beta": 1.0})
    )


def _batch_matmul(operator: Operator, model: Model) -> None:
    fields = {"AdjX": False, "AdjY": bool(operator.attributes["transpose_b"])}
    step = Step("BATCH_MATMUL", operator.inputs, operator.outputs, "BatchMatMulOptions", fields)
    model.steps.append(step)


def _concat(operator: Operator, model: Model) -> None:
    fields = {"Axis": integer(operator.attributes, "axis"), "FusedActivationFunction": 0}
    step = Step("CONCATENATION", operator.inputs, operator.outputs, "ConcatenationOptions", fields)
    model.steps.append(step)


def _transpose(operator: Operator, model: Model) -> None:
    order = model.constant(f"{operator.name}.order", integers(operator.attributes, "permutation"))
    step = Step("TRANSPOSE", (*operator.inputs, order), operator.outputs, "TransposeOptions")
    model.steps.append(step)


def _pad(operator: Operator, model: Model) -> None:
    before, after = (integers(operator.attributes, name) for name in ("before", "after"))
    widths = model.constant(f"{operator.name}.widths", tuple(zip(before, after, strict=True)))
    model.steps.append(Step("PAD", (*operator.inputs, widths), operator.outputs, "PadOptions"))


def _slice(operator: Operator, model: Model) -> None:
    shape = model.tensors[operator.inputs[0]].shape
    axis = integer(operator.attributes, "axis") % len(shape)
    begin = [0] * len(shape)
    begin[axis] = integer(operator.attributes, "begin")
    first = model.constant(f"{operator.name}.first", begin)
    size = model.constant(f"{operator.name}.size", model.tensors[operator.outputs[0]].shape)
    step = Step("SLICE", (operator.inputs[0], first, size), operator.outputs, "SliceOptions")
    model.steps.append(step)


_TRANSLATIONS: Mapping[str, Callable[[Operator, Model], None]] = {
    "add": _plain("ADD", "AddOptions"),
    "batch_matmul": _batch_matmul,
    "concat": _concat,
    "conv2d": _convolution("CONV_2D", "Conv2DOptions"),
    "depthwise_conv2d": _convolution("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"),
    "fully_connected": _fully_connected,
    "leaky_relu": _leaky_relu,
    "mul": _plain("MUL", "MulOptions"),
    "pad": _pad,
    "relu": _plain("RELU"),
    "requantize": _plain("QUANTIZE", "QuantizeOptions"),
    "sigmoid": _plain("LOGISTIC"),
    "slice": _slice,
    "softmax": _softmax,
    "sub": _plain("SUB", "SubOptions"),
    "tanh": _plain("TANH"),
    "transpose": _transpose,
}


def to_flatbuffer(model: Model) -> bytes:
    """The model as the bytes of a ``.tflite`` file."""
    tflite, flatbuffers = _module("tflite"), _module("flatbuffers")
    builder = flatbuffers.Builder(1024)
    names = list(model.tensors)
    index = {name: number for number, name in enumerate(names)}

    def vector(start: Callable[..., Any], items: Sequence[int]) -> int:
        start(builder, len(items))
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return int(builder.EndVector())

    tflite.BufferStart(builder)
    buffers = [tflite.BufferEnd(builder)]
    tensors = []
    for name in names:
        number = 0
        if name in model.constants:
            number = len(buffers)
            buffers.append(_buffer(builder, tflite, model.constants[name]))
        tensors.append(_tensor(builder, tflite, model.tensors[name], number))
    builtins = list(dict.fromkeys(step.builtin for step in model.steps))
    operators = [_step(builder, tflite, step, index, builtins) for step in model.steps]
    codes = [_code(builder, tflite, builtin) for builtin in builtins]
    tensor_vector = vector(tflite.SubGraphStartTensorsVector, tensors)
    operator_vector = vector(tflite.SubGraphStartOperatorsVector, operators)
    inputs, outputs = (
        builder.CreateNumpyVector(np.array([index[name] for name in side], np.int32))
        for side in (model.inputs, model.outputs)
    )
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensor_vector)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, operator_vector)
    subgraph_vector = vector(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
    code_vector = vector(tflite.ModelStartOperatorCodesVector, codes)
    buffer_vector = vector(tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, TFLITE_SCHEMA)
    tflite.ModelAddOperatorCodes(builder, code_vector)
    tflite.ModelAddSubgraphs(builder, subgraph_vector)
    tflite.ModelAddBuffers(builder, buffer_vector)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _buffer(builder: Any, tflite: Any, values: np.ndarray) -> int:
    data = builder.CreateNumpyVector(np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8))
    tflite.BufferStart(builder)
    tflite.BufferAddData(builder, data)
    return int(tflite.BufferEnd(builder))


def _tensor(builder: Any, tflite: Any, tensor: Tensor, buffer: int) -> int:
    name = builder.CreateString(tensor.name)
    shape = builder.CreateNumpyVector(np.array(tensor.shape, np.int32))
    parameters = None
    if tensor.quantization is not None:
        quantization = tensor.quantization
        scale = builder.CreateNumpyVector(np.array(quantization.scale, np.float32))
        zeros = np.full(len(quantization.scale), quantization.zero_point, np.int64)
        zero_point = builder.CreateNumpyVector(zeros)
        tflite.QuantizationParametersStart(builder)
        tflite.QuantizationParametersAddScale(builder, scale)
        tflite.QuantizationParametersAddZeroPoint(builder, zero_point)
        tflite.QuantizationParametersAddQuantizedDimension(builder, quantization.axis or 0)
        parameters = tflite.QuantizationParametersEnd(builder)
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, getattr(tflite.TensorType, TYPES[tensor.dtype]))
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, name)
    if parameters is not None:
        tflite.TensorAddQuantization(builder, parameters)
    return int(tflite.TensorEnd(builder))


def _code(builder: Any, tflite: Any, builtin: str) -> int:
    number = getattr(tflite.BuiltinOperator, builtin)
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(number, 127))
    tflite.OperatorCodeAddBuiltinCode(builder, number)
    tflite.OperatorCodeAddVersion(builder, 1)
    return int(tflite.OperatorCodeEnd(builder))


def _step(builder: Any, tflite: Any, step: Step, index: Mapping[str, int], builtins: list[str]) -> int:
    inputs, outputs = (
        builder.CreateNumpyVector(np.array([index[name] if name else -1 for name in side], np.int32))
        for side in (step.inputs, step.outputs)
    )
    options = None
    if step.options:
        getattr(tflite, f"{step.options}Start")(builder)
        for name, value in step.fields.items():
            getattr(tflite, f"{step.options}Add{name}")(builder, value)
        options = getattr(tflite, f"{step.options}End")(builder)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, builtins.index(step.builtin))
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, step.options))
        tflite.OperatorAddBuiltinOptions(builder, options)
    return int(tflite.OperatorEnd(builder))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"the TFLite oracle needs the package {name.partition('.')[0]!r} (install tinydsn[oracle])"
        ) from error
