"""Layer norm, and batch norm in eval mode (a product and a sum, which the passes put into weights)."""

from __future__ import annotations

import math

import torch

from tinydsn.lowering.builder import Constant, Value
from tinydsn.lowering.call import Call, Handler, made, reshape
from tinydsn.lowering.handlers.elementwise import binary
from tinydsn.lowering.names import owner


def layer_norm(call: Call) -> Value:
    """Over the last axis; several normalised axes become one."""
    value = call.ref("input")
    count = math.prod(call["normalized_shape"])
    weight = call.optional_constant("weight", "weight") or made(f"ones_{count}", torch.ones(count))
    bias = call.optional_constant("bias", "bias") or made(f"zeros_{count}", torch.zeros(count))
    leading = value.shape[: len(value.shape) - len(call["normalized_shape"])]
    rows = reshape(call, value, (*leading, count))
    gamma = Constant(weight.name, weight.value.reshape(count))
    beta = Constant(bias.name, bias.value.reshape(count))
    path = None if call["weight"] is None else owner(weight.name)
    result = call.builder.emit("layer_norm", rows, gamma, beta, path=path, epsilon=float(call["eps"]))
    return reshape(call, result, value.shape)


def batch_norm(call: Call) -> Value:
    """``x * scale + shift`` along axis 1 (axis 0 of a vector), from the running mean and variance."""
    if call.arguments.get("training"):
        raise call.refuse("batch norm in training mode", "module.eval()")
    value = call.ref("input")
    mean, variance = call.constant("running_mean", "mean"), call.constant("running_var", "variance")
    weight, bias = call.optional_constant("weight", "weight"), call.optional_constant("bias", "bias")
    scale = torch.rsqrt(variance.value + call["eps"])
    if weight is not None:
        scale = scale * weight.value
    shift = -mean.value * scale + (0 if bias is None else bias.value)
    shape = [1] * len(value.shape)
    shape[1 if len(shape) > 1 else 0] = scale.numel()
    path = owner(mean.name.replace("running_mean", "weight"))
    scaled = binary(call, "mul", value, Constant(f"{path}.scale", scale.reshape(shape)))
    return binary(call, "add", scaled, Constant(f"{path}.shift", shift.reshape(shape)))


def native_batch_norm(call: Call) -> tuple[Value, ...]:
    """As ``batch_norm``; the other two outputs are empty in eval mode."""
    empty = made("empty", torch.zeros(0))
    return batch_norm(call), empty, empty


HANDLERS: dict[str, Handler] = {
    "layer_norm": layer_norm,
    "batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": native_batch_norm,
}
