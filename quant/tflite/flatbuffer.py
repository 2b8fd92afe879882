"""A model as the bytes of a ``.tflite`` file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from quant.graph import Tensor
from quant.tflite.model import Model, Step, module

SCHEMA = 3
TYPES: Mapping[str, str] = {
    **{"int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "float32": "FLOAT32"}
}
SIGNATURE = "serving_default"
ALIGNMENT = 16
"""Of constants, in bytes: kernels read them where they lie in the file."""


def to_flatbuffer(model: Model, named: bool = True) -> bytes:
    """The model as the bytes of a ``.tflite`` file; without ``named`` only inputs and outputs have names.

    Equal constants are stored once.
    """
    tflite, flatbuffers = module("tflite"), module("flatbuffers")
    builder = flatbuffers.Builder(1024)
    names = list(model.tensors)
    index = {name: number for number, name in enumerate(names)}
    tflite.BufferStart(builder)
    buffers = [tflite.BufferEnd(builder)]
    stored: dict[bytes, int] = {}
    tensors = []
    for name in names:
        number = 0
        if name in model.constants:
            data = np.ascontiguousarray(model.constants[name]).tobytes()
            if data not in stored:
                stored[data] = len(buffers)
                buffers.append(_buffer(builder, tflite, data))
            number = stored[data]
        shown = named or name in model.inputs or name in model.outputs
        tensors.append(_tensor(builder, tflite, model.tensors[name], number, shown))
    builtins = list(dict.fromkeys(step.builtin for step in model.steps))
    operators = [_step(builder, tflite, step, index, builtins) for step in model.steps]
    codes = [_code(builder, tflite, builtin) for builtin in builtins]
    tensor_vector = _vector(builder, tflite.SubGraphStartTensorsVector, tensors)
    operator_vector = _vector(builder, tflite.SubGraphStartOperatorsVector, operators)
    inputs, outputs = (
        builder.CreateNumpyVector(np.array([index[name] for name in side], np.int32))
        for side in (model.inputs, model.outputs)
    )
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensor_vector)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, operator_vector)
    subgraphs = _vector(builder, tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
    signatures = _signatures(builder, tflite, model, index)
    code_vector = _vector(builder, tflite.ModelStartOperatorCodesVector, codes)
    buffer_vector = _vector(builder, tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, SCHEMA)
    tflite.ModelAddOperatorCodes(builder, code_vector)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    tflite.ModelAddBuffers(builder, buffer_vector)
    tflite.ModelAddSignatureDefs(builder, signatures)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _vector(builder: Any, start: Callable[..., Any], items: Sequence[int]) -> int:
    start(builder, len(items))
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())


def _buffer(builder: Any, tflite: Any, data: bytes) -> int:
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head = builder.Head() - len(data)
    builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
    vector = builder.EndVector()
    tflite.BufferStart(builder)
    tflite.BufferAddData(builder, vector)
    return int(tflite.BufferEnd(builder))


def _tensor(builder: Any, tflite: Any, tensor: Tensor, buffer: int, named: bool) -> int:
    name = builder.CreateString(tensor.name) if named else None
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
    if name is not None:
        tflite.TensorAddName(builder, name)
    if parameters is not None:
        tflite.TensorAddQuantization(builder, parameters)
    return int(tflite.TensorEnd(builder))


def _signatures(builder: Any, tflite: Any, model: Model, index: Mapping[str, int]) -> int:
    """One signature, so that TFLite's interpreter finds inputs and outputs by name."""

    def side(names: Sequence[str], start: Callable[..., Any]) -> int:
        maps = []
        for name in names:
            text = builder.CreateString(name)
            tflite.TensorMapStart(builder)
            tflite.TensorMapAddName(builder, text)
            tflite.TensorMapAddTensorIndex(builder, index[name])
            maps.append(tflite.TensorMapEnd(builder))
        return _vector(builder, start, maps)

    inputs = side(model.inputs, tflite.SignatureDefStartInputsVector)
    outputs = side(model.outputs, tflite.SignatureDefStartOutputsVector)
    key = builder.CreateString(SIGNATURE)
    tflite.SignatureDefStart(builder)
    tflite.SignatureDefAddInputs(builder, inputs)
    tflite.SignatureDefAddOutputs(builder, outputs)
    tflite.SignatureDefAddSignatureKey(builder, key)
    made = tflite.SignatureDefEnd(builder)
    return _vector(builder, tflite.ModelStartSignatureDefsVector, [made])


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
