"""Moves at the end of a gated region, moved behind it."""

from __future__ import annotations

from dataclasses import replace

from quant.graph import Branch, BranchOutput, Graph, Node, Operator, Tensor, check
from tinydsn.lowering.passes.movement import MOVES, step_of
from tinydsn.lowering.passes.rewrite import Facts, move_name


def sink_through_branches(graph: Graph) -> Graph:
    """An output that leaves a region moved, and is zero or equally moved when skipped, moves outside."""
    while True:
        facts = Facts(graph)
        found = next(filter(None, (_sunk(branch, facts) for branch in graph.branches)), None)
        if found is None:
            check(graph)
            return graph
        graph = found


def _sunk(branch: Branch, facts: Facts) -> Graph | None:
    """The graph with one output of the region sunk, if there is one."""
    inside = {operator.name for operator in branch.body}
    for output in branch.outputs:
        move = facts.producer(output.taken, MOVES)
        if move is None or move.name not in inside:
            continue
        held = _held_before(output, move, facts)
        if held is not None:
            return _with(branch, output, move, held, facts)
    return None


def _held_before(output: BranchOutput, move: Operator, facts: Facts) -> str | None:
    """The held tensor before an equal move; "" for zeros; None when it was moved in another way."""
    if output.skip == "zero":
        return ""
    own = facts.producer(output.held, MOVES)
    if own is None or step_of(own) != step_of(move):
        return None
    return own.inputs[0] if facts.shape(own.inputs[0]) == facts.shape(move.inputs[0]) else None


def _with(branch: Branch, output: BranchOutput, move: Operator, held: str, facts: Facts) -> Graph:
    """The graph with ``move`` behind the region for one of its outputs."""
    name = facts.fresh(f"{output.tensor}.before")
    inner = BranchOutput(name, move.inputs[0], output.skip, held)
    outputs = tuple(inner if item is output else item for item in branch.outputs)
    outside = facts.fresh(move_name(branch.name, move.kind), name)
    after = Operator(outside, move.kind, (name,), (output.tensor,), move.attributes, move.source)
    nodes: list[Node] = []
    for node in facts.graph.nodes:
        nodes += [replace(branch, outputs=outputs), after] if node is branch else [node]
    tensors = {**facts.graph.tensors, name: Tensor(name, facts.shape(move.inputs[0]))}
    return facts.graph.replace(nodes=tuple(nodes), tensors=tensors)
