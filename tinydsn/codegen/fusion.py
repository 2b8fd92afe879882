"""What the generator fuses: operators that only move or clamp become views; others read or write for them.

These passes run when C is generated, not when the graph is made: the stored model stays what the reference
executes, operator by operator, and firmware of any age can be made from it. They change no bit and remove no
operator. GRU cells become one operator each (`tinydsn.codegen.emit_gru`). Other operators that have nothing
left to do get the attribute ``view``: elements between the start of the input's memory and of the output's,
which is that same memory. The one that does its work instead gets

- ``strides0``, ``strides1``, ``output_strides``: of the axes of an operand or of the output, in elements;
- a narrower ``activation_min`` or ``activation_max``;
- ``result_of``: the operator whose output it has written, for traces.

A relu behind the join of a gated region stays: in one of the two cases nothing was computed that could clamp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from quant.graph import ITEM_BYTES, Attribute, Branch, IntegerGraph, Operator, node_reads
from tinydsn.codegen.call import CodeTarget, Request
from tinydsn.codegen.emit_gru import join_cells
from tinydsn.codegen.emit_moves import strides
from tinydsn.codegen.linear import narrow_is_proven

CLAMPING = frozenset({"fully_connected", "conv2d", "depthwise_conv2d", "add", "sub", "mul"})
"""Kinds whose kernels clamp their results to ``activation_min`` and ``activation_max``."""

Changes = dict[str, dict[str, Attribute]]
"""New attributes by operator name."""
Pass = Callable[["Surroundings"], Changes]


@dataclass(frozen=True)
class Surroundings:
    """A graph with what the passes ask of it: who writes a tensor, and which operators read it.

    ``kept`` are tensors that something other than an operator reads: outputs, states, joins.
    """

    graph: IntegerGraph
    target: CodeTarget
    writer: Mapping[str, Operator]
    readers: Mapping[str, tuple[Operator, ...]]
    region: Mapping[str, Branch | None]
    kept: frozenset[str]

    def only_reader(self, name: str) -> Operator | None:
        """The single operator that reads a tensor, when nothing else does and it runs with the writer."""
        found = self.readers.get(name, ())
        if len(found) != 1 or name in self.kept or found[0].inputs.count(name) != 1:
            return None
        writer = self.writer.get(name)
        together = writer is not None and self.region[writer.name] is self.region[found[0].name]
        return found[0] if together else None


def fuse(graph: IntegerGraph, target: CodeTarget) -> IntegerGraph:
    """The graph with all fusions noted in its operators' attributes."""
    for run in (fold_clamps, read_moved, write_moved):
        graph = _apply(graph, run(surroundings(graph, target)))
    return join_cells(graph, target)


def surroundings(graph: IntegerGraph, target: CodeTarget) -> Surroundings:
    """Collect readers and writers."""
    writer: dict[str, Operator] = {}
    readers: dict[str, list[Operator]] = {}
    for operator in graph.operators():
        writer.update((name, operator) for name in operator.outputs)
        for name in dict.fromkeys(node_reads(operator)):
            readers.setdefault(name, []).append(operator)
    kept = {*graph.outputs, *(name for s in graph.states for name in (s.tensor, s.next))}
    for branch in graph.branches:
        kept |= {condition.predicate for condition in branch.conditions}
        kept |= {name for o in branch.outputs for name in (o.taken, o.held)}
    found = {name: tuple(operators) for name, operators in readers.items()}
    return Surroundings(graph, target, writer, found, graph.region_of(), frozenset(kept))


def fold_clamps(around: Surroundings) -> Changes:
    """A relu becomes the range of the operator before it, also through reshapes."""
    changes: Changes = {}
    for operator in around.graph.operators():
        if operator.kind != "relu":
            continue
        name, reader = operator.inputs[0], operator
        while around.only_reader(name) is reader and around.writer[name].kind == "reshape":
            reader = around.writer[name]
            name = reader.inputs[0]
        if around.only_reader(name) is not reader or around.writer[name].kind not in CLAMPING:
            continue
        before = around.writer[name]
        low = max(_integer(before, "activation_min"), _integer(operator, "activation_min"))
        high = min(_integer(before, "activation_max"), _integer(operator, "activation_max"))
        if low <= high and before.name not in changes:
            ranges: dict[str, Attribute] = {"activation_min": low, "activation_max": high}
            changes[before.name] = ranges | {"result_of": operator.name}
            changes[operator.name] = {"view": 0}
    return changes


def read_moved(around: Surroundings) -> Changes:
    """A transpose or slice becomes a view where all its readers can read with strides."""
    changes: Changes = {}
    for operator in around.graph.operators():
        found = _layout(operator, around.graph)
        if found is None:
            continue
        start, steps = found
        target = operator.outputs[0]
        readers = around.readers.get(target, ())
        if not readers or target in around.kept:
            continue
        accepted = [_reading(reader, target, start, steps, around) for reader in readers]
        if all(accepted):
            changes[operator.name] = {"view": start}
            for reader, attributes in zip(readers, accepted, strict=True):
                changes.setdefault(reader.name, {}).update(attributes)
    return changes


def write_moved(around: Surroundings) -> Changes:
    """A transpose becomes a view where a batch_matmul can write its result in that order."""
    changes: Changes = {}
    for operator in around.graph.operators():
        name = operator.inputs[0] if operator.kind == "transpose" else ""
        if "view" in operator.attributes or around.only_reader(name) is not operator:
            continue
        before = around.writer[name]
        order = _permutation(operator)
        if before.kind != "batch_matmul" or order[-1] != len(order) - 1 or before.name in changes:
            continue
        steps = [0] * len(order)
        for axis, step in zip(order, strides(around.graph.tensors[operator.outputs[0]].shape), strict=True):
            steps[axis] = step
        if _batch_step(around.graph.tensors[name].shape, steps) is not None:
            changes[before.name] = {"output_strides": tuple(steps), "result_of": operator.name}
            changes[operator.name] = {"view": 0}
    return changes


def _layout(operator: Operator, graph: IntegerGraph) -> tuple[int, tuple[int, ...]] | None:
    """Start and strides of a transpose's or slice's result inside its input."""
    if operator.kind not in ("transpose", "slice") or "view" in operator.attributes:
        return None
    shape = graph.tensors[operator.inputs[0]].shape
    steps = strides(shape)
    if operator.kind == "transpose":
        return 0, tuple(steps[axis] for axis in _permutation(operator))
    axis, begin = _integer(operator, "axis") % len(shape), _integer(operator, "begin")
    return (begin + shape[axis] if begin < 0 else begin) * steps[axis], steps


def _reading(
    reader: Operator, name: str, start: int, steps: tuple[int, ...], around: Surroundings
) -> dict[str, Attribute]:
    """Attributes with which an operator reads a moved tensor; empty when it cannot."""
    tensor, index = around.graph.tensors[name], reader.inputs.index(name)
    shape = tensor.shape
    if reader.inputs.count(name) != 1 or f"strides{index}" in reader.attributes:
        return {}
    if reader.kind == "fully_connected" and index == 0 and len(shape) > 1:
        rows = all(steps[axis] == steps[axis + 1] * shape[axis + 1] for axis in range(len(shape) - 2))
        words = 4 // ITEM_BYTES[tensor.dtype]
        aligned = start % words == 0 and steps[-2] % words == 0
        ours = around.target.kernels != "cmsis-nn" and narrow_is_proven(
            Request(reader, around.graph, around.target, "")
        )
        return {"strides0": steps} if rows and aligned and ours and steps[-1] == 1 else {}
    if reader.kind == "batch_matmul" and _batch_step(shape, steps) is not None:
        turned = index == 1 and steps[-2] == 1
        return {f"strides{index}": steps} if steps[-1] == 1 or turned else {}
    return {}


def _batch_step(shape: tuple[int, ...], steps: tuple[int, ...] | list[int]) -> int | None:
    """The step between matrices of [..., rows, columns], 0 when there is one; None when it varies."""
    outer = [(size, step) for size, step in zip(shape[:-2], steps[:-2], strict=True) if size != 1]
    for (_, step), (size, inner) in zip(outer, outer[1:], strict=False):
        if step != size * inner:
            return None
    return outer[-1][1] if outer else 0


def _permutation(operator: Operator) -> tuple[int, ...]:
    return tuple(int(axis) for axis in operator.attributes["permutation"])  # type: ignore[union-attr]


def _integer(operator: Operator, name: str) -> int:
    return int(operator.attributes[name])  # type: ignore[arg-type]


def _apply(graph: IntegerGraph, changes: Changes) -> IntegerGraph:
    def changed(operator: Operator) -> Operator:
        if operator.name not in changes:
            return operator
        return replace(operator, attributes={**operator.attributes, **changes[operator.name]})

    nodes = [
        replace(node, body=tuple(map(changed, node.body))) if isinstance(node, Branch) else changed(node)
        for node in graph.nodes
    ]
    made = graph.replace(nodes=tuple(nodes))
    assert isinstance(made, IntegerGraph)
    return made
