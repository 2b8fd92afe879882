"""Scales of weights that training learned: the converter uses them in place of its own rule.

They travel with the float graph, as attributes of the operators that read the weights, so that whatever
converts the graph uses them. A scale was learned for one width: at another the converter's rule holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from quant.errors import ConfigError
from quant.graph import Attribute, Branch, Graph, Node, Operator
from quant.ops.linear import LEARNED_BITS, LEARNED_SCALE
from quant.precision import WEIGHTED


@dataclass(frozen=True)
class LearnedScale:
    """``scale``: real value of one step of each output channel's integers, which have ``bits`` bits."""

    bits: int
    scale: tuple[float, ...]


def with_learned_scales(graph: Graph, scales: Mapping[str, LearnedScale]) -> Graph:
    """The float graph with ``scales`` of its weights, by the names of their constants.

    Raises ConfigError for a name that is no operator's weight.
    """
    weights = {weight_of(operator) for operator in graph.operators()} - {""}
    unknown = sorted(set(scales) - weights)
    if unknown:
        raise ConfigError(
            f"a scale was learned for {unknown[0]!r}, which is no weight of model {graph.name!r}: does it "
            "belong to another model?"
        )

    def attached(operator: Operator) -> Operator:
        learned = scales.get(weight_of(operator))
        if learned is None:
            return operator
        added: dict[str, Attribute] = {LEARNED_BITS: learned.bits, LEARNED_SCALE: learned.scale}
        return replace(operator, attributes={**operator.attributes, **added})

    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Branch):
            nodes.append(replace(node, body=tuple(attached(operator) for operator in node.body)))
        else:
            nodes.append(attached(node))
    return graph.replace(nodes=tuple(nodes))


def weight_of(operator: Operator) -> str:
    """Name of the weights of an operator that has some with a width, else ""."""
    return operator.inputs[1] if operator.kind in WEIGHTED else ""
