"""A quantized ``.tflite`` file as an integer graph with the same bits: what the file's interpreter computes.

Tensors keep the file's shapes, the leading batch of one included; convolutions see images through reshapes,
which cost nothing. Resource variables become states. Firmware takes and gives one frame of int16, so inputs
are cut from the frame and outputs laid side by side into it, as the integers that they are in the file:
int8 values are widened, and saturated on their way in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from quant.convert import prove_accumulators
from quant.errors import QuantizationError, TinydsnError, UnsupportedOperator
from quant.graph import Attribute, DType, IntegerGraph, Operator, Quantization, Tensor, check
from quant.ops import definition
from quant.ops.base import QuantizeRequest
from quant.tflite.file import FileOperator, FileTensor, Subgraph, read

ACTIVATIONS = ("INT8", "INT16")
RAW = Quantization((1.0,), 0)
"""Of integers that are taken as they are."""
VARIABLES = ("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
FRAME = "frame"
LARGEST_TENSOR = 2**22
"""Elements, far more than a microcontroller holds."""
EXACT = {"multiplier": 2**30, "shift": 1}
"""A factor of one."""


@dataclass(frozen=True)
class Port:
    """An input or output of the file, and where its elements lie in the frame: from ``begin`` on, in the
    order of the file. ``dtype``: the file's type."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    begin: int


@dataclass(frozen=True)
class Imported:
    """The graph, its inputs and outputs in the frame, and what of each operator became."""

    graph: IntegerGraph
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[FileOperator, ...]


@dataclass
class Incoming:
    """A graph under construction, and the file it comes from."""

    where: str
    file: Subgraph
    tensors: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: list[Operator] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def name(self, index: int, raw: bool = False) -> str:
        """Name in the graph of a tensor that was made before; a constant is taken over on first use.

        ``raw``: a uint8 input or output will do, whose integers are in an int16.
        """
        if not raw or self.file.tensors[index].type != "UINT8":
            activation(self.file.tensors[index])
        if index not in self.names:
            data = self.file.tensors[index].data
            if data is None:
                raise UnsupportedOperator(
                    f"tensor {self.file.tensors[index].name!r} is read before it is written"
                )
            tensor = self.declare(index)
            self.constants[tensor.name] = data
        return self.names[index]

    def tensor(self, index: int) -> Tensor:
        """The graph's tensor of one that was made before."""
        return self.tensors[self.name(index)]

    def wanted(self, index: int) -> Tensor:
        """The tensor that an operator is about to write, which `declare` makes known."""
        found = self.file.tensors[index]
        return Tensor(unique(found.name, self.tensors), found.shape, *activation(found))

    def declare(self, index: int) -> Tensor:
        """Make the tensor known under a name of its own."""
        tensor = self.wanted(index)
        self.tensors[tensor.name] = tensor
        self.names[index] = tensor.name
        return tensor

    def constant(self, index: int, what: str) -> np.ndarray:
        """Values of an operand that must be in the file."""
        data = self.file.tensors[index].data if index >= 0 else None
        if data is None:
            raise UnsupportedOperator(f"its {what} is not a constant")
        return data

    def add(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str],
        output: Tensor,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        """Append an operator with integer attributes; returns the output's name."""
        name = unique(name, {operator.name: operator for operator in self.nodes})
        self.tensors[output.name] = output
        source = (
            f"{self.where}:{name.rpartition('.')[2]}" if name.rpartition(".")[2].isdigit() else self.where
        )
        made = Operator(name, kind, tuple(inputs), (output.name,), attributes or {}, source)
        checked(made, self.tensors)
        self.nodes.append(made)
        return output.name

    def quantized(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str],
        output: Tensor,
        attributes: Mapping[str, Attribute] | None = None,
        changed: Mapping[str, Attribute] | None = None,
    ) -> str:
        """As `add`, with the attributes that the operator's own ``quantize`` finds, some ``changed``."""
        operator = Operator(name, kind, tuple(inputs), (output.name,), attributes or {})
        request = QuantizeRequest(operator, tuple(self.tensors[item] for item in inputs), (output,), {}, 8)
        result = definition(kind).quantize(request)
        for key, (tensor, values) in result.constants.items():
            self.tensors[key], self.constants[key] = tensor, values
        made = result.operator
        return self.add(kind, name, made.inputs, output, {**made.attributes, **(changed or {})})

    def view(self, source: str, shape: Sequence[int], name: str, scale: Quantization | None = None) -> str:
        """``source`` in another shape, with ``scale`` in another meaning; itself where nothing changes."""
        found = self.tensors[source]
        if found.shape == tuple(shape) and scale is None:
            return source
        output = Tensor(unique(name, self.tensors), tuple(shape), found.dtype, scale or found.quantization)
        return self.add("reshape", f"{name}.view", (source,), output, {"shape": tuple(shape)})

    def finish(self, index: int, source: str) -> None:
        """Let ``source``, which has the elements and the scale, be the file's tensor ``index``."""
        shape = self.file.tensors[index].shape
        self.names[index] = self.view(source, shape, self.file.tensors[index].name)


def checked(operator: Operator, tensors: Mapping[str, Tensor]) -> None:
    """Raise UnsupportedOperator where the operator's table of constraints or shapes does not allow it."""
    made = definition(operator.kind)
    shapes = [tensors[name].shape for name in operator.inputs if name]
    for constraint in made.constraints:
        holds, found = constraint(operator, tensors)
        if not holds:
            rule = (constraint.__doc__ or "").strip().splitlines()[0]
            raise UnsupportedOperator(f"{found} ({operator.kind}: {rule[0].lower()}{rule[1:].rstrip('.')})")
    (shape,) = made.infer(shapes, operator.attributes)
    wanted = tensors[operator.outputs[0]].shape
    if shape != wanted:
        raise UnsupportedOperator(f"its output is {wanted} in the file, but would be {shape}")


def unique(name: str, taken: Mapping[str, object]) -> str:
    """``name``, with a number where it is taken."""
    name = name or "unnamed"
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}.{number}"
    return found


def activation(tensor: FileTensor) -> tuple[DType, Quantization]:
    """(dtype, quantization) of a tensor with values; raises UnsupportedOperator for other than int8 or int16
    with one scale, and zero point 0 in int16."""
    if tensor.type not in ACTIVATIONS:
        hint = {
            "FLOAT32": "convert it with full integer quantization, inputs and outputs too",
            "UINT8": "the older quantization; convert it again to int8",
        }.get(tensor.type, "must be int8 or int16")
        raise UnsupportedOperator(f"tensor {tensor.name!r} is {tensor.type.lower()} ({hint})")
    if tensor.sparse:
        raise UnsupportedOperator(f"tensor {tensor.name!r} is sparse (must be dense)")
    bad = [length for length in tensor.shape if length < 1]
    # a batch that was left open is 1 in the file, and in TFLite Micro
    open_axes = [axis for axis in tensor.free if axis != 0 or tensor.shape[:1] != (1,)]
    if bad or open_axes:
        raise UnsupportedOperator(
            f"tensor {tensor.name!r} of shape {tensor.shape} has a length that is not fixed; convert the "
            "model with fixed shapes and a batch of 1"
        )
    if int(np.prod(tensor.shape, dtype=np.float64)) > LARGEST_TENSOR:
        raise UnsupportedOperator(
            f"tensor {tensor.name!r} of shape {tensor.shape} has more than {LARGEST_TENSOR:,} elements"
        )
    if len(tensor.scales) != 1 or len(tensor.zero_points) > 1:
        raise UnsupportedOperator(
            f"tensor {tensor.name!r} has {len(tensor.scales)} scales (an activation must have one; quantize "
            "the model)"
        )
    zero = tensor.zero_points[0] if tensor.zero_points else 0
    low, high = (-128, 127) if tensor.type == "INT8" else (0, 0)
    if not low <= zero <= high or not tensor.scales[0] > 0:
        raise UnsupportedOperator(
            f"tensor {tensor.name!r} has scale {tensor.scales[0]:g} and zero point {zero} (must be above 0, "
            f"and {low} to {high})"
        )
    dtype: DType = "int8" if tensor.type == "INT8" else "int16"
    return dtype, Quantization(tensor.scales, zero)


def needed(graph: Subgraph) -> list[FileOperator]:
    """Operators that outputs and variables depend on, in order. A shape that a RESHAPE is given counts for
    nothing, since the file has the shapes of all tensors."""
    wanted = set(graph.outputs)
    kept = []
    for operator in reversed(graph.operators):
        if operator.builtin in VARIABLES or wanted & set(operator.outputs):
            kept.append(operator)
            wanted |= set(operator.inputs[:1] if operator.builtin == "RESHAPE" else operator.inputs)
    return kept[::-1]


def import_graph(content: bytes, where: str, name: str) -> Imported:
    """The integer graph of a ``.tflite`` file; ``where`` names the file in errors, ``name`` the model.

    Raises ModelFileError for a file that cannot be read, UnsupportedOperator for what has no integer meaning
    here, naming operator and index, QuantizationError where an accumulator could overflow.
    """
    from quant.tflite.incoming_operators import translate
    from quant.tflite.variables import Variables

    graphs = read(content, where)
    graph = graphs[0]
    try:
        made = Incoming(where, graph)
        _check_custom(graph)
        variables = Variables(graphs, made)
        kept = needed(graph)
        if not [operator for operator in kept if operator.builtin not in VARIABLES]:
            raise UnsupportedOperator("the graph has no operators")
        inputs = _inputs(made)
    except TinydsnError as error:
        raise type(error)(f"{where}: {error}") from error
    for operator in kept:
        try:
            if operator.builtin in VARIABLES:
                variables.step(operator)
            else:
                translate(operator, made)
        except (UnsupportedOperator, QuantizationError) as error:
            raise type(error)(f"{where}: {operator.title}: {error}") from error
        except TinydsnError as error:
            raise UnsupportedOperator(f"{where}: {operator.title}: {error}") from error
    try:
        outputs, result = _outputs(made, inputs)
        integer = IntegerGraph(
            name, made.tensors, made.constants, (FRAME,), (result,), variables.states(), tuple(made.nodes)
        )
        check(integer)
        prove_accumulators(integer)
    except TinydsnError as error:
        raise type(error)(f"{where}: {error}") from error
    return Imported(integer, inputs, outputs, tuple(kept))


def _check_custom(graph: Subgraph) -> None:
    """Raise UnsupportedOperator for an operator that is no builtin, before its tensors are looked at."""
    for operator in graph.operators:
        if operator.builtin.startswith("custom "):
            flex = operator.builtin.startswith("custom Flex")
            what = "a flex operator, which only TensorFlow has" if flex else "a custom operator"
            raise UnsupportedOperator(
                f"{operator.title}: {what} (convert with builtin integer operators only)"
            )


def _port(tensor: FileTensor, begin: int) -> Port:
    zero = tensor.zero_points[0] if tensor.zero_points else 0
    return Port(tensor.name, tensor.shape, tensor.type.lower(), tensor.scales[0], zero, begin)


def _ports(made: Incoming, indices: Sequence[int]) -> tuple[list[Port], int]:
    """Ports side by side, and their elements together."""
    ports, size = [], 0
    for index in indices:
        tensor = made.file.tensors[index]
        ports.append(_port(tensor, size))
        size += int(np.prod(tensor.shape, dtype=np.int64))
    return ports, size


def _inputs(made: Incoming) -> tuple[Port, ...]:
    """The frame, and each input as what is cut from it."""
    if not made.file.inputs or not made.file.outputs:
        raise UnsupportedOperator("the graph has no inputs or no outputs (must have both)")
    for index in (*made.file.inputs, *made.file.outputs):
        if made.file.tensors[index].type != "UINT8":
            activation(made.file.tensors[index])
    ports, size = _ports(made, made.file.inputs)
    hop = max(size, _ports(made, made.file.outputs)[1])
    made.tensors[FRAME] = Tensor(FRAME, (hop,), "int16", RAW)
    for port, index in zip(ports, made.file.inputs, strict=True):
        _cut(made, port, index, hop)
    return tuple(ports)


def _cut(made: Incoming, port: Port, index: int, hop: int) -> None:
    name, end = f"{FRAME}.{index}", port.begin + int(np.prod(port.shape, dtype=np.int64))
    part = FRAME
    if (port.begin, end) != (0, hop):
        cut = {"axis": 0, "begin": port.begin, "end": end}
        part = made.add(
            "slice", f"{name}.part", (part,), Tensor(name, (end - port.begin,), "int16", RAW), cut
        )
    if port.dtype == "int8":
        narrow = Tensor(f"{name}.int8", made.tensors[part].shape, "int8", RAW)
        part = made.add("requantize", f"{name}.narrow", (part,), narrow, _same_integers("int8"))
    scale = Quantization((port.scale,), port.zero_point)
    made.names[index] = made.view(part, port.shape, port.name, scale)


def _same_integers(dtype: str) -> dict[str, Attribute]:
    return {"input_offset": 0, "output_offset": 0, **EXACT, "dtype": dtype}


def _outputs(made: Incoming, inputs: Sequence[Port]) -> tuple[tuple[Port, ...], str]:
    """All outputs side by side in a frame that is filled up with zeros."""
    ports, used = _ports(made, made.file.outputs)
    (hop,) = made.tensors[FRAME].shape
    parts = []
    for place, index in enumerate(made.file.outputs):
        name = f"result.{place}"
        size = int(np.prod(made.file.tensors[index].shape, dtype=np.int64))
        part = made.view(made.name(index, raw=True), (size,), name, RAW)
        if made.tensors[part].dtype == "int8":
            wide = Tensor(f"{name}.int16", (size,), "int16", RAW)
            part = made.add("requantize", f"{name}.widen", (part,), wide, _same_integers("int16"))
        parts.append(part)
    result = parts[0]
    if len(parts) > 1:
        result = made.add("concat", "results", parts, Tensor("results", (used,), "int16", RAW), {"axis": 0})
    if used < hop:
        widths: dict[str, Attribute] = {"before": (0,), "after": (hop - used,), "value": 0}
        result = made.add("pad", "rest", (result,), Tensor("rest", (hop,), "int16", RAW), widths)
    if result == FRAME or made.tensors[result].dtype != "int16":
        raise UnsupportedOperator("an output is an input of the file (must be computed)")
    return tuple(ports), result
