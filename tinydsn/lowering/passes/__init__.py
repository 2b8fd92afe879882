"""Passes: plain functions from graph to graph, none of which changes what the graph computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from quant.graph import Graph, check
from tinydsn.lowering.passes.axes import sink_through_axes, slice_before_reshape
from tinydsn.lowering.passes.branches import sink_through_branches
from tinydsn.lowering.passes.constants import fold_constants, share_constants, share_operators
from tinydsn.lowering.passes.dead import remove_dead
from tinydsn.lowering.passes.fusion import (
    expand_relu6,
    fold_affine,
    fuse_activations,
    fuse_steps,
)
from tinydsn.lowering.passes.leading import link_leading
from tinydsn.lowering.passes.matmul import choose_transpose_b, split_linear
from tinydsn.lowering.passes.movement import merge_moves, sink_moves
from tinydsn.lowering.passes.names import name_tensors
from tinydsn.lowering.passes.padding import fold_padding, sink_pads
from tinydsn.lowering.passes.states import choose_layouts, copied

Pass = Callable[[Graph], Graph]

BEFORE_SINKING: tuple[Pass, ...] = (fold_constants, merge_moves, remove_dead, share_operators)
AFTER_SINKING: tuple[Pass, ...] = (
    sink_through_axes,
    sink_pads,
    sink_through_branches,
    slice_before_reshape,
    split_linear,
    choose_transpose_b,
    fold_padding,
    fold_affine,
    fuse_activations,
    fuse_steps,
    remove_dead,
)
LAST: tuple[Pass, ...] = (
    expand_relu6,
    fuse_activations,
    share_constants,
    remove_dead,
    link_leading,
    name_tensors,
)
MOST_ROUNDS = 50


def simplify(graph: Graph) -> Graph:
    """All passes, in their order; the graph is checked after each."""
    graph = choose_layouts(settle(graph), settle)
    for step in LAST:
        graph = _run(step, graph)
    return graph


def settle(graph: Graph) -> Graph:
    """The layout passes until they change nothing, with or without moving shared transposes.

    Whichever copies less; on a tie, the one that leaves shared transposes in place.
    """
    careful = _settled(graph, sink_moves)
    if copied(careful) == 0:
        return careful
    return min(careful, _settled(graph, partial(sink_moves, shared=True)), key=copied)


def _settled(graph: Graph, sink: Pass) -> Graph:
    """The layout passes, again and again until they change nothing."""
    for _ in range(MOST_ROUNDS):
        before = graph.nodes
        for step in (*BEFORE_SINKING, sink, *AFTER_SINKING):
            graph = _run(step, graph)
        if graph.nodes == before:
            break
    return graph


def _run(step: Pass, graph: Graph) -> Graph:
    """One pass, and the check of what it made."""
    graph = step(graph)
    check(graph)
    return graph
