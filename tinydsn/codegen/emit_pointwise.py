"""Elementwise operators: sums, products, activations, tables, change of scale."""

from __future__ import annotations

from tinydsn.codegen.affine import scale_line, sum_line
from tinydsn.codegen.call import Call, Request

CLAMP = "tinydsn_clamp"


def _sum(request: Request, verb: str) -> Call:
    sizes = {"b_size": request.input(1).size, "verb": verb}
    limits = {"low": request.integer("activation_min"), "high": request.integer("activation_max")}
    wide, scaled = request.output.dtype == "int16", "left_shift" in request.operator.attributes
    if wide and not scaled:
        return Call("add", {**sizes, **limits, "scaled": False}, kernels=("tinydsn_add_s16", CLAMP))
    names = [f"{name}{number}" for number in (1, 2) for name in ("offset", "multiplier", "shift")]
    names += ["left_shift", "output_offset", "output_multiplier", "output_shift"]
    fields = {name: request.integer(name) for name in names} | limits
    if wide:
        return Call("add", {**sizes, "fields": fields, "scaled": True}, kernels=("tinydsn_add_scaled_s16",))
    plain = verb == "add" and request.input(1).size == request.output.size
    theirs = {"auto": request.target.mve, "tinydsn": False, "cmsis-nn": True}[request.target.kernels]
    kernels = () if plain and theirs else ("tinydsn_add_s8", CLAMP)
    fields |= sum_line(request, 1 if verb == "add" else -1)
    values = {**sizes, "fields": fields, "cmsis": plain and theirs, "scaled": True}
    return Call("add", values, kernels=kernels)


def add(request: Request) -> Call:
    """int16: saturating sum, or ``tinydsn_add_scaled_s16`` for several scales. int8: ours, with a third of
    the instructions of CMSIS-NN's; but with MVE ``arm_elementwise_add_s8`` where b does not repeat."""
    return _sum(request, "add")


def sub(request: Request) -> Call:
    """As add, with a difference; int8 is ours always (CMSIS-NN has none)."""
    return _sum(request, "sub")


def mul(request: Request) -> Call:
    """CMSIS-NN ``arm_elementwise_mul_s8`` / ``_s16``, or ours where b repeats."""
    names = ("offset1", "offset2", "output_offset", "multiplier", "shift")
    fields = {name: request.integer(name) for name in names}
    fields |= {"low": request.integer("activation_min"), "high": request.integer("activation_max")}
    plain = request.input(1).size == request.output.size
    values = {"fields": fields, "b_size": request.input(1).size, "cmsis": plain}
    return Call("mul", values, kernels=() if plain else ("tinydsn_mul",))


def sigmoid(request: Request) -> Call:
    """int16: ``tinydsn_sigmoid_s16``; int8: a table."""
    return _activation(request, "sigmoid")


def tanh(request: Request) -> Call:
    """int16: ``tinydsn_tanh_s16``; int8: a table."""
    return _activation(request, "tanh")


def _activation(request: Request, function: str) -> Call:
    if request.output.dtype == "int8":
        return table(request)
    values = {
        "function": function,
        "multiplier": request.integer("multiplier"),
        "right_shift": request.integer("right_shift"),
    }
    return Call("activation", values, kernels=("tinydsn_activation_s16", "tinydsn_activation_table"))


def table(request: Request) -> Call:
    """``tinydsn_table_s8`` or ``tinydsn_table_s16``; the table is the operator's second input."""
    return Call("table", kernels=("tinydsn_table",))


def requantize(request: Request) -> Call:
    """``tinydsn_requantize_<from>_<to>``."""
    names = ("input_offset", "output_offset", "multiplier", "shift")
    source = "s16" if request.input().dtype == "int16" else "s8"
    fields = {**{name: request.integer(name) for name in names}, **scale_line(request)}
    return Call("requantize", {"fields": fields, "source": source}, kernels=("tinydsn_requantize",))


def relu(request: Request) -> Call:
    """``tinydsn_clamp_s8`` / ``_s16``."""
    values = {"low": request.integer("activation_min"), "high": request.integer("activation_max")}
    return Call("relu", values, kernels=(CLAMP,))


def leaky_relu(request: Request) -> Call:
    """``tinydsn_leaky_relu_s8`` / ``_s16``."""
    names = ["input_offset", "output_offset"]
    names += [f"{what}_{side}" for side in ("identity", "alpha") for what in ("multiplier", "shift")]
    fields = {name: request.integer(name) for name in names}
    return Call("leaky_relu", {"fields": fields}, kernels=("tinydsn_leaky_relu",))
