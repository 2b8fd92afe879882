"""A network as data for the host's executor (``firmware_templates/host``).

A record is ``[kernel, words, argument, ...]``, all 64-bit words, in the order of a frame. A place is an area
(1 constants, 2 states, 3 arena) and an offset in bytes. What each operator needs (kernel, layout of its
constants, memory) is decided where the firmware's generator decides it (`tinydsn.codegen`), for plain cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quant import bits
from quant.graph import ITEM_BYTES, Branch, Graph, IntegerGraph, Node, Operator
from quant.ops.common import integer
from quant.reference import hop_of, initial_state, real_zero
from tinydsn.codegen.call import Call, CodeTarget, Request
from tinydsn.codegen.design import Design, check_interface, design
from tinydsn.codegen.linear import Window, bias_of, factors, weight_rows, window_of
from tinydsn.codegen.planner import state_copies
from tinydsn.estimate.numbers import LEAKY_RELU, MATMUL, NUMBERS, PRODUCT, SCALE, SUM_S8

OFFSET_BITS = 48
CONSTANTS, STATES, ARENA = 1, 2, 3
ALIGNMENT = 16
TARGET = CodeTarget(kernels="tinydsn", cells=False)
"""Plain cores, our kernels."""


@dataclass(frozen=True)
class Program:
    """``words``: int64. ``constants``, ``initial`` (states before the first frame): uint8. ``input`` and
    ``output`` are places; ``arena``: bytes."""

    words: np.ndarray
    constants: np.ndarray
    initial: np.ndarray
    arena: int
    input: int
    output: int
    input_size: int
    hop: int


def translate(graph: IntegerGraph) -> Program:
    """The program of an integer graph. Raises GraphError for a graph that the generator refuses."""
    check_interface(graph)
    made = design(eight_bits(graph), TARGET)
    writer = _Writer(made)
    words = writer.frame()
    source, result = made.graph.inputs[0], made.graph.outputs[0]
    return Program(
        words=np.array(words, np.int64),
        constants=writer.constants(),
        initial=_initial(made),
        arena=made.arena_array,
        input=writer.place(source),
        output=writer.place(result),
        input_size=made.graph.tensors[source].size,
        hop=hop_of(made.graph),
    )


def eight_bits(graph: IntegerGraph) -> IntegerGraph:
    """The graph with every weight stored in a byte, which changes no value."""

    def plain(operator: Operator) -> Operator:
        if "weight_bits" not in operator.attributes:
            return operator
        return replace(operator, attributes={**operator.attributes, "weight_bits": 8})

    def node_of(node: Node) -> Node:
        return replace(node, body=tuple(map(plain, node.body))) if isinstance(node, Branch) else plain(node)

    return replace(graph, nodes=tuple(map(node_of, graph.nodes)))


def _initial(made: Design) -> np.ndarray:
    memory = np.zeros(made.state_array, np.uint8)
    for state in made.graph.states:
        offset = made.plan.places[state.tensor].offset
        value = np.ascontiguousarray(initial_state(made.graph, state.tensor)).reshape(-1).view(np.uint8)
        memory[offset : offset + len(value)] = value
    return memory


class _Writer:
    """Writes the records of one design, and gathers the constants that they point at."""

    def __init__(self, made: Design) -> None:
        self.made = made
        self.graph: Graph = made.graph
        self.words: list[int] = []
        self._blob: list[np.ndarray] = []
        self._top = 0
        self._offsets: dict[str, int] = {}

    def constants(self) -> np.ndarray:
        """All constants, each at a multiple of 16 bytes; at least one byte."""
        return np.concatenate([*self._blob, np.zeros(ALIGNMENT, np.uint8)])

    def constant(self, name: str, values: np.ndarray) -> int:
        """Place of an array, added where it is new."""
        if name not in self._offsets:
            data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
            filled = np.zeros(-(-len(data) // ALIGNMENT) * ALIGNMENT, np.uint8)
            filled[: len(data)] = data
            self._blob.append(filled)
            self._offsets[name] = self._top
            self._top += len(filled)
        return CONSTANTS << OFFSET_BITS | self._offsets[name]

    def place(self, name: str) -> int:
        """Place of a tensor; 0 for one without memory."""
        where = self.made.plan.places.get(name) if name else None
        if where is None:
            return 0
        if where.area == "constant":
            return self.constant(f"tensor {where.owner}", self.graph.constants[where.owner]) + where.offset
        return (ARENA if where.area == "arena" else STATES) << OFFSET_BITS | where.offset

    def scratch(self, operator: Operator) -> int:
        """Place of an operator's scratch; 0 for none."""
        offset = self.made.plan.extras.get(f"scratch {operator.name}")
        return 0 if offset is None else ARENA << OFFSET_BITS | offset

    def record(self, kernel: str, *arguments: int) -> None:
        """One record."""
        self.words += [NUMBERS[kernel], 2 + len(arguments), *(int(value) for value in arguments)]

    def frame(self) -> list[int]:
        """The records of a frame."""
        for node in self.graph.nodes:
            if isinstance(node, Branch):
                self._branch(node)
            else:
                self.operator(node)
        for state, new in state_copies(self.graph, self.made.plan):
            self._copy(state, new)
        return self.words

    def operator(self, operator: Operator) -> None:
        """The records of an operator; none for a view."""
        if operator.kind == "gate":
            wide = self.graph.tensors[operator.inputs[0]].dtype == "int16"
            index, threshold = (integer(operator.attributes, name) for name in ("index", "threshold"))
            logits = self.place(operator.inputs[0])
            self.record("gate", self.place(operator.outputs[0]), logits, int(wide), index, threshold)
        elif operator.name in self.made.calls:
            call = self.made.calls[operator.name]
            WRITERS[call.template](self, operator, call)

    def _branch(self, branch: Branch) -> None:
        to_else = []
        for item in branch.conditions:
            self.record("branch", item.gate, self.place(item.predicate), int(item.opened), 0)
            to_else.append(len(self.words) - 1)
        for operator in branch.body:
            self.operator(operator)
        for output in branch.outputs:
            self._copy(output.tensor, output.taken)
        self.record("jump", 0)
        to_end = len(self.words) - 1
        for word in to_else:
            self.words[word] = len(self.words)
        for output in branch.outputs:
            if output.skip == "zero":
                zero = int(real_zero(self.graph, output.tensor).flat[0])
                self.fill(output.tensor, zero)
            else:
                self._copy(output.tensor, output.held)
        self.words[to_end] = len(self.words)

    def fill(self, name: str, value: int) -> None:
        """A tensor of one value."""
        tensor = self.graph.tensors[name]
        if tensor.dtype == bits.DTYPE:
            self.record("fill_s8", self.place(name), tensor.nbytes, value)
            return
        self.record(f"fill_{suffix(tensor.dtype)}", self.place(name), tensor.size, value)

    def _copy(self, target: str, source: str) -> None:
        if not self.made.plan.same_place(target, source):
            self.record("move", self.place(target), self.place(source), self.graph.tensors[target].nbytes)

    def request(self, operator: Operator) -> Request:
        """What the generator's functions take."""
        assert isinstance(self.graph, IntegerGraph)
        return Request(operator, self.graph, self.made.target, "")


def suffix(dtype: str) -> str:
    """s8, s16, or s32 for words of bits."""
    return f"s{8 * ITEM_BYTES[dtype]}"


def _window_words(window: Window) -> tuple[int, ...]:
    pairs = (window.kernel, window.stride, window.dilation, window.before, window.out)
    return (*window.size, window.channels, *(value for pair in pairs for value in pair))


def _dtype(writer: _Writer, operator: Operator) -> str:
    return suffix(writer.graph.tensors[operator.outputs[0]].dtype)


def _arrays(writer: _Writer, operator: Operator, call: Call) -> dict[str, int]:
    """Places of a call's own arrays, by the last part of their names."""
    return {
        array.name.rsplit("_", 1)[-1]: writer.constant(f"array {array.name}", array.values)
        for array in call.arrays
    }


def _linear(writer: _Writer, operator: Operator, call: Call) -> None:
    values, kind = call.values, operator.kind
    x, y = writer.place(operator.inputs[0]), writer.place(operator.outputs[0])
    if values["variant"] in ("cmsis", "cmsis_convolve"):
        _wide_s8(writer, operator, x, y)
        return
    places = _arrays(writer, operator, call)
    if "cut" in values:
        rows = weight_rows(writer.request(operator)).astype(np.int8)
        places["weight"] = writer.constant(f"cut {operator.name}", rows)
    sizes = [values[name] for name in ("columns", "channels", "low", "high")]
    if values["variant"] == "wide":
        places_in_order = [places[name] for name in ("weight", "bias", "multiplier", "shift")]
        writer.record("wide_s16", *sizes, *places_in_order, *_window_words(values["window"]), x, y)  # type: ignore[arg-type]
        return
    kernel = f"{kind}_{_dtype(writer, operator)}"
    matrix = [*sizes, values["rounded"] or 0, values["offset"] or 0, places["weight"], places["scales"]]
    if kind == "fully_connected":
        writer.record(kernel, *matrix, values["rows"], values["stride"], x, y)  # type: ignore[arg-type]
        return
    offset = values.get("padding" if kind == "conv2d" else "input_offset", 0)
    scratch = writer.scratch(operator)
    writer.record(kernel, *matrix, *_window_words(values["window"]), offset, x, scratch, y)  # type: ignore[arg-type]


def _wide_s8(writer: _Writer, operator: Operator, x: int, y: int) -> None:
    """Where the firmware runs CMSIS-NN."""
    request = writer.request(operator)
    rows, (multiplier, shift) = weight_rows(request), factors(request)
    values = {"weight": (rows, np.int8), "bias": (bias_of(request), np.int32)}
    values |= {"multiplier": (multiplier, np.int32), "shift": (shift, np.int32)}
    places = [
        writer.constant(f"wide {operator.name} {name}", array.astype(dtype))
        for name, (array, dtype) in values.items()
    ]
    names = ("activation_min", "activation_max", "input_offset", "output_offset")
    numbers = [request.integer(name) for name in names]
    depthwise = int(operator.kind == "depthwise_conv2d")
    window = _window_words(window_of(request))
    writer.record("wide_s8", rows.shape[1], rows.shape[0], *numbers, depthwise, *places, *window, x, y)


def _elementwise(
    arguments: Callable[[Mapping[str, Any], str], tuple[int, ...]],
) -> Callable[[_Writer, Operator, Call], None]:
    """A writer of ``size, a, b, y`` and of what ``arguments`` takes from a call's values."""

    def write(writer: _Writer, operator: Operator, call: Call) -> None:
        dtype = _dtype(writer, operator)
        kernel = call.values.get("verb") or call.values.get("function") or call.template
        kernel = kernel if call.template == "activation" else f"{kernel}_{dtype}"
        second = operator.inputs[1] if call.template in ("add", "mul", "table") else ""
        size = writer.graph.tensors[operator.outputs[0]].size
        places = [writer.place(name) for name in (operator.inputs[0], second, operator.outputs[0])]
        writer.record(str(kernel), size, *places, *arguments(call.values, dtype))

    return write


def _fields(values: Any, names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(int(values.get(name, 0)) for name in names)


def _sum_arguments(values: Mapping[str, Any], dtype: str) -> tuple[int, ...]:
    if dtype == "s16":
        return _fields(values, ("b_size", "low", "high"))
    return (int(values["b_size"]), *_fields(values["fields"], SUM_S8))


def _requantize(writer: _Writer, operator: Operator, call: Call) -> None:
    size = writer.graph.tensors[operator.outputs[0]].size
    kernel = f"requantize_{call.values['source']}_{_dtype(writer, operator)}"
    places = (writer.place(operator.inputs[0]), writer.place(operator.outputs[0]))
    writer.record(kernel, size, *places, *_fields(call.values["fields"], SCALE))


def _moved(writer: _Writer, operator: Operator, call: Call) -> None:
    """copy: strided blocks, after a fill."""
    item = writer.graph.tensors[operator.outputs[0]].nbytes // writer.graph.tensors[operator.outputs[0]].size
    if call.values["fill"] is not None:
        writer.fill(operator.outputs[0], call.values["fill"])  # type: ignore[arg-type]
    for index, block in call.values["blocks"]:  # type: ignore[attr-defined]
        target = writer.place(operator.outputs[0]) + block.target_start * item
        source = writer.place(operator.inputs[index]) + block.source_start * item
        kernel = f"copy_{_dtype(writer, operator)}"
        writer.record(kernel, target, source, *block.size, *block.source, *block.target)


def _joined(writer: _Writer, operator: Operator, call: Call) -> None:
    """concat: runs of bytes; those that were computed in place move onto themselves and are left out."""
    output = writer.graph.tensors[operator.outputs[0]]
    for index, start, count in call.values["runs"]:  # type: ignore[attr-defined]
        target = writer.place(output.name) + start * (output.nbytes // output.size)
        source = writer.place(operator.inputs[index])
        if source != target:
            writer.record("move", target, source, count)


def _gru_update(writer: _Writer, operator: Operator, call: Call) -> None:
    x, gh, state = (writer.place(name) for name in operator.inputs[:3])
    rows, hidden, multiplier = _fields(call.values, ("rows", "hidden", "multiplier"))
    writer.record("gru_update", x, writer.place(operator.outputs[0]), rows, hidden, multiplier, gh, state)


def _layer_norm(writer: _Writer, operator: Operator, call: Call) -> None:
    ends = (writer.place(operator.inputs[0]), writer.place(operator.outputs[0]))
    numbers = _fields(call.values, ("rows", "columns", "shift", "narrow", "epsilon"))
    writer.record("layer_norm", *ends, *numbers, _arrays(writer, operator, call)["scales"])


def _softmax(writer: _Writer, operator: Operator, call: Call) -> None:
    ends = (writer.place(operator.inputs[0]), writer.place(operator.outputs[0]))
    numbers = _fields(call.values, ("rows", "columns", "multiplier", "shift"))
    places = _arrays(writer, operator, call)
    writer.record("softmax", *ends, *numbers, places["exp"], places["reciprocal"])


def _binary_conv2d(writer: _Writer, operator: Operator, call: Call) -> None:
    places, scratch = _arrays(writer, operator, call), writer.scratch(operator)
    arrays = [places.get(name, 0) for name in ("weight", "starts", "lanes")]
    ends = (writer.place(operator.inputs[0]), scratch, writer.place(operator.outputs[0]))
    sizes = (*_fields(call.values, ("channels", "input_offset")), *arrays)
    window = _window_words(call.values["window"])  # type: ignore[arg-type]
    writer.record(f"binary_conv2d_{call.values['variant']}", *sizes, *window, *ends)


def _between_numbers_and_bits(writer: _Writer, operator: Operator, call: Call) -> None:
    ends = (operator.inputs[0], operator.outputs[0])
    numbers = ends[0] if call.template == "step" else ends[1]
    kernel = f"{call.template}_{suffix(writer.graph.tensors[numbers].dtype)}"
    values = _fields(call.values, ("rows", "channels", "zero", "one"))
    writer.record(kernel, *map(writer.place, ends), *values)


def _batch_matmul(writer: _Writer, operator: Operator, call: Call) -> None:
    places = [writer.place(name) for name in operator.inputs[:2]]
    places += [writer.scratch(operator), writer.place(operator.outputs[0])]
    kernel = f"batch_matmul_{_dtype(writer, operator)}"
    writer.record(kernel, *places, *_fields(call.values["fields"], MATMUL))


WRITERS: Mapping[str, Callable[[_Writer, Operator, Call], None]] = {
    **dict.fromkeys(("fully_connected", "conv2d", "depthwise_conv2d"), _linear),
    "add": _elementwise(_sum_arguments),
    "mul": _elementwise(lambda v, _: (int(v["b_size"]), *_fields(v["fields"], PRODUCT))),
    "relu": _elementwise(lambda v, _: _fields(v, ("low", "high"))),
    "leaky_relu": _elementwise(lambda v, _: _fields(v["fields"], LEAKY_RELU)),
    "table": _elementwise(lambda v, _: ()),
    "activation": _elementwise(lambda v, _: _fields(v, ("multiplier", "right_shift"))),
    "requantize": _requantize,
    "copy": _moved,
    "concat": _joined,
    "gru_update": _gru_update,
    "layer_norm": _layer_norm,
    "softmax": _softmax,
    "batch_matmul": _batch_matmul,
    "binary_conv2d": _binary_conv2d,
    "step": _between_numbers_and_bits,
    "unpack": _between_numbers_and_bits,
}
"""What writes the records of a call, by its template."""
