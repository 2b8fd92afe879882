"""Removes what nothing reads: operators, region outputs, regions, states, tensors and constants."""

from __future__ import annotations

from dataclasses import replace

from quant.graph import Branch, Graph, Node, Operator, node_reads


def remove_dead(graph: Graph) -> Graph:
    """Only what the outputs need, directly or through a state of a later frame.

    Gates are numbered anew in their order when a region goes.
    """
    live = set(graph.outputs)
    while True:
        nodes, live_now = _needed(graph, live)
        more = live_now | {state.next for state in graph.states if state.tensor in live_now}
        if more == live:
            break
        live = more
    states = tuple(state for state in graph.states if state.tensor in live)
    kept = _renumbered(nodes)
    named = _named(kept) | set(graph.inputs) | set(graph.outputs)
    named |= {name for state in states for name in (state.tensor, state.next)}
    return graph.replace(
        nodes=kept,
        states=states,
        tensors={name: tensor for name, tensor in graph.tensors.items() if name in named},
        constants={name: value for name, value in graph.constants.items() if name in named},
    )


def _needed(graph: Graph, wanted: set[str]) -> tuple[list[Node], set[str]]:
    """Nodes that ``wanted`` tensors need, in order, and all tensors needed."""
    live = set(wanted)
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if isinstance(node, Branch):
            outputs = tuple(output for output in node.outputs if output.tensor in live)
            if not outputs:
                continue
            inside = {output.taken for output in outputs}
            node = replace(node, outputs=outputs, body=_needed_body(node.body, inside))
        elif not live.intersection(node.outputs):
            continue
        live.update(node_reads(node))
        nodes.append(node)
    return nodes[::-1], live


def _needed_body(body: tuple[Operator, ...], wanted: set[str]) -> tuple[Operator, ...]:
    """Operators of a region that its live outputs need."""
    kept: list[Operator] = []
    for operator in reversed(body):
        if wanted.intersection(operator.outputs):
            wanted.update(name for name in operator.inputs if name)
            kept.append(operator)
    return tuple(kept[::-1])


def _renumbered(nodes: list[Node]) -> tuple[Node, ...]:
    """Gates 0, 1, ... in the order of their old numbers."""
    branches = [node for node in nodes if isinstance(node, Branch)]
    used = sorted({item.gate for branch in branches for item in branch.conditions})

    def renumbered(branch: Branch) -> Branch:
        unless = (used.index(branch.unless[0]), branch.unless[1]) if branch.unless else None
        return replace(branch, gate=used.index(branch.gate), unless=unless)

    return tuple(renumbered(node) if isinstance(node, Branch) else node for node in nodes)


def _named(nodes: tuple[Node, ...]) -> set[str]:
    """Every tensor that a node reads or writes."""
    names: set[str] = set()
    for node in nodes:
        operators = node.body if isinstance(node, Branch) else (node,)
        for operator in operators:
            names.update(name for name in (*operator.inputs, *operator.outputs) if name)
        if isinstance(node, Branch):
            names.update(condition.predicate for condition in node.conditions)
            for output in node.outputs:
                names.update(name for name in (output.tensor, output.taken, output.held) if name)
    return names
