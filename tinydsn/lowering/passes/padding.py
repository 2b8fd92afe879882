"""Padding with zeros: brought to the convolution that it is for, and into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quant.graph import Attribute, Graph, Operator, Tensor
from tinydsn.lowering.passes.axes import axis_map
from tinydsn.lowering.passes.movement import MOVES
from tinydsn.lowering.passes.rewrite import Facts, Replacement, changed, rewrite


def fold_padding(graph: Graph) -> Graph:
    """Zeros padded to height and width go into the convolution's own padding."""
    return rewrite(graph, _fold_padding)


def _fold_padding(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind not in ("conv2d", "depthwise_conv2d", "binary_conv2d"):
        return None
    pad = facts.producer(operator.inputs[0], "pad")
    if pad is None:
        return None
    before, after = pad.attributes["before"], pad.attributes["after"]
    assert isinstance(before, tuple) and isinstance(after, tuple)
    if len(before) != 3 or before[2] or after[2]:
        return None
    own = operator.attributes["padding"]
    assert isinstance(own, tuple)
    extra = (before[0], after[0], before[1], after[1])
    padding = tuple(int(a + b) for a, b in zip(own, extra, strict=True))
    inputs = (pad.inputs[0], *operator.inputs[1:])
    return Replacement((replace(changed(operator, padding=padding), inputs=inputs),))


def sink_pads(graph: Graph) -> Graph:
    """``move(pad(x))`` becomes ``pad(move(x))``, so that moves meet each other and pads their convolution."""
    return rewrite(graph, _sink_pad)


def _sink_pad(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind not in MOVES:
        return None
    pad = facts.producer(operator.inputs[0], "pad")
    if pad is None or not facts.only_reader_here(pad, operator):
        return None
    axes = axis_map(facts.shape(operator.inputs[0]), operator)
    result, source = facts.shape(operator.outputs[0]), facts.shape(pad.inputs[0])
    padded = [axis for axis in range(len(source)) if _amounts(pad, axis) != (0, 0)]
    if axes is None or not set(padded) <= set(axes.values()):
        return None
    amounts = [_amounts(pad, axes[axis]) if axis in axes else (0, 0) for axis in range(len(result))]
    shape = tuple(source[axes[axis]] if axis in axes else size for axis, size in enumerate(result))
    inner = Tensor(facts.fresh(f"{operator.outputs[0]}.before"), shape)
    moved: Mapping[str, Attribute] = operator.attributes if operator.kind == "transpose" else {"shape": shape}
    first = replace(operator, inputs=pad.inputs, outputs=(inner.name,), attributes=moved)
    before, after = (tuple(amount[side] for amount in amounts) for side in (0, 1))
    second = replace(changed(pad, before=before, after=after), inputs=(inner.name,), outputs=operator.outputs)
    return Replacement((first, second), tensors=(inner,), absorbed=pad.name)


def _amounts(pad: Operator, axis: int) -> tuple[int, int]:
    """Zeros before and after an axis."""
    before, after = pad.attributes["before"], pad.attributes["after"]
    assert isinstance(before, tuple) and isinstance(after, tuple)
    return int(before[axis]), int(after[axis])
