"""A ``.tflite`` file of any origin as plain data: tensors, operators with their options, subgraphs.

Only the layout of the file is read here; what its operators mean is in `quant.tflite.incoming`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from quant.errors import ModelFileError, UnsupportedOperator
from quant.tflite.model import module

IDENTIFIER = b"TFL3"
NUMPY_TYPES: Mapping[str, str] = MappingProxyType(
    {
        **{"INT8": "int8", "UINT8": "uint8", "INT16": "int16", "INT32": "int32", "INT64": "int64"},
        **{"FLOAT32": "float32", "FLOAT16": "float16", "BOOL": "bool"},
    }
)
OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ADD": ("AddOptions", ("FusedActivationFunction",)),
        "AVERAGE_POOL_2D": (
            "Pool2DOptions",
            ("Padding", "StrideW", "StrideH", "FilterWidth", "FilterHeight", "FusedActivationFunction"),
        ),
        "CALL_ONCE": ("CallOnceOptions", ("InitSubgraphIndex",)),
        "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
        "CONV_2D": (
            "Conv2DOptions",
            (
                *("Padding", "StrideW", "StrideH", "DilationWFactor", "DilationHFactor"),
                "FusedActivationFunction",
            ),
        ),
        "DEPTHWISE_CONV_2D": (
            "DepthwiseConv2DOptions",
            (
                *("Padding", "StrideW", "StrideH", "DilationWFactor", "DilationHFactor"),
                *("DepthMultiplier", "FusedActivationFunction"),
            ),
        ),
        "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat")),
        "MUL": ("MulOptions", ("FusedActivationFunction",)),
        "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
        "SPLIT": ("SplitOptions", ("NumSplits",)),
        "STRIDED_SLICE": (
            "StridedSliceOptions",
            ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask"),
        ),
        "SUB": ("SubOptions", ("FusedActivationFunction",)),
        "VAR_HANDLE": ("VarHandleOptions", ("Container", "SharedName")),
    }
)
"""Options that are read, by operator: the table, and its fields."""
LARGEST_RANK = 8
"""Axes that TFLite's own kernels can have."""
DAMAGE = (struct.error, LookupError, ValueError, TypeError, ArithmeticError, AttributeError, AssertionError)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class FileTensor:
    """A tensor of the file. ``type`` is TFLite's name ("INT8"); ``data`` is None for what is computed.

    ``free``: axes whose length the file leaves open.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    data: np.ndarray | None
    free: tuple[int, ...] = ()
    sparse: bool = False


@dataclass(frozen=True)
class FileOperator:
    """One operator: its builtin's name, or "custom NAME"; -1 stands for an absent input."""

    index: int
    builtin: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]

    @property
    def title(self) -> str:
        """As errors name it."""
        return f"operator {self.index} ({self.builtin})"


@dataclass(frozen=True)
class Subgraph:
    """Tensors by index, operators in order of execution, inputs and outputs."""

    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(content: bytes, where: str) -> tuple[Subgraph, ...]:
    """All subgraphs of a file; ``where`` names it in errors. Raises ModelFileError for what is no ``.tflite``
    file or damaged, UnsupportedOperator for a tensor type that NumPy does not have."""
    if content[4:8] != IDENTIFIER:
        raise ModelFileError(f"{where}: not a .tflite file (bytes 4 to 7 must be TFL3)")
    tflite = module("tflite")
    try:
        model = tflite.Model.GetRootAsModel(content, 0)
        graphs = tuple(
            _subgraph(tflite, model, model.Subgraphs(number), where)
            for number in range(model.SubgraphsLength())
        )
    except DAMAGE as error:
        raise ModelFileError(f"{where}: damaged .tflite file ({type(error).__name__}: {error})") from error
    if not graphs:
        raise ModelFileError(f"{where}: holds no graph")
    return graphs


def _subgraph(tflite: Any, model: Any, graph: Any, where: str) -> Subgraph:
    types = {code: name for name, code in vars(tflite.TensorType).items() if isinstance(code, int)}
    builtins = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
    tensors = tuple(
        _tensor(model, graph.Tensors(index), index, types, where) for index in range(graph.TensorsLength())
    )
    operators = tuple(
        _operator(tflite, model, graph.Operators(index), index, builtins)
        for index in range(graph.OperatorsLength())
    )
    inputs = tuple(graph.Inputs(index) for index in range(graph.InputsLength()))
    outputs = tuple(graph.Outputs(index) for index in range(graph.OutputsLength()))
    used = [*inputs, *outputs, *(index for op in operators for index in (*op.inputs, *op.outputs))]
    if any(not -1 <= index < len(tensors) for index in used):
        raise ValueError(f"a tensor number beyond the file's {len(tensors)}")
    return Subgraph(tensors, operators, inputs, outputs)


def _tensor(model: Any, tensor: Any, index: int, types: Mapping[int, str], where: str) -> FileTensor:
    rank = tensor.ShapeLength()
    if rank > LARGEST_RANK:
        raise ValueError(f"tensor {index} has {rank} axes")
    shape = tuple(tensor.Shape(axis) for axis in range(rank))
    signature = tuple(tensor.ShapeSignature(axis) for axis in range(tensor.ShapeSignatureLength())) or shape
    name = (tensor.Name() or b"").decode("utf-8", "replace") or f"tensor {index}"
    kind = types[tensor.Type()]
    quantization = tensor.Quantization()
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    axis = 0
    if quantization is not None:
        scales = tuple(float(quantization.Scale(item)) for item in range(quantization.ScaleLength()))
        zeros = tuple(quantization.ZeroPoint(item) for item in range(quantization.ZeroPointLength()))
        axis = quantization.QuantizedDimension()
    return FileTensor(
        index,
        name,
        shape,
        kind,
        scales,
        zeros,
        axis,
        _data(model.Buffers(tensor.Buffer()), shape, kind, name, where),
        tuple(place for place, length in enumerate(signature) if length < 0),
        tensor.Sparsity() is not None,
    )


def _data(buffer: Any, shape: tuple[int, ...], kind: str, name: str, where: str) -> np.ndarray | None:
    if buffer is None or buffer.DataLength() == 0:
        return None
    if kind not in NUMPY_TYPES:
        raise UnsupportedOperator(
            f"{where}: constant {name!r} is {kind} (must be one of {', '.join(NUMPY_TYPES)})"
        )
    raw = buffer.DataAsNumpy().tobytes()
    dtype = np.dtype(NUMPY_TYPES[kind]).newbyteorder("<")
    if len(raw) != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
        raise ValueError(f"constant {name!r} of shape {shape} has {len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape).astype(NUMPY_TYPES[kind])


def _operator(
    tflite: Any, model: Any, operator: Any, index: int, builtins: Mapping[int, str]
) -> FileOperator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    builtin = builtins.get(number, f"builtin {number}")
    if builtin == "CUSTOM":
        builtin = f"custom {(code.CustomCode() or b'').decode('utf-8', 'replace')}"
    return FileOperator(
        index,
        builtin,
        tuple(operator.Inputs(item) for item in range(operator.InputsLength())),
        tuple(operator.Outputs(item) for item in range(operator.OutputsLength())),
        MappingProxyType(_options(tflite, operator, builtin)),
    )


def _options(tflite: Any, operator: Any, builtin: str) -> dict[str, Any]:
    """Fields of the options; the schema's defaults where the file has none."""
    if builtin not in OPTIONS:
        return {}
    name, fields = OPTIONS[builtin]
    table = operator.BuiltinOptions()
    if table is None:
        return {}
    if operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, name):
        raise ValueError(f"operator {operator.OpcodeIndex()} ({builtin}) has options of another operator")
    options = getattr(tflite, name)()
    options.Init(table.Bytes, table.Pos)
    return {field: getattr(options, field)() for field in fields}
