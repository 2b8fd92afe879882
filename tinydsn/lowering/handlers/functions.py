"""Functions of one operand: rectifiers, sigmoid, tanh, and the table functions."""

from __future__ import annotations

from typing import Any

import torch

from tinydsn.lowering.builder import Constant, Ref, Value
from tinydsn.lowering.call import Call, Handler, made, slice_axis
from tinydsn.lowering.handlers.elementwise import binary

# ATen name -> function of the ``table`` operator
TABLES: dict[str, str] = {
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "reciprocal": "reciprocal",
    "abs": "abs",
    "silu": "silu",
    "hardswish": "hardswish",
}


def unary(kind: str) -> Handler:
    """Handler of an operator without attributes."""

    def handler(call: Call) -> Value:
        return call.builder.emit(kind, call.ref("self"))

    return handler


def table(call: Call, function: str, value: Ref | None = None) -> Ref:
    """A table function of ``value`` (default: the first operand)."""
    return call.builder.emit("table", value or call.ref("self"), function=function, name=function)


def table_handler(function: str) -> Handler:
    """Handler of a table function without parameters."""

    def handler(call: Call) -> Value:
        return table(call, function)

    return handler


def gelu(call: Call) -> Value:
    """``aten.gelu``, the exact form."""
    if call["approximate"] != "none":
        raise call.refuse(f"approximate={call['approximate']!r} (must be 'none')", "torch.nn.GELU()")
    return table(call, "gelu")


def hardsigmoid(call: Call) -> Value:
    """``relu6(x + 3) / 6``."""
    shifted = binary(call, "add", call.ref("self"), made("three", 3.0))
    return binary(call, "mul", table(call, "relu6", call.to_ref(shifted)), made("sixth", 1 / 6))


def softplus(call: Call) -> Value:
    """``aten.softplus`` with beta 1 (torch's threshold of 20 changes nothing in float32)."""
    if call["beta"] != 1:
        raise call.refuse(f"beta {call['beta']} (must be 1)", "softplus(beta * x) / beta, written out")
    return table(call, "softplus")


def elu(call: Call) -> Value:
    """``aten.elu`` with alpha 1."""
    if (call["alpha"], call["scale"], call["input_scale"]) != (1, 1, 1):
        raise call.refuse(f"alpha {call['alpha']} (must be 1)", "torch.nn.ELU()")
    return table(call, "elu")


def power(call: Call) -> Value:
    """Roots, reciprocals and small whole powers."""
    exponent = call["exponent"]
    value = call.ref("self")
    functions = {0.5: "sqrt", -1: "reciprocal"}
    if exponent in functions:
        return table(call, functions[exponent], value)
    if exponent in (2, 3, 4):
        square = binary(call, "mul", value, value)
        if exponent == 2:
            return square
        return binary(call, "mul", square, value if exponent == 3 else square)
    raise call.refuse(f"exponent {exponent} (must be 0.5, 2, 3, 4 or -1)", "exp and log, written out")


def square(call: Call) -> Value:
    """``x * x``."""
    value = call.ref("self")
    return binary(call, "mul", value, value)


def clamp(call: Call) -> Value:
    """Clamps that the table has: from below at 0, and between 0 and 6."""
    low = _bound(call, "min", "min_val")
    high = _bound(call, "max", "max_val")
    if low == 0 and high is None:
        return call.builder.emit("relu", call.ref("self"))
    if low == 0 and high == 6:
        return relu6(call)
    raise call.refuse(f"bounds {low} and {high} (must be 0 and none, or 0 and 6)", "torch.relu or relu6")


def _bound(call: Call, *names: str) -> Any:
    """The bound under whichever name the overload has."""
    for name in names:
        if name in call.arguments:
            return call[name]
    return None


def relu6(call: Call) -> Value:
    """``min(max(x, 0), 6)``; the passes put it into the linear operator before."""
    return table(call, "relu6")


def leaky_relu(call: Call) -> Value:
    """``aten.leaky_relu``."""
    return call.builder.emit("leaky_relu", call.ref("self"), alpha=float(call["negative_slope"]))


def prelu(call: Call) -> Value:
    """``aten.prelu``: one slope is a leaky ReLU; a slope a channel is ``relu(x) + slope * (x - relu(x))``."""
    slope = call.constant("weight", "slope")
    value = call.ref("self")
    if slope.value.numel() == 1:
        return call.builder.emit("leaky_relu", value, alpha=float(slope.value))
    shape = [1] * len(value.shape)
    shape[1 if len(shape) > 1 else 0] = slope.value.numel()
    positive = call.builder.emit("relu", value)
    negative = binary(call, "sub", value, positive)
    scaled = binary(call, "mul", negative, Constant(slope.name, slope.value.reshape(shape)))
    return binary(call, "add", positive, scaled)


def glu(call: Call) -> Value:
    """``aten.glu``: the first half times the sigmoid of the second."""
    value = call.ref("self")
    axis = call["dim"] % len(value.shape)
    half = value.shape[axis] // 2
    first = slice_axis(call, value, axis, 0, half)
    gate = call.builder.emit("sigmoid", slice_axis(call, value, axis, half, 2 * half))
    return binary(call, "mul", first, gate)


def softmax(call: Call) -> Value:
    """``aten.softmax`` over any axis; the operator wants the last."""
    if call.arguments.get("dtype") not in (None, torch.float32):
        raise call.refuse(f"a cast to {call['dtype']} (must be torch.float32)")
    value = call.ref("self")
    rank = len(value.shape)
    axis = call["dim"] % rank
    swap = list(range(rank))
    swap[axis], swap[-1] = swap[-1], swap[axis]
    if axis == rank - 1:
        return call.builder.emit("softmax", value)
    moved = call.builder.emit("transpose", value, permutation=tuple(swap))
    return call.builder.emit("transpose", call.builder.emit("softmax", moved), permutation=tuple(swap))


def heaviside(call: Call) -> Value:
    """``aten.heaviside``: a step, 1 above 0; at 0 itself it must be 0."""
    if call.constant("values", "value at 0").value.any():
        raise call.refuse("a value at 0 that is not 0", "torch.heaviside(x, torch.zeros(()))")
    return call.builder.emit("step", call.ref("self"))


HANDLERS: dict[str, Handler] = {
    **{name: unary(name) for name in ("relu", "sigmoid", "tanh")},
    **{name: table_handler(function) for name, function in TABLES.items()},
    "gelu": gelu,
    "hardsigmoid": hardsigmoid,
    "softplus": softplus,
    "elu": elu,
    "pow": power,
    "square": square,
    **dict.fromkeys(("clamp", "hardtanh", "clamp_min", "hardtanh_"), clamp),
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "prelu": prelu,
    "glu": glu,
    "heaviside": heaviside,
    **dict.fromkeys(("softmax", "_softmax"), softmax),
}
