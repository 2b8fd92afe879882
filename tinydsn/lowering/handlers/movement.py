"""Operators that only change shape or order of axes."""

from __future__ import annotations

from tinydsn.lowering.builder import Comparison, Value
from tinydsn.lowering.call import Call, Handler, axis_of, concat, reshape, transpose


def view(call: Call) -> Value:
    """Any change of shape that keeps the order of elements."""
    value = call.arguments["self"]
    if isinstance(value, Comparison):
        return Comparison(value.source, value.threshold, 0 if value.index is None else value.index)
    return reshape(call, call.to_ref(value), call.shape)


def permute(call: Call) -> Value:
    """``aten.permute``."""
    rank = len(call.shape)
    return transpose(call, call.ref("self"), [axis_of(axis, rank) for axis in call["dims"]])


def swap(call: Call) -> Value:
    """``aten.transpose`` of two axes, and ``aten.t``."""
    rank = len(call.shape)
    order = list(range(rank))
    if rank >= 2:
        first = axis_of(call.arguments.get("dim0", 0), rank)
        second = axis_of(call.arguments.get("dim1", 1), rank)
        order[first], order[second] = order[second], order[first]
    return transpose(call, call.ref("self"), order)


def expand(call: Call) -> Value:
    """A tensor repeated along axes of one element: copies put one after another."""
    value = call.ref("self")
    value = reshape(call, value, (1,) * (len(call.shape) - len(value.shape)) + value.shape)
    for axis, size in enumerate(call.shape):
        if value.shape[axis] != size:
            value = concat(call, [value] * size, axis)
    return value


def repeat(call: Call) -> Value:
    """``Tensor.repeat``: whole copies along each axis."""
    value = call.ref("self")
    counts = call["repeats"]
    value = reshape(call, value, (1,) * (len(counts) - len(value.shape)) + value.shape)
    for axis, count in enumerate(counts):
        if count > 1:
            value = concat(call, [value] * count, axis)
    return value


def repeat_interleave(call: Call) -> Value:
    """Every element along one axis several times."""
    value = call.ref("self")
    count, axis = call.arguments.get("repeats"), call.arguments.get("dim")
    if not isinstance(count, int) or axis is None:
        raise call.refuse("repeats that are not one number along one axis", "repeat_interleave(count, dim)")
    axis = axis_of(axis, len(value.shape))
    inner = reshape(call, value, (*value.shape[: axis + 1], 1, *value.shape[axis + 1 :]))
    return reshape(call, concat(call, [inner] * count, axis + 1), call.shape)


def pixel_shuffle(call: Call) -> Value:
    """``[.., C r r, H, W] -> [.., C, H r, W r]``."""
    value, factor = call.ref("self"), call["upscale_factor"]
    channels, height, width = value.shape[-3:]
    parts = reshape(call, value, (channels // factor**2, factor, factor, height, width))
    return reshape(call, transpose(call, parts, (0, 3, 1, 4, 2)), call.shape)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"),
        view,
    ),
    "permute": permute,
    **dict.fromkeys(("transpose", "t", "swapaxes"), swap),
    "expand": expand,
    "repeat": repeat,
    "repeat_interleave": repeat_interleave,
    "pixel_shuffle": pixel_shuffle,
}
