"""``torch.cond`` becomes a gated region; comparisons become gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from quant.errors import UnsupportedOperator
from quant.gates import MAX_GATES
from quant.graph import Branch, BranchOutput
from tinydsn.lowering.builder import Builder, Comparison, Constant, Ref, Value
from tinydsn.lowering.call import Call
from tinydsn.lowering.hints import refuse
from tinydsn.lowering.names import common_path, join

_COND = "torch.cond"
_GATE = "logits[k] > threshold, as the predicate of torch.cond"
_STEP = "torch.logical_and(logits[k] > threshold, logits[k + 1] <= threshold)"
_SKIPPED = "torch.zeros_like(...) or operand.clone() for each output of the skipped function"

Run = Callable[[torch.fx.Graph, Sequence[Value]], list[Value]]


def compare(call: Call, selected: tuple[Value, int] | None, inverted: bool) -> Comparison:
    """``x > threshold``, or ``<=`` where ``inverted``; ``selected`` is (logits, k) where x is written
    ``logits[k]``."""
    other = call["other"]
    if isinstance(other, Constant) and other.value.numel() == 1:
        other = float(other.value)
    if not isinstance(other, (int, float)):
        raise call.refuse("the threshold is not a constant", _GATE)
    if selected is not None and isinstance(selected[0], Ref):
        return Comparison(selected[0], float(other), selected[1], inverted)
    source = call.ref("self")
    return Comparison(source, float(other), 0 if source.shape in ((), (1,)) else None, inverted)


def both(call: Call) -> Comparison:
    """``logical_and`` of an open gate and a closed one: a step of a ladder of gates."""
    first, second = call["self"], call["other"]
    gates = isinstance(first, Comparison) and isinstance(second, Comparison)
    if not gates or first.unless or second.unless or first.inverted or not second.inverted:
        raise call.refuse("operands that are not an open gate and a closed one", _STEP)
    return replace(first, unless=replace(second, inverted=False))


def lower_cond(
    builder: Builder, arguments: Sequence[Any], graphs: Sequence[torch.fx.Graph], run: Run
) -> list[Value]:
    """The outputs of ``torch.cond(predicate, taken, skipped, operands)``.

    ``graphs`` are those of the two functions. The predicate must be a comparison of one logit; the skipped
    function may only give zeros or operands as they are.
    """
    where = builder.source
    if builder.in_branch:
        raise refuse(_COND, where, "a torch.cond inside a torch.cond", "gated regions side by side")
    operands = list(arguments[3])
    decision = arguments[0]
    gate, predicate = _gate(builder, decision, where)
    inverted, unless = False, None
    if isinstance(decision, Comparison):
        inverted = decision.inverted
        unless = _gate(builder, decision.unless, where) if decision.unless else None
    outer_path = builder.path
    builder.path = _region_path(operands, graphs[0], outer_path, gate)
    skipped, skipped_work = _run_body(builder, graphs[1], operands, run)
    taken, body = _run_body(builder, graphs[0], operands, run)
    if skipped_work:
        raise _work_when_skipped(where, skipped_work[0].kind, swapped=not body)
    region = builder.names.unique(builder.path)
    outputs, results = [], []
    for index, (value, idle) in enumerate(zip(taken, skipped, strict=True)):
        result = builder.tensor(builder.names.unique(f"{region}.out{index}"), value.shape)
        outputs.append(_output(builder, result, value, idle, where))
        results.append(result)
    made = Branch(region, gate, predicate, tuple(body), tuple(outputs), inverted, unless)
    builder.append_branch(made)
    builder.path = outer_path
    return list(results)


def _gate(builder: Builder, predicate: object, where: str) -> tuple[int, str]:
    """The bit and the bool tensor of a predicate; the same comparison gives the same gate."""
    if not isinstance(predicate, Comparison):
        raise refuse(_COND, where, "its predicate is not a comparison of a logit", _GATE)
    if predicate.index is None:
        raise refuse(_COND, where, f"its predicate has shape {predicate.shape} (must be one decision)", _GATE)
    index, threshold = predicate.index, predicate.threshold
    predicate = Comparison(predicate.source, threshold, index)
    if predicate in builder.gates:
        return builder.gates[predicate]
    source = predicate.source
    if len(source.shape) != 1:
        source = builder.emit("reshape", source, shape=(_size(source.shape),))
    bit = len(builder.gates)
    if bit == MAX_GATES:
        raise refuse(_COND, where, f"more than {MAX_GATES} gates", "one gate for several regions")
    tensor = builder.emit("gate", source, path=f"gate{bit}", index=index, threshold=threshold)
    builder.gates[predicate] = (bit, tensor.name)
    return builder.gates[predicate]


def _size(shape: tuple[int, ...]) -> int:
    """Number of elements."""
    return int(torch.Size(shape).numel())


def _region_path(operands: Sequence[object], taken: torch.fx.Graph, outer: str, gate: int) -> str:
    """A module path for the region: what the parameters that it reads have in common."""
    placeholders = [node for node in taken.nodes if node.op == "placeholder"]
    read = [
        operand.name
        for operand, node in zip(operands, placeholders, strict=True)
        if isinstance(operand, Constant) and node.users
    ]
    path = common_path(read) or outer
    return path if "gat" in path.split(".")[-1] else join(path, f"gated{gate}")


def _run_body(
    builder: Builder, graph: torch.fx.Graph, operands: Sequence[Value], run: Run
) -> tuple[list[Value], tuple[Any, ...]]:
    """Results of one function, and the operators it needs."""
    builder.begin_branch()
    try:
        results = run(graph, operands)
    finally:
        body = builder.end_branch()
    return results, body


def _work_when_skipped(where: str, kind: str, swapped: bool) -> UnsupportedOperator:
    """The error for a skipped function that computes something."""
    if swapped:
        return refuse(
            _COND,
            where,
            "the work stands in the second function, which runs when the predicate is false",
            "torch.cond(logits[k] > threshold, work, skip, operands), with the logit's sign changed",
        )
    return refuse(_COND, where, f"the skipped function computes something ({kind})", _SKIPPED)


def _output(builder: Builder, result: Ref, taken: Value, idle: Value, where: str) -> BranchOutput:
    """What leaves the region as ``result``."""
    if isinstance(idle, Constant):
        if bool((idle.value != 0).any()):
            raise refuse(_COND, where, "the skipped function returns a constant that is not zero", _SKIPPED)
        return BranchOutput(result.name, builder.read(taken), "zero")
    return BranchOutput(result.name, builder.read(taken), "hold", builder.read(idle))
