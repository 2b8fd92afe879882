"""One measurement: an operator with its inputs, its C on both sides, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from quant.graph import Branch, IntegerGraph, Operator, Quantization, Tensor
from quant.ops import definition
from quant.ops.base import QuantizeRequest
from tinydsn.codegen.call import Call, CodeTarget, Request
from tinydsn.codegen.fusion import fuse
from tinydsn.codegen.kernels import SILENT, emitter
from tinydsn.codegen.templates import render
from tinydsn.codegen.text import C_TYPES, Array

ALIGNMENT = 16
"""Of what lies in the program's scratch, in bytes."""


@dataclass(frozen=True)
class Side:
    """C of one side: statements of a function, constant arrays, files of kernels/, bytes of scratch.

    The statements name the inputs ``x0``, ``x1``, ..., the output ``y`` and the scratch ``memory``.
    """

    body: str
    arrays: tuple[Array, ...] = ()
    kernels: tuple[str, ...] = ()
    scratch: int = 0


@dataclass(frozen=True)
class Case:
    """A row of the bench.

    inputs: what the emulated program gets, in the order of x0, x1, ... expected: the NumPy meaning.
    sides: for a core, C of ours and of CMSIS-NN's (None where it cannot compute the same).
    """

    kernel: str
    shape: str
    macs: int
    inputs: tuple[np.ndarray, ...]
    expected: np.ndarray
    sides: Callable[[CodeTarget], tuple[Side, Side | None]]


def tensor(name: str, shape: tuple[int, ...], dtype: str, scale: float, zero: int = 0) -> Tensor:
    """A tensor with one scale."""
    return Tensor(name, shape, dtype, Quantization((scale,), zero))  # type: ignore[arg-type]


def operator_case(
    kernel: str,
    shape: str,
    kind: str,
    inputs: tuple[Tensor, ...],
    output: Tensor,
    attributes: Mapping[str, object] | None = None,
    constants: Mapping[int, np.ndarray] | None = None,
    weight_bits: int = 8,
    change: Callable[[np.ndarray], np.ndarray] = lambda values: values,
) -> Case:
    """A case of one operator of the table; float ``constants`` are its operands by index, the other inputs
    are random integers over their whole range, which ``change`` may replace."""
    graph = joined(kernel, quantized(kernel, kind, inputs, output, attributes, constants, weight_bits))
    (operator,) = graph.operators()
    macs = definition(kind).macs(operator, graph.tensors)
    return graph_case(kernel, shape, graph, macs or output.size, change)


def quantized(
    name: str,
    kind: str,
    inputs: tuple[Tensor, ...],
    output: Tensor,
    attributes: Mapping[str, object] | None = None,
    constants: Mapping[int, np.ndarray] | None = None,
    weight_bits: int = 8,
) -> IntegerGraph:
    """A graph of one operator, made integer by its own ``quantize``; float ``constants`` by index."""
    constants = dict(constants or {})
    names = tuple(operand.name for operand in inputs)
    operator = Operator(name, kind, names, (output.name,), dict(attributes or {}), "")  # type: ignore[arg-type]
    request = QuantizeRequest(operator, inputs, (output,), constants, weight_bits)
    made = definition(kind).quantize(request)
    tensors = {t.name: t for i, t in enumerate(inputs) if i not in constants} | {output.name: output}
    tensors |= {key: found for key, (found, _) in made.constants.items()}
    values = {key: array for key, (_, array) in made.constants.items()}
    free = tuple(key for index, key in enumerate(names) if index not in constants)
    return IntegerGraph(name, tensors, values, free, (output.name,), (), (made.operator,))


def joined(name: str, *graphs: IntegerGraph) -> IntegerGraph:
    """Graphs one after the other; the last one's outputs are the outputs."""
    tensors: dict[str, Tensor] = {}
    constants: dict[str, np.ndarray] = {}
    nodes: list[Operator | Branch] = []
    written: set[str] = set()
    for graph in graphs:
        tensors |= graph.tensors
        constants |= graph.constants
        nodes += graph.nodes
        written |= {output for operator in graph.operators() for output in operator.outputs}
    free = dict.fromkeys(key for graph in graphs for key in graph.inputs if key not in written)
    return IntegerGraph(name, tensors, constants, tuple(free), graphs[-1].outputs, (), tuple(nodes))


def graph_case(
    kernel: str,
    shape: str,
    graph: IntegerGraph,
    macs: int,
    change: Callable[[np.ndarray], np.ndarray] = lambda values: values,
) -> Case:
    """A case of operators that run one after the other, joined as the generator joins them."""
    rng = np.random.default_rng(1)
    given = {name: change(random_integers(graph.tensors[name], rng)) for name in graph.inputs}
    known = {**graph.constants, **given}
    for operator in graph.operators():
        arguments = tuple(known[name] if name else None for name in operator.inputs)
        (known[operator.outputs[0]],) = definition(operator.kind).reference(operator.attributes, arguments)

    def sides(target: CodeTarget) -> tuple[Side, Side | None]:
        ours = _side(graph, replace(target, kernels="tinydsn"), "ours")
        theirs = _side(graph, replace(target, kernels="cmsis-nn"), "theirs")
        return ours, theirs if "arm_" in theirs.body else None

    return Case(kernel, shape, macs, tuple(given.values()), known[graph.outputs[0]], sides)


def random_integers(operand: Tensor, rng: np.random.Generator) -> np.ndarray:
    """Any values of a tensor's type."""
    limits = np.iinfo(np.dtype(operand.dtype))
    return rng.integers(limits.min, limits.max + 1, operand.shape).astype(operand.dtype)


def _side(graph: IntegerGraph, target: CodeTarget, prefix: str) -> Side:
    """What the generator would write for the graph's operators; tensors between them follow the scratch."""
    fused = fuse(graph, target)
    operators = [operator for operator in fused.operators() if operator.kind not in SILENT]
    requests = [Request(operator, fused, target, f"{prefix}{i}") for i, operator in enumerate(operators)]
    calls = [emitter(request)(request) for request in requests]
    constants = {
        name: array for pair in zip(requests, calls, strict=True) for name, array in _constants(*pair).items()
    }
    places = {name: f"x{index}" for index, name in enumerate(graph.inputs)}
    places |= {name: array.name for name, array in constants.items()} | {graph.outputs[0]: "y"}
    end = _up(max(call.scratch for call in calls))
    for operator in operators:
        for name in operator.outputs:
            if name not in places:
                places[name] = f"({C_TYPES[fused.tensors[name].dtype]} *)(void *)(scratch_bytes + {end})"
                end += _up(fused.tensors[name].nbytes)
    bodies = [_body(request, call, places) for request, call in zip(requests, calls, strict=True)]
    text = bodies[0] if len(bodies) == 1 else "\n".join(f"    {{\n{body}\n    }}" for body in bodies)
    arrays = (*(array for call in calls for array in call.arrays), *constants.values())
    kernels = tuple(dict.fromkeys(kernel for call in calls for kernel in call.kernels))
    return Side(text, tuple({array.name: array for array in arrays}.values()), kernels, end)


def _up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _body(request: Request, call: Call, places: Mapping[str, str]) -> str:
    output = request.output
    values = {
        **call.values,
        "x": [places.get(name, "") for name in request.operator.inputs],
        "y": [places[name] for name in request.operator.outputs],
        "size": output.size,
        "suffix": "s16" if output.dtype == "int16" else "s8",
        "scratch": "memory" if call.scratch else "",
        "scratch_bytes": call.scratch,
    }
    text = render(f"{call.template}.c.j2", values)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _constants(request: Request, call: Call) -> dict[str, Array]:
    """Constant inputs that the text points at."""
    found = {}
    for index, name in enumerate(request.operator.inputs):
        if name in request.graph.constants and index not in call.packed:
            found[name] = Array(f"{request.prefix}_input{index}", request.graph.constants[name], name)
    return found
