"""RAM by tensor over the steps of a frame, as the planner placed it."""

from __future__ import annotations

from tinydsn.codegen.design import FRONTEND_SECOND_STATE, FRONTEND_STATE, Design
from tinydsn.codegen.program import Step
from tinydsn.profiling.data import Ram
from tinydsn.report import PlanRow


def ram(design: Design, total: int) -> Ram:
    """The states, the arena's buffers with their lifetimes, and the bytes in use at each step.

    ``total``: bytes of RAM as the build counts them.
    """
    plan, graph = design.plan, design.graph
    rows = plan_rows(design)
    steps = tuple(_title(step) for step in plan.steps)
    in_use = tuple(
        sum(row.bytes for row in rows if row.first <= index <= row.last) for index in range(len(steps))
    )
    sizes = {state.tensor: graph.tensors[state.tensor].nbytes for state in graph.states}
    if graph.frontend is not None:
        from quant.frontend.tables import front_end_memory

        sizes[FRONTEND_STATE] = front_end_memory(graph.frontend).state
        if graph.frontend.channels > 1:
            sizes[FRONTEND_SECOND_STATE] = sizes[FRONTEND_STATE]
    states = tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))
    return Ram(total, design.context_bytes, states, plan.arena_bytes, rows, steps, in_use)


def plan_rows(design: Design) -> tuple[PlanRow, ...]:
    """The arena's buffers over the steps of a frame."""
    return tuple(
        PlanRow(buffer.name, buffer.offset, buffer.size, buffer.first, buffer.last)
        for buffer in design.plan.buffers
    )


def _title(step: Step) -> str:
    if step.operator is not None:
        return step.operator.name
    return f"{step.kind} {step.branch.name}" if step.branch is not None else step.kind
