"""Weights that are the leading rows and columns of another weight, so that flash holds them once."""

from __future__ import annotations

import numpy as np

from quant.graph import Graph, Operator
from quant.ops.linear import CUT, LEADING_OF, leading_part
from tinydsn.lowering.passes.rewrite import Facts, Replacement, rewrite


def link_leading(graph: Graph) -> Graph:
    """Operators whose weight was cut out of a parameter name the largest weight that begins with theirs."""
    return rewrite(graph, _link)


def _link(operator: Operator, facts: Facts) -> Replacement | None:
    if CUT not in operator.attributes:
        return None
    attributes = {key: value for key, value in operator.attributes.items() if key != CUT}
    weight = facts.graph.constants[operator.inputs[1]]
    wholes = {
        other.inputs[1]: facts.graph.constants[other.inputs[1]]
        for other in facts.graph.operators()
        if other.kind == operator.kind and other.inputs[1] != operator.inputs[1]
    }
    found = [name for name, whole in wholes.items() if _begins_with(whole, weight)]
    if found:
        attributes[LEADING_OF] = max(found, key=lambda name: wholes[name].size)
    made = Operator(
        operator.name, operator.kind, operator.inputs, operator.outputs, attributes, operator.source
    )
    return Replacement((made,))


def _begins_with(whole: np.ndarray, weight: np.ndarray) -> bool:
    part = leading_part(whole, weight.shape)
    return part is not None and whole.size > weight.size and np.array_equal(part, weight)
