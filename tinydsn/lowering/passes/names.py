"""Final names: a tensor has the name of the operator, or of the region, that writes it."""

from __future__ import annotations

from dataclasses import replace

from quant.graph import Branch, Graph, Node, Operator
from tinydsn.lowering.passes.rewrite import rename


def name_tensors(graph: Graph) -> Graph:
    """An operator's output gets its name; the outputs of region ``r`` are ``r.out0``, ``r.out1``, ..."""
    names = {operator.outputs[0]: operator.name for operator in graph.operators()}
    for branch in graph.branches:
        names |= {output.tensor: f"{branch.name}.out{index}" for index, output in enumerate(branch.outputs)}
    renamed = rename(graph, names)
    nodes: list[Node] = []
    for node in renamed.nodes:
        if isinstance(node, Branch):
            body = tuple(_named(operator) for operator in node.body)
            outputs = tuple(replace(output, tensor=names[output.tensor]) for output in node.outputs)
            nodes.append(replace(node, body=body, outputs=outputs))
        else:
            nodes.append(_named(node))
    new = {name: names.get(name, name) for name in graph.tensors}
    tensors = {new[name]: replace(tensor, name=new[name]) for name, tensor in graph.tensors.items()}
    return renamed.replace(nodes=tuple(nodes), tensors=tensors)


def _named(operator: Operator) -> Operator:
    """The operator writing a tensor of its own name."""
    return replace(operator, outputs=(operator.name,))
