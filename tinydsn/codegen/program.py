"""A graph as a list of steps in the order of execution: what the memory planner and the writer share.

Step 0 writes the graph's inputs (the front end's analysis, or a copy of the PCM), then one step an
operator; a branch adds the steps of its body and a ``join``, where the outputs of a skipped frame are
made. Last come the step that reads the graph's outputs (synthesis) and the one that updates the states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from quant.graph import Branch, Graph, Operator, node_reads

StepKind = Literal["input", "operator", "join", "output", "update"]

VIEWS = frozenset({"reshape"})
"""Kinds that never move data; a slice is a view when it is contiguous."""

IN_PLACE = frozenset(
    ("add", "sub", "mul", "relu", "leaky_relu", "sigmoid", "tanh", "table")
    + ("gru_update", "gru_cell", "layer_norm", "softmax", "requantize")
)
"""Kinds whose kernels read element i of an input of the output's size before they write element i.

layer_norm and softmax read a whole row before they write its first element, and then each in its turn;
gru_cell does so with a few rows.
"""


@dataclass(frozen=True)
class Step:
    """One moment of a frame. ``reads`` and ``writes`` are tensor names.

    A join's held tensors are in ``holds``, not in ``reads``: they may share the output's memory.
    """

    index: int
    kind: StepKind
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    operator: Operator | None = None
    branch: Branch | None = None
    holds: tuple[str, ...] = ()


def steps(graph: Graph) -> tuple[Step, ...]:
    """All steps of a frame; operators inside a branch carry the branch."""
    made: list[Step] = []

    def add(kind: StepKind, reads: tuple[str, ...], writes: tuple[str, ...], **more: object) -> None:
        made.append(Step(len(made), kind, reads, writes, **more))  # type: ignore[arg-type]

    add("input", (), graph.inputs)
    for node in graph.nodes:
        if isinstance(node, Operator):
            add("operator", node_reads(node), node.outputs, operator=node)
            continue
        for operator in node.body:
            add("operator", node_reads(operator), operator.outputs, operator=operator, branch=node)
        taken = tuple(output.taken for output in node.outputs)
        holds = tuple(output.held for output in node.outputs if output.skip == "hold")
        written = tuple(output.tensor for output in node.outputs)
        # the predicate is read before the body; reading it here too would keep it alive for nothing
        add("join", taken, written, branch=node, holds=holds)
    add("output", graph.outputs, ())
    add("update", tuple(state.next for state in graph.states), tuple(s.tensor for s in graph.states))
    return tuple(made)


def branch_entries(program: tuple[Step, ...]) -> Iterator[tuple[int, Branch]]:
    """(index of the first step, branch) of every branch; its predicate is read there."""
    seen: set[str] = set()
    for step in program:
        if step.branch is not None and step.branch.name not in seen:
            seen.add(step.branch.name)
            yield step.index, step.branch


def view_offset(operator: Operator, graph: Graph) -> int | None:
    """Elements between the start of the input and of the output, when the output is a view of it.

    The attribute ``view`` is what `tinydsn.codegen.fusion` found; its output's elements may lie apart.
    """
    if "view" in operator.attributes:
        return int(operator.attributes["view"])  # type: ignore[arg-type]
    if operator.kind in VIEWS:
        return 0
    if operator.kind != "slice":
        return None
    shape = graph.tensors[operator.inputs[0]].shape
    axis = int(operator.attributes["axis"]) % len(shape)  # type: ignore[arg-type]
    begin = int(operator.attributes["begin"])  # type: ignore[arg-type]
    if any(size != 1 for size in shape[:axis]):
        return None
    inner = 1
    for size in shape[axis + 1 :]:
        inner *= size
    return (begin % shape[axis] if begin < 0 else begin) * inner
