"""One measurement: an operator with its inputs, its C on both sides, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from quant.graph import IntegerGraph, Operator, Quantization, Tensor
from quant.ops import definition
from quant.ops.base import QuantizeRequest
from tinydsn.codegen.call import Call, CodeTarget, Request
from tinydsn.codegen.kernels import emitter
from tinydsn.codegen.templates import render
from tinydsn.codegen.text import Array


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
    constants = dict(constants or {})
    names = tuple(operand.name for operand in inputs)
    operator = Operator(kernel, kind, names, (output.name,), dict(attributes or {}), "")  # type: ignore[arg-type]
    request = QuantizeRequest(operator, inputs, (output,), constants, weight_bits)
    made = definition(kind).quantize(request)
    tensors = {t.name: t for i, t in enumerate(inputs) if i not in constants} | {output.name: output}
    tensors |= {name: found for name, (found, _) in made.constants.items()}
    values = {name: array for name, (_, array) in made.constants.items()}
    free = tuple(name for index, name in enumerate(names) if index not in constants)
    graph = IntegerGraph(kernel, tensors, values, free, (output.name,), (), (made.operator,))
    rng = np.random.default_rng(1)
    given = {name: change(random_integers(tensors[name], rng)) for name in free}
    known = {**values, **given}
    arguments = tuple(known[name] if name else None for name in made.operator.inputs)
    (expected,) = definition(kind).reference(made.operator.attributes, arguments)
    macs = definition(kind).macs(made.operator, tensors)

    def sides(target: CodeTarget) -> tuple[Side, Side | None]:
        ours = _side(graph, replace(target, kernels="tinydsn"), "ours")
        theirs = _side(graph, replace(target, kernels="cmsis-nn"), "theirs")
        return ours, theirs if "arm_" in theirs.body else None

    return Case(kernel, shape, macs or output.size, tuple(given[name] for name in free), expected, sides)


def random_integers(operand: Tensor, rng: np.random.Generator) -> np.ndarray:
    """Any values of a tensor's type."""
    limits = np.iinfo(np.dtype(operand.dtype))
    return rng.integers(limits.min, limits.max + 1, operand.shape).astype(operand.dtype)


def _side(graph: IntegerGraph, target: CodeTarget, prefix: str) -> Side:
    """What the generator would write for the graph's only operator."""
    (operator,) = graph.operators()
    request = Request(operator, graph, target, prefix)
    call = emitter(request)(request)
    constants = _constants(request, call)
    output = request.output
    free = list(graph.inputs)
    places = {name: f"x{free.index(name)}" for name in free} | {name: a.name for name, a in constants.items()}
    values = {
        **call.values,
        "x": [places.get(name, "") for name in operator.inputs],
        "y": ["y"],
        "size": output.size,
        "suffix": "s16" if output.dtype == "int16" else "s8",
        "scratch": "memory" if call.scratch else "",
        "scratch_bytes": call.scratch,
    }
    text = render(f"{call.template}.c.j2", values)
    body = "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
    return Side(body, (*call.arrays, *constants.values()), call.kernels, call.scratch)


def _constants(request: Request, call: Call) -> dict[str, Array]:
    """Constant inputs that the text points at."""
    found = {}
    for index, name in enumerate(request.operator.inputs):
        if name in request.graph.constants and index not in call.packed:
            found[name] = Array(f"{request.prefix}_input{index}", request.graph.constants[name], name)
    return found
