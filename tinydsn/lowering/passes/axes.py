"""Transposes, and axes of one element, moved behind concat and slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quant.graph import Attribute, Graph, Operator, Tensor
from tinydsn.lowering.passes import views
from tinydsn.lowering.passes.movement import step_of
from tinydsn.lowering.passes.rewrite import Facts, Replacement, move_name, rewrite

AXIS_KINDS = ("concat", "slice")


def sink_through_axes(graph: Graph) -> Graph:
    """``concat(T(a), T(b))`` becomes ``T(concat(a, b))``; likewise slices, and squeezes of concat."""
    return rewrite(graph, _sink)


def _sink(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind not in AXIS_KINDS:
        return None
    for name in operator.inputs:
        move = facts.producer(name, "transpose" if operator.kind == "slice" else ("transpose", "reshape"))
        if move is None:
            continue
        axes = axis_map(facts.shape(move.inputs[0]), move)
        if axes is None or (move.kind == "transpose" and not _all_move(name, facts)):
            continue
        answer = _moved(operator, move, axes, facts)
        if answer is not None:
            return answer
    return None


def _all_move(name: str, facts: Facts) -> bool:
    """Whether a transposed tensor has one reader, or only slices as readers."""
    slices = sum(name in item.inputs for item in facts.graph.operators() if item.kind == "slice")
    return facts.readers[name] == 1 or facts.readers[name] == slices


def axis_map(source: tuple[int, ...], move: Operator) -> dict[int, int] | None:
    """Axis of the result -> axis of the source; axes of one element that a reshape adds are absent."""
    kind, argument = step_of(move)
    if kind == "transpose":
        return dict(enumerate(argument))
    long_source = [axis for axis, size in enumerate(source) if size > 1]
    long_result = [axis for axis, size in enumerate(argument) if size > 1]
    if [source[axis] for axis in long_source] != [argument[axis] for axis in long_result]:
        return None
    return dict(zip(long_result, long_source, strict=True))


def _moved(operator: Operator, move: Operator, axes: dict[int, int], facts: Facts) -> Replacement | None:
    """The operator on the moves' sources and the move behind it."""
    axis = operator.attributes["axis"]
    if axis not in axes:
        return None
    attributes = {**operator.attributes, "axis": axes[axis]}  # type: ignore[index]
    inputs: list[str] = []
    extra: list[Operator] = []
    tensors: list[Tensor] = []
    constants: dict[str, np.ndarray] = {}
    for name in operator.inputs:
        back = _moved_back(operator, name, move, facts, len(extra))
        if back is None:
            return None
        inputs.append(back[0])
        extra += back[1]
        tensors += back[2]
        constants.update(back[3])
    shape = _source_shape(operator, move, axes, facts)
    inner = Tensor(facts.fresh(f"{operator.outputs[0]}.before"), shape)
    shape_after: Attribute = facts.shape(operator.outputs[0])
    after = Operator(
        facts.fresh(move_name(operator.name, move.kind), *(item.name for item in extra)),
        move.kind,
        (inner.name,),
        operator.outputs,
        {"shape": shape_after} if move.kind == "reshape" else move.attributes,
        operator.source,
    )
    before = replace(operator, inputs=tuple(inputs), outputs=(inner.name,), attributes=attributes)
    return Replacement((*extra, before, after), tensors=(inner, *tensors), constants=constants)


def _source_shape(operator: Operator, move: Operator, axes: dict[int, int], facts: Facts) -> tuple[int, ...]:
    """Shape of the operator's result before the move."""
    shape = list(facts.shape(move.inputs[0]))
    result = facts.shape(operator.outputs[0])
    for after, before in axes.items():
        shape[before] = result[after]
    return tuple(shape)


_Back = tuple[str, Sequence[Operator], Sequence[Tensor], dict[str, np.ndarray]]


def _moved_back(operator: Operator, name: str, move: Operator, facts: Facts, count: int) -> _Back | None:
    """One input as it is before the move: the source of an equal move, a constant, or a free reshape."""
    own = facts.producer(name, move.kind)
    shape = facts.shape(name)
    if move.kind == "reshape":
        return _squeezed_back(own, name, move, facts)
    permutation = step_of(move)[1]
    if own is not None and step_of(own) == step_of(move):
        return own.inputs[0], (), (), {}
    back = tuple(int(axis) for axis in np.argsort(permutation))
    value = facts.constant(name)
    if value is not None:
        fresh = facts.fresh(f"{name}.turned")
        turned = np.ascontiguousarray(value.transpose(back))
        return fresh, (), (Tensor(fresh, turned.shape),), {fresh: turned}
    view = views.extend(views.identity(shape), ("transpose", back))
    assert view is not None
    chain = views.steps(view)
    if any(kind == "transpose" for kind, _ in chain):
        return None
    turned_shape = tuple(shape[axis] for axis in back)
    fresh = facts.fresh(f"{operator.name}.turned{count}")
    reader = Operator(fresh, "reshape", (name,), (fresh,), {"shape": turned_shape}, operator.source)
    return fresh, (reader,), (Tensor(fresh, turned_shape),), {}


def _squeezed_back(own: Operator | None, name: str, move: Operator, facts: Facts) -> _Back | None:
    """An input without the axes of one element that ``move`` adds."""
    if own is None:
        return None
    first, second = facts.shape(move.inputs[0]), facts.shape(own.inputs[0])
    same = _ones(first) == _ones(second) and _ones(facts.shape(move.outputs[0])) == _ones(facts.shape(name))
    return (own.inputs[0], (), (), {}) if same and len(first) == len(second) else None


def _ones(shape: tuple[int, ...]) -> list[int]:
    """Axes of one element."""
    return [axis for axis, size in enumerate(shape) if size == 1]


def slice_before_reshape(graph: Graph) -> Graph:
    """``slice(reshape(x))`` becomes ``reshape(slice(x))`` where one axis of ``x`` holds the sliced one."""
    return rewrite(graph, _slice_first)


def _slice_first(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind != "slice":
        return None
    move = facts.producer(operator.inputs[0], "reshape")
    if move is None:
        return None
    source, result = facts.shape(move.inputs[0]), facts.shape(operator.inputs[0])
    axis, begin, end = (int(operator.attributes[key]) for key in ("axis", "begin", "end"))  # type: ignore[arg-type]
    outer = int(np.prod(result[:axis]))
    for own, size in enumerate(source):
        if int(np.prod(source[:own])) == outer and size % result[axis] == 0 and size > 1:
            inner = size // result[axis]
            span = {"axis": own, "begin": begin * inner, "end": end * inner}
            cut = (*source[:own], (end - begin) * inner, *source[own + 1 :])
            before = Tensor(facts.fresh(f"{operator.outputs[0]}.before"), cut)
            first = replace(operator, inputs=move.inputs, outputs=(before.name,), attributes=span)
            name = facts.fresh(move_name(operator.name, "reshape"), before.name)
            shape = {"shape": facts.shape(operator.outputs[0])}
            second = Operator(name, "reshape", (before.name,), operator.outputs, shape, operator.source)
            return Replacement((first, second), tensors=(before,))
    return None
