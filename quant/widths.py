"""The width of each result, and results of 8 bits behind operators that compute with 16 only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from quant import bits
from quant.calibrate import Range
from quant.graph import DType, Graph, Node, Operator
from quant.precision import Precision, activation_bits, is_wide


def activation_types(graph: Graph, precision: Precision) -> dict[str, DType]:
    """Operator -> "int8" or "int16", as `quant.precision.activation_bits`; int8 for `narrowed` results; the
    type of `quant.bits` for operators that read bits as they are."""
    widths = activation_bits(graph, precision)
    inserted = {operator.name for operator in graph.operators() if operator.kind == "requantize"}
    packed = reads_bits(graph)
    types: dict[str, DType] = {
        name: "int8" if name in inserted or width == 8 else "int16" for name, width in widths.items()
    }
    return {name: bits.DTYPE if name in packed else dtype for name, dtype in types.items()}


def reads_bits(graph: Graph) -> frozenset[str]:
    """Names of the operators that take bits as they are."""
    packed = bits.bit_tensors(graph)
    takers = (*bits.CARRIERS, "binary_conv2d")
    return frozenset(
        item.name
        for item in graph.operators()
        if item.kind in takers
        and item.inputs[0] in packed
        and (item.kind == "binary_conv2d" or item.outputs[0] in packed)
    )


def narrowed(
    graph: Graph, ranges: Mapping[str, Range], precision: Precision
) -> tuple[Graph, Mapping[str, Range]]:
    """The float graph with a requantize operator behind each operator that computes with 16 bits only and
    whose result shall have 8; readers take the narrow result. What a gru_update hands on as state keeps 16
    bits here: the state has a width of its own.
    """
    widths = activation_bits(graph, precision)
    wide = [op for op in graph.operators() if widths[op.name] == 8 and is_wide(op)]
    if not wide:
        return graph, ranges
    renamed = {op.outputs[0]: unused_name(f"{op.outputs[0]}.narrow", graph) for op in wide}
    kept = {op.outputs[0] for op in wide if op.kind == "gru_update"}
    moved = {source: target for source, target in renamed.items() if source not in kept}

    def rewired(operators: Sequence[Operator]) -> list[Operator]:
        made: list[Operator] = []
        for operator in operators:
            inputs = tuple(renamed.get(name, name) for name in operator.inputs)
            made.append(replace(operator, inputs=inputs))
            for name in operator.outputs:
                if name in renamed:
                    target = renamed[name]
                    made.append(Operator(target, "requantize", (name,), (target,), {}, operator.source))
        return made

    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Operator):
            nodes += rewired([node])
            continue
        outputs = tuple(
            replace(item, taken=moved.get(item.taken, item.taken), held=moved.get(item.held, item.held))
            for item in node.outputs
        )
        nodes.append(replace(node, body=tuple(rewired(node.body)), outputs=outputs))
    changed = graph.replace(
        nodes=tuple(nodes),
        tensors={**graph.tensors, **{t: replace(graph.tensors[s], name=t) for s, t in renamed.items()}},
        states=tuple(replace(state, next=moved.get(state.next, state.next)) for state in graph.states),
        outputs=tuple(moved.get(name, name) for name in graph.outputs),
    )
    return changed, {**ranges, **{t: ranges[s] for s, t in renamed.items() if s in ranges}}


def unused_name(name: str, graph: Graph) -> str:
    """``name``, or with a number where a tensor has it already."""
    candidate, number = name, 1
    while candidate in graph.tensors:
        number += 1
        candidate = f"{name}{number}"
    return candidate
