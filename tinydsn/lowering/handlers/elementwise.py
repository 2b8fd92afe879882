"""Sums, differences and products, with torch's broadcasting."""

from __future__ import annotations

import math
from typing import Any

import torch

from tinydsn.lowering.builder import Comparison, Constant, Ref, Shape, Value
from tinydsn.lowering.call import Call, Handler, axis_last, inverse, made, reshape, transpose

_GATE = "torch.cond(logits[k] > threshold, taken, skipped, operands)"


def as_value(call: Call, value: Any, name: str = "constant") -> Value:
    """A Python number becomes a constant of one element."""
    if isinstance(value, (int, float)):
        return made(f"{name}_{value:g}", float(value))
    if isinstance(value, Comparison):
        raise call.refuse("a decision is used as a number", _GATE)
    return value


def binary(call: Call, kind: str, first: Value, second: Value) -> Value:
    """``first kind second`` where at least one changes from frame to frame.

    The table's operators take two equal shapes, or a second operand that lacks leading axes or has one
    element. Other broadcasts move the axes that both have behind the others.
    """
    if _must_swap(first, second):
        if kind == "sub":
            first, second, kind = negate(call, second), first, "add"
        else:
            first, second = second, first
    shape = torch.broadcast_shapes(first.shape, second.shape)
    large = call.to_ref(first)
    if math.prod(large.shape) != math.prod(shape):
        raise call.refuse(
            f"shapes {first.shape} and {second.shape} broadcast both ways (one must have all axes)",
            "operands of which one has the shape of the result",
        )
    large = reshape(call, large, tuple(shape))
    if math.prod(second.shape) == math.prod(large.shape):
        return _emit(call, kind, large, _reshaped(call, second, large.shape))
    if math.prod(second.shape) == 1:
        return _emit(call, kind, large, _reshaped(call, second, (1,)))
    return _broadcast(call, kind, large, second)


def _emit(call: Call, kind: str, first: Ref, second: Value) -> Ref:
    """The operator with its default attributes."""
    if kind == "mul":
        return call.builder.emit(kind, first, second)
    return call.builder.emit(kind, first, second, activation="none")


def _broadcast(call: Call, kind: str, large: Ref, small: Value) -> Ref:
    """``small`` is stretched along some axes of ``large``; those become the leading ones."""
    rank = len(large.shape)
    padded = (1,) * (rank - len(small.shape)) + tuple(small.shape)
    shared = [axis for axis in range(rank) if padded[axis] > 1]
    begin = min(shared)
    if all(padded[axis] == large.shape[axis] for axis in range(begin, rank)):
        return _emit(call, kind, large, _reshaped(call, small, padded[begin:]))
    order = axis_last(rank, shared)
    trailing = _reshaped(call, small, tuple(padded[axis] for axis in shared))
    moved = _emit(call, kind, transpose(call, large, order), trailing)
    return transpose(call, moved, inverse(order))


def _reshaped(call: Call, value: Value, shape: Shape) -> Value:
    """A constant or tensor in another shape."""
    if isinstance(value, Constant):
        return Constant(value.name, value.value.reshape(shape))
    return reshape(call, call.to_ref(value), shape)


def _must_swap(first: Value, second: Value) -> bool:
    """Whether ``second`` must come first: it is the larger one, or the one that is not constant."""
    sizes = math.prod(first.shape), math.prod(second.shape)
    return sizes[0] < sizes[1] or (sizes[0] == sizes[1] and isinstance(first, Constant))


def negate(call: Call, value: Value) -> Value:
    """``-x``."""
    return binary(call, "mul", value, made("minus_one", -1.0))


def _scaled(call: Call, value: Value) -> Value:
    """``alpha * value`` of ``add`` and ``sub``."""
    alpha = call.arguments.get("alpha", 1)
    if alpha == 1:
        return value
    if isinstance(value, Constant):
        return Constant(f"{value.name}.scaled", value.value * alpha)
    return binary(call, "mul", value, made(f"alpha_{alpha:g}", float(alpha)))


def add(call: Call) -> Value:
    """``self + alpha * other``."""
    return binary(call, "add", as_value(call, call["self"]), _scaled(call, as_value(call, call["other"])))


def sub(call: Call) -> Value:
    """``self - alpha * other``; a constant is added with its sign changed."""
    other = _scaled(call, as_value(call, call["other"]))
    if isinstance(other, Constant):
        negative = Constant(f"{other.name}.negative", -other.value)
        return binary(call, "add", as_value(call, call["self"]), negative)
    return binary(call, "sub", as_value(call, call["self"]), other)


def rsub(call: Call) -> Value:
    """``other - alpha * self``."""
    return binary(call, "sub", as_value(call, call["other"]), _scaled(call, as_value(call, call["self"])))


def mul(call: Call) -> Value:
    """``self * other``."""
    return binary(call, "mul", as_value(call, call["self"]), as_value(call, call["other"]))


def neg(call: Call) -> Value:
    """``-self``."""
    return negate(call, as_value(call, call["self"]))


def div(call: Call) -> Value:
    """``self / other``: a product with the reciprocal."""
    if call.arguments.get("rounding_mode"):
        raise call.refuse("a rounded division", "torch.div without rounding_mode")
    other = as_value(call, call["other"])
    upside: Value
    if isinstance(other, Constant):
        upside = Constant(f"{other.name}.reciprocal", 1.0 / other.value.to(torch.float32))
    else:
        upside = call.builder.emit("table", call.to_ref(other), function="reciprocal", name="reciprocal")
    return binary(call, "mul", as_value(call, call["self"]), upside)


def addcmul(call: Call) -> Value:
    """``self + value * tensor1 * tensor2``."""
    factor = binary(call, "mul", call["tensor1"], call["tensor2"])
    if call["value"] != 1:
        factor = binary(call, "mul", factor, made(f"value_{call['value']:g}", float(call["value"])))
    return binary(call, "add", call["self"], factor)


def lerp(call: Call) -> Value:
    """``self + weight * (end - self)``."""
    difference = binary(call, "sub", call["end"], call["self"])
    return binary(call, "add", call["self"], binary(call, "mul", difference, as_value(call, call["weight"])))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("add", "add_"), add),
    "sub": sub,
    "rsub": rsub,
    "mul": mul,
    "neg": neg,
    "div": div,
    "addcmul": addcmul,
    "lerp": lerp,
}
