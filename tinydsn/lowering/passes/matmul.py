"""Matrix products that read their second operand as it lies, and linear operators cut into their slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.graph import Graph, Operator, Tensor
from tinydsn.lowering.passes import views
from tinydsn.lowering.passes.movement import MOVES, moves, step_of
from tinydsn.lowering.passes.rewrite import Facts, Replacement, changed, rewrite


def choose_transpose_b(graph: Graph) -> Graph:
    """``batch_matmul`` with or without ``transpose_b``, whichever moves less of its second operand."""
    return rewrite(graph, _choose)


def _choose(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind != "batch_matmul":
        return None
    shape = facts.shape(operator.inputs[1])
    swap = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    chain: list[Operator] = []
    source = operator.inputs[1]
    while (before := facts.producer(source, MOVES)) is not None:
        chain.insert(0, before)
        source = before.inputs[0]
    for start in range(len(chain)):
        view: views.View | None = views.identity(facts.shape(chain[start].inputs[0]))
        for item in chain[start:]:
            view = None if view is None else views.extend(view, step_of(item))
        swapped = None if view is None else views.extend(view, ("transpose", swap))
        if view is not None and swapped is not None and _effort(swapped) < _effort(view):
            return _toggled(operator, chain[start].inputs[0], swapped, facts)
    return None


def _effort(view: views.View) -> tuple[int, bool]:
    """Transposes, and whether the innermost elements have to be picked one by one."""
    count = sum(kind == "transpose" for kind, _ in views.steps(view))
    return count, bool(view.order) and view.order[-1] != len(view.order) - 1


def _toggled(operator: Operator, source: str, view: views.View, facts: Facts) -> Replacement:
    """The product reading ``view`` of ``source``, with the other ``transpose_b``."""
    turned = changed(operator, transpose_b=not operator.attributes["transpose_b"])
    chain = views.steps(view)
    if not chain:
        return Replacement((replace(turned, inputs=(operator.inputs[0], source)),))
    target = facts.fresh(f"{operator.inputs[1]}.turned")
    operators, tensors = moves(facts, operator, source, chain, target)
    product = replace(turned, inputs=(operator.inputs[0], target))
    return Replacement((*operators, product), tensors=(*tensors, Tensor(target, view.shape)))


def split_linear(graph: Graph) -> Graph:
    """A fully connected operator of which only separate slices are read becomes one for each slice."""
    return rewrite(graph, _split)


def _split(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind != "slice":
        return None
    linear = facts.producer(operator.inputs[0], "fully_connected")
    if linear is None or not _only_slices(linear, facts):
        return None
    begin, end = _rows(operator)
    weight = facts.constant(linear.inputs[1])
    bias = facts.constant(linear.inputs[2]) if linear.inputs[2] else None
    if weight is None or (linear.inputs[2] and bias is None):
        return None
    constants = {facts.fresh(f"{linear.inputs[1]}.{begin}"): np.ascontiguousarray(weight[begin:end])}
    names = list(constants)
    if bias is not None:
        names.append(facts.fresh(f"{linear.inputs[2]}.{begin}"))
        constants[names[1]] = np.ascontiguousarray(bias[begin:end])
    inputs = (linear.inputs[0], names[0], names[1] if bias is not None else "")
    part = facts.fresh(f"{linear.name}.part")
    tensors = tuple(Tensor(name, value.shape) for name, value in constants.items())
    made = replace(linear, name=part, inputs=inputs, outputs=operator.outputs)
    return Replacement((made,), tensors=tensors, constants=constants)


def _rows(part: Operator) -> tuple[int, int]:
    """Begin and end of a slice."""
    return int(part.attributes["begin"]), int(part.attributes["end"])  # type: ignore[arg-type]


def _only_slices(linear: Operator, facts: Facts) -> bool:
    """Whether all readers slice the last axis, in the same region, without overlap."""
    last = len(facts.shape(linear.outputs[0])) - 1
    parts = [item for item in facts.graph.operators() if linear.outputs[0] in item.inputs]
    here = [item for item in parts if item.kind == "slice" and item.attributes["axis"] == last]
    if len(here) != facts.readers[linear.outputs[0]]:
        return False
    if any(facts.regions[item.name] is not facts.regions[linear.name] for item in here):
        return False
    spans = sorted(_rows(item) for item in here)
    return all(first[1] <= second[0] for first, second in zip(spans, spans[1:], strict=False))
