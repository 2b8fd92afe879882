"""Constants: operators on constants only are computed now, equal constants become one."""

from __future__ import annotations

import numpy as np

from quant import ops
from quant.graph import Graph, Operator
from tinydsn.lowering.passes.rewrite import Facts, Replacement, rename, rewrite


def fold_constants(graph: Graph) -> Graph:
    """Operators all of whose inputs are constants become constants."""
    return rewrite(graph, _fold)


def _fold(operator: Operator, facts: Facts) -> Replacement | None:
    values = tuple(facts.constant(name) if name else None for name in operator.inputs)
    if operator.kind == "gate" or any(
        value is None and name for value, name in zip(values, operator.inputs, strict=True)
    ):
        return None
    results = ops.definition(operator.kind).evaluate(operator.attributes, values)
    folded = {
        name: np.ascontiguousarray(value, np.float32)
        for name, value in zip(operator.outputs, results, strict=True)
    }
    return Replacement(alias=operator.outputs[0], constants=folded)


def share_constants(graph: Graph) -> Graph:
    """Constants of equal shape and equal bits become the first of them; starts of states stay apart."""
    states = {state.tensor for state in graph.states}
    first: dict[tuple[tuple[int, ...], bytes], str] = {}
    names: dict[str, str] = {}
    for name, value in graph.constants.items():
        if name in states:
            continue
        names[name] = first.setdefault((value.shape, value.tobytes()), name)
    return rename(graph, {name: kept for name, kept in names.items() if kept != name})


def share_operators(graph: Graph) -> Graph:
    """Equal moves and slices of the same tensor become the first of them (of its region or outside)."""
    return rewrite(graph, _share)


def _share(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind not in ("reshape", "transpose", "slice", "pad"):
        return None
    for other in facts.graph.operators():
        if other.name == operator.name:
            return None
        region = facts.regions[other.name]
        if region is not None and region is not facts.regions[operator.name]:
            continue
        same = (other.kind, other.inputs, dict(other.attributes))
        if same == (operator.kind, operator.inputs, dict(operator.attributes)):
            return Replacement(alias=other.outputs[0])
    return None
