"""Layout of states: a state is stored the way its readers want it, when that saves copies."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np

from quant.graph import Graph, Operator, State, Tensor
from tinydsn.lowering.passes.rewrite import Facts, rename

MOST_AXES = 3


def choose_layouts(graph: Graph, simplify: Callable[[Graph], Graph]) -> Graph:
    """Store each state with its axes permuted if ``simplify`` then leaves less to copy."""
    for state in graph.states:
        if copied(graph) == 0:
            break
        trials = [simplify(_stored(graph, state, order)) for order in _orders(graph, state)]
        graph = min([graph, *trials], key=copied)
    return graph


def copied(graph: Graph) -> int:
    """Elements that transposes move in a frame with all gates on."""
    moves = [operator for operator in graph.operators() if operator.kind == "transpose"]
    return sum(graph.tensors[operator.outputs[0]].size for operator in moves)


def _orders(graph: Graph, state: State) -> list[tuple[int, ...]]:
    """Permutations of a state's axes that change the order of its elements."""
    shape = graph.tensors[state.tensor].shape
    long = [axis for axis, size in enumerate(shape) if size > 1]
    if not 2 <= len(long) <= MOST_AXES:
        return []
    orders = []
    for moved in list(permutations(long))[1:]:
        target = iter(moved)
        orders.append(tuple(next(target) if size > 1 else axis for axis, size in enumerate(shape)))
    return orders


def _stored(graph: Graph, state: State, order: tuple[int, ...]) -> Graph:
    """The graph with the state stored as ``transpose(state, order)``."""
    facts = Facts(graph)
    shape = graph.tensors[state.tensor].shape
    turned = tuple(shape[axis] for axis in order)
    view, after = facts.fresh(f"{state.tensor}.transpose"), facts.fresh(f"{state.tensor}.next")
    back = tuple(int(axis) for axis in np.argsort(order))
    first = Operator(view, "transpose", (state.tensor,), (view,), {"permutation": back})
    changed = rename(graph, {state.tensor: view})
    next_name = next(item.next for item in changed.states if item.tensor == state.tensor)
    last = Operator(after, "transpose", (next_name,), (after,), {"permutation": order})
    tensors = {
        **graph.tensors,
        state.tensor: Tensor(state.tensor, turned),
        view: Tensor(view, shape),
        after: Tensor(after, turned),
    }
    constants = dict(graph.constants)
    if state.tensor in constants:
        constants[state.tensor] = np.ascontiguousarray(constants[state.tensor].transpose(order))
    return changed.replace(
        nodes=(first, *changed.nodes, last),
        tensors=tensors,
        constants=constants,
        states=tuple(
            State(item.tensor, after) if item.tensor == state.tensor else item for item in changed.states
        ),
    )
