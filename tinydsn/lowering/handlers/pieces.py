"""Parts of tensors, and tensors made of parts: slices, splits, concatenations, padding, rolls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinydsn.lowering.builder import Comparison, Ref, Value
from tinydsn.lowering.call import Call, Handler, axis_of, concat, reshape, slice_axis


def _bounds(call: Call, size: int) -> tuple[int, int]:
    """Begin and end of a slice, as torch reads them."""
    begin = call["start"] or 0
    end = size if call["end"] is None else call["end"]
    if call["step"] != 1:
        raise call.refuse(f"step {call['step']} (must be 1)", "a reshape and a slice with step 1")
    begin = max(begin + size, 0) if begin < 0 else min(begin, size)
    end = max(end + size, 0) if end < 0 else min(end, size)
    return begin, max(end, begin)


def take(call: Call) -> Value:
    """``aten.slice`` with step 1."""
    value = call.ref("self")
    axis = axis_of(call["dim"], len(value.shape))
    begin, end = _bounds(call, value.shape[axis])
    if begin == end:
        raise call.refuse(f"an empty slice [{begin}:{end}] of axis {axis}", "slices of at least one element")
    return slice_axis(call, value, axis, begin, end)


def narrow(call: Call) -> Value:
    """``aten.narrow``."""
    value = call.ref("self")
    axis = axis_of(call["dim"], len(value.shape))
    begin = call["start"] % value.shape[axis]
    return slice_axis(call, value, axis, begin, begin + call["length"])


def select(call: Call) -> Value:
    """``x[.., k, ..]``; of a comparison, the decision k."""
    value = call["self"]
    index = call["index"]
    if isinstance(value, Comparison):
        if len(value.shape) != 1:
            raise call.refuse("comparisons of more than one axis", "logits of shape [gates]")
        return Comparison(value.source, value.threshold, index % value.shape[0])
    value = call.to_ref(value)
    axis = axis_of(call["dim"], len(value.shape))
    return _drop(call, value, axis, index % value.shape[axis])


def _drop(call: Call, value: Ref, axis: int, index: int) -> Ref:
    """One index of an axis, without the axis."""
    piece = slice_axis(call, value, axis, index, index + 1)
    return reshape(call, piece, (*value.shape[:axis], *value.shape[axis + 1 :]))


def split(call: Call) -> tuple[Value, ...]:
    """``split`` and ``split_with_sizes``: parts of given sizes."""
    value = call.ref("self")
    axis = axis_of(call["dim"], len(value.shape))
    sizes: Any = call.arguments.get("split_sizes", call.arguments.get("split_size"))
    total = value.shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - begin) for begin in range(0, total, sizes)]
    return _cut(call, value, axis, sizes)


def chunk(call: Call) -> tuple[Value, ...]:
    """``chunk``: a number of parts of equal size, the last one possibly smaller."""
    value = call.ref("self")
    axis = axis_of(call["dim"], len(value.shape))
    total = value.shape[axis]
    size = -(-total // call["chunks"])
    return _cut(call, value, axis, [min(size, total - begin) for begin in range(0, total, size)])


def _cut(call: Call, value: Ref, axis: int, sizes: Sequence[int]) -> tuple[Value, ...]:
    """Consecutive parts."""
    parts, begin = [], 0
    for size in sizes:
        parts.append(slice_axis(call, value, axis, begin, begin + size))
        begin += size
    return tuple(parts)


def unbind(call: Call) -> tuple[Value, ...]:
    """Every index of an axis, without the axis."""
    value = call["self"]
    if isinstance(value, Comparison) and len(value.shape) == 1:
        return tuple(Comparison(value.source, value.threshold, k) for k in range(value.shape[0]))
    value = call.to_ref(value)
    axis = axis_of(call["dim"], len(value.shape))
    return tuple(_drop(call, value, axis, index) for index in range(value.shape[axis]))


def cat(call: Call) -> Value:
    """``aten.cat``."""
    return concat(call, call["tensors"], axis_of(call["dim"], len(call.shape)))


def stack(call: Call) -> Value:
    """``aten.stack``: a concatenation along a new axis."""
    axis = axis_of(call["dim"], len(call.shape))
    part = (*call.shape[:axis], 1, *call.shape[axis + 1 :])
    return concat(call, [reshape(call, call.to_ref(value), part) for value in call["tensors"]], axis)


def pad(call: Call) -> Value:
    """Padding with zeros (torch's list goes from the last axis to the first); negative padding cuts."""
    value = call.ref("self")
    if call.arguments.get("mode", "constant") != "constant" or call.arguments.get("value") not in (None, 0):
        raise call.refuse("padding with something else than zeros", "torch.nn.functional.pad with zeros")
    rank = len(value.shape)
    before, after = [0] * rank, [0] * rank
    for position, amount in enumerate(call["pad"]):
        (after if position % 2 else before)[rank - 1 - position // 2] = amount
    for axis in range(rank):
        begin, end = max(0, -before[axis]), value.shape[axis] - max(0, -after[axis])
        value = slice_axis(call, value, axis, begin, end)
    before, after = [max(0, amount) for amount in before], [max(0, amount) for amount in after]
    if not any(before) and not any(after):
        return value
    return call.builder.emit("pad", value, before=tuple(before), after=tuple(after))


def roll(call: Call) -> Value:
    """``aten.roll``: each shift is two slices put together again."""
    value = call.ref("self")
    axes = call["dims"]
    if not axes:
        raise call.refuse("no axes", "torch.roll with dims")
    for shift, dim in zip(call["shifts"], axes, strict=True):
        axis = axis_of(dim, len(value.shape))
        size = value.shape[axis]
        cut = -shift % size
        if cut:
            tail, head = slice_axis(call, value, axis, cut, size), slice_axis(call, value, axis, 0, cut)
            value = concat(call, [tail, head], axis)
    return value


def slice_scatter(call: Call) -> Value:
    """``x[begin:end] = src`` along an axis: what stands before, ``src``, what stands after."""
    value, source = call.ref("self"), call.ref("src")
    axis = axis_of(call["dim"], len(value.shape))
    begin, end = _bounds(call, value.shape[axis])
    return _replace(call, value, source, axis, begin, end)


def select_scatter(call: Call) -> Value:
    """``x[k] = src`` along an axis."""
    value, source = call.ref("self"), call.ref("src")
    axis = axis_of(call["dim"], len(value.shape))
    index = call["index"] % value.shape[axis]
    piece = reshape(call, source, (*value.shape[:axis], 1, *value.shape[axis + 1 :]))
    return _replace(call, value, piece, axis, index, index + 1)


def _replace(call: Call, value: Ref, source: Ref, axis: int, begin: int, end: int) -> Ref:
    """``value`` with [begin:end] of an axis replaced."""
    size = value.shape[axis]
    parts = [slice_axis(call, value, axis, 0, begin)] if begin else []
    parts.append(source)
    parts += [slice_axis(call, value, axis, end, size)] if end < size else []
    return concat(call, parts, axis)


HANDLERS: dict[str, Handler] = {
    "slice": take,
    "narrow": narrow,
    "select": select,
    **dict.fromkeys(("split", "split_with_sizes"), split),
    "chunk": chunk,
    "unbind": unbind,
    **dict.fromkeys(("cat", "concat"), cat),
    "stack": stack,
    **dict.fromkeys(("constant_pad_nd", "pad"), pad),
    "roll": roll,
    "slice_scatter": slice_scatter,
    "select_scatter": select_scatter,
}
