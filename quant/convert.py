"""Float graph + calibrated ranges + bit widths -> integer graph, with every accumulator proven to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from quant import bits, ops
from quant import graph as graphs
from quant.calibrate import Progress, Range, calibrate
from quant.errors import QuantizationError
from quant.graph import Branch, DType, Graph, IntegerGraph, Node, Operator, Quantization, Tensor
from quant.ops.base import QuantizeRequest
from quant.ops.linear import LEADING_OF, owner_of
from quant.precision import Precision, check_names, load_precision
from quant.scales import Assignment, assign


def quantize(
    graph: Graph,
    clips: Sequence[np.ndarray],
    precision: Precision | str = "w8a16",
    progress: Progress | None = None,
) -> IntegerGraph:
    """Quantize a float graph on int16 mono clips at the model's rate.

    ``precision`` is a table, a preset ("w2a8" to "w8a16") or the path of a file (`quant.precision`). Raises
    QuantizationError when there is no audio or an accumulator could overflow, ConfigError for a wrong
    precision.
    """
    table = load_precision(precision) if isinstance(precision, str) else precision
    check_names(table, graph)
    return convert(graph, calibrate(graph, clips, progress), table)


def convert(graph: Graph, ranges: Mapping[str, Range], precision: Precision) -> IntegerGraph:
    """The integer graph for known ranges."""
    assignment = assign(graph, ranges, precision)
    graph = assignment.graph
    tensors = _activation_tensors(assignment)
    constants = _initial_states(graph, tensors)
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Branch):
            body = tuple(_convert(assignment, item, precision, tensors, constants) for item in node.body)
            nodes.append(replace(node, body=body))
        else:
            nodes.append(_convert(assignment, node, precision, tensors, constants))
    made = IntegerGraph(
        name=graph.name,
        tensors=tensors,
        constants=constants,
        inputs=graph.inputs,
        outputs=graph.outputs,
        states=graph.states,
        nodes=tuple(nodes),
        frontend=graph.frontend,
    )
    graphs.check(made)
    prove_accumulators(made)
    return made


def prove_accumulators(graph: Graph) -> None:
    """Raise QuantizationError if any accumulator could exceed its type for any input of that input's type."""
    for operator in graph.operators():
        accumulator = ops.definition(operator.kind).accumulator(operator, graph)
        if accumulator is not None and accumulator.bound >= 2 ** (accumulator.bits - 1):
            raise QuantizationError(
                f"operator {operator.name!r} ({operator.kind}): its {accumulator.bits}-bit accumulator "
                f"could reach {accumulator.bound} (must stay below {2 ** (accumulator.bits - 1)}); "
                f"{_remedy(accumulator.bits)}"
            )


def _remedy(bits: int) -> str:
    split = "split it into operators with fewer inputs"
    return f"{split}, or give it 16-bit activations" if bits == 32 else split


def _activation_tensors(assignment: Assignment) -> dict[str, Tensor]:
    graph = assignment.graph
    tensors: dict[str, Tensor] = {}
    for name, (dtype, quantization) in assignment.types.items():
        shape = graph.tensors[name].shape
        packed = bits.packed_shape(shape) if dtype == bits.DTYPE else shape
        tensors[name] = Tensor(name, packed, dtype, quantization)
    for operator in graph.operators():
        for name in operator.outputs:
            if name not in tensors:
                tensors[name] = Tensor(name, graph.tensors[name].shape, "bool")
    return tensors


def _initial_states(graph: Graph, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    constants: dict[str, np.ndarray] = {}
    for state in graph.states:
        initial = graph.constants.get(state.tensor)
        if initial is not None and np.any(initial):
            constants[state.tensor] = to_integer(initial, tensors[state.tensor])
    return constants


def to_integer(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Real values -> the tensor's integers, rounded and saturated."""
    quantization = tensor.quantization
    assert quantization is not None
    low, high = graphs.INTEGER_RANGE[tensor.dtype]
    scaled = np.round(np.asarray(values, np.float64) / quantization.scale[0]) + quantization.zero_point
    return np.clip(scaled, low, high).astype(tensor.dtype)


def _convert(
    assignment: Assignment,
    operator: Operator,
    precision: Precision,
    tensors: dict[str, Tensor],
    constants: dict[str, np.ndarray],
) -> Operator:
    """Make one operator integer; its constants are added to ``tensors`` and ``constants``."""
    graph = assignment.graph
    states = {state.tensor for state in graph.states}
    inputs: list[Tensor | None] = []
    floats: dict[int, np.ndarray] = {}
    for index, name in enumerate(operator.inputs):
        if name in graph.constants and name not in states:
            floats[index] = graph.constants[name]
            inputs.append(_operand(assignment, operator, index))
        else:
            inputs.append(tensors[name] if name else None)
    whole = owner_of(operator, graph)
    request = QuantizeRequest(
        operator,
        tuple(inputs),
        tuple(tensors[name] for name in operator.outputs),
        floats,
        precision.width("weights", (whole or operator).name),
        (whole, graph.constants[whole.inputs[1]]) if whole else None,
    )
    try:
        result = ops.definition(operator.kind).quantize(request)
    except QuantizationError as error:
        raise QuantizationError(f"operator {operator.name!r} ({operator.kind}): {error}") from error
    made = result.operator
    if whole:
        made = replace(made, attributes={**made.attributes, LEADING_OF: f"{whole.name}.weight"})
    for name, (tensor, values) in result.constants.items():
        tensors[name] = tensor
        constants[name] = values
    return made


def _operand(assignment: Assignment, operator: Operator, index: int) -> Tensor:
    tensor = assignment.graph.tensors[operator.inputs[index]]
    chosen: tuple[DType, Quantization] | None = assignment.operands.get((operator.name, index))
    return tensor if chosen is None else Tensor(tensor.name, tensor.shape, *chosen)
