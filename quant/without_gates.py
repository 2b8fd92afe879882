"""A gated graph as the gate-free one that it is with all gates on, or all off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.graph import IntegerGraph, Operator, check
from quant.reference import real_zero


def without_gates(graph: IntegerGraph, taken: bool) -> IntegerGraph:
    """The same bits as ``graph`` with every gate forced on (``taken``) or off, without branches.

    What only decided about gates (the policy, its state) is left out.
    """
    names: dict[str, str] = {}
    constants = dict(graph.constants)
    operators: list[Operator] = []

    def now(name: str) -> str:
        while name in names:
            name = names[name]
        return name

    for node in graph.nodes:
        if isinstance(node, Operator):
            operators.append(node)
            continue
        runs = all(condition.opened == taken for condition in node.conditions)
        operators += node.body if runs else ()
        for output in node.outputs:
            if runs:
                names[output.tensor] = output.taken
            elif output.skip == "hold":
                names[output.tensor] = output.held
            else:
                constants[output.tensor] = real_zero(graph, output.tensor)
    renamed = [replace(item, inputs=tuple(now(name) for name in item.inputs)) for item in operators]
    outputs = tuple(now(name) for name in graph.outputs)
    updates = {state.tensor: now(state.next) for state in graph.states}
    needed = _needed(renamed, updates, outputs) | set(graph.inputs)
    kept = tuple(item for item in renamed if needed.intersection(item.outputs))
    states = tuple(
        replace(state, next=updates[state.tensor]) for state in graph.states if state.tensor in needed
    )
    made = IntegerGraph(
        name=graph.name,
        tensors={name: tensor for name, tensor in graph.tensors.items() if name in needed},
        constants={name: np.asarray(values) for name, values in constants.items() if name in needed},
        inputs=graph.inputs,
        outputs=outputs,
        states=states,
        nodes=kept,
        frontend=graph.frontend,
    )
    check(made)
    return made


def _needed(operators: list[Operator], updates: dict[str, str], outputs: tuple[str, ...]) -> set[str]:
    """Tensors that reach an output, by way of states too."""
    writers = {name: operator for operator in operators for name in operator.outputs}
    found: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in found or not name:
            continue
        found.add(name)
        if name in updates:
            waiting.append(updates[name])
        if name in writers:
            waiting += [*writers[name].inputs, *writers[name].outputs]
    return found
