"""Pointwise arithmetic that goes into the operator before it: activations, factors and offsets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.graph import Graph, Operator, Tensor
from tinydsn.lowering.passes.rewrite import Facts, Replacement, changed, rewrite

LINEAR = ("fully_connected", "conv2d", "depthwise_conv2d")


def fuse_activations(graph: Graph) -> Graph:
    """relu into the linear operator, sum or difference before it, which nothing else reads."""
    return rewrite(graph, _fuse_activation)


def _fuse_activation(operator: Operator, facts: Facts) -> Replacement | None:
    activation = "relu" if operator.kind == "relu" else "relu6" if is_relu6(operator) else ""
    before = facts.producer(operator.inputs[0], LINEAR if activation == "relu6" else (*LINEAR, "add", "sub"))
    if not activation or before is None or not facts.only_reader_here(before, operator):
        return None
    if before.attributes["activation"] != "none":
        return Replacement(alias=before.outputs[0]) if activation == "relu" else None
    fused = replace(changed(before, activation=activation), outputs=operator.outputs)
    return Replacement((fused,), absorbed=before.name)


def is_relu6(operator: Operator) -> bool:
    """Lowering writes relu6 as a table function, until it finds a linear operator to go into."""
    return operator.kind == "table" and operator.attributes["function"] == "relu6"


def fuse_steps(graph: Graph) -> Graph:
    """A step into the convolution before it, which nothing else reads: ``binary_conv2d``."""
    return rewrite(graph, _fuse_step)


def _fuse_step(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind != "step":
        return None
    before = facts.producer(operator.inputs[0], "conv2d")
    if before is None or not facts.only_reader_here(before, operator):
        return None
    if before.attributes["activation"] != "none":
        return None
    kept = {name: before.attributes[name] for name in ("stride", "dilation", "padding")}
    fused = replace(before, kind="binary_conv2d", attributes=kept, outputs=operator.outputs)
    return Replacement((fused,), absorbed=before.name)


def expand_relu6(graph: Graph) -> Graph:
    """A relu6 that found no linear operator: ``relu6(x) = 6 - relu(6 - relu(x))``."""
    return rewrite(graph, _expand_relu6)


def _expand_relu6(operator: Operator, facts: Facts) -> Replacement | None:
    if not is_relu6(operator):
        return None
    shape = facts.shape(operator.inputs[0])
    six, minus = facts.fresh("six"), facts.fresh("minus_one")
    plan = (("relu", ""), ("mul", minus), ("add", six), ("relu", ""), ("mul", minus), ("add", six))
    operators: list[Operator] = []
    name, taken = operator.inputs[0], [six, minus]
    for position, (kind, second) in enumerate(plan):
        last = position == len(plan) - 1
        unique = operator.name if last else facts.fresh(f"{operator.name}.{kind}", *taken)
        taken.append(unique)
        output = operator.outputs[0] if last else unique
        inputs = (name, second) if second else (name,)
        attributes = {"activation": "none"} if kind == "add" else {}
        operators.append(Operator(unique, kind, inputs, (output,), attributes, operator.source))
        name = output
    tensors = [Tensor(item.outputs[0], shape) for item in operators]
    constants = {six: np.full(1, 6, np.float32), minus: np.full(1, -1, np.float32)}
    tensors += [Tensor(item, (1,)) for item in constants]
    return Replacement(tuple(operators), tensors=tuple(tensors), constants=constants)


def fold_affine(graph: Graph) -> Graph:
    """Products and sums with constants, right behind a linear operator, go into its weights and bias."""
    return rewrite(graph, _fold_affine)


def _fold_affine(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind not in ("add", "mul") or operator.attributes.get("activation", "none") != "none":
        return None
    before = facts.producer(operator.inputs[0], LINEAR)
    factor = facts.constant(operator.inputs[1])
    if before is None or factor is None or not facts.only_reader_here(before, operator):
        return None
    weight = facts.constant(before.inputs[1])
    channels = facts.shape(before.outputs[0])[-1]
    if before.attributes.get("activation") != "none" or weight is None or factor.size not in (1, channels):
        return None
    if factor.size == channels > 1 and factor.ndim != 1:
        return None
    bias = facts.constant(before.inputs[2]) if before.inputs[2] else np.zeros(channels, np.float32)
    if bias is None:
        return None
    values = np.broadcast_to(factor.reshape(-1), (channels,)).astype(np.float32)
    if operator.kind == "mul":
        weight, bias = _scaled(before, weight, values), bias * values
    else:
        bias = bias + values
    return _with_weights(before, operator, weight, bias, facts)


def _scaled(linear: Operator, weight: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """A weight times a factor for each output channel (a depthwise weight's last axis, else the first)."""
    if linear.kind == "depthwise_conv2d":
        return weight * factor
    return weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))


def _with_weights(
    before: Operator, operator: Operator, weight: np.ndarray, bias: np.ndarray, facts: Facts
) -> Replacement:
    """``before`` with other constants, in the place of ``operator``."""
    constants: dict[str, np.ndarray] = {}
    for index, value, leaf in ((1, weight, "weight"), (2, bias, "bias")):
        old = facts.constant(before.inputs[index]) if before.inputs[index] else None
        if old is None and not value.any():
            continue
        name = before.inputs[index]
        alone = bool(name) and facts.readers[name] == 1
        kept = name if alone else facts.fresh(name or f"{before.name}.{leaf}")
        constants[kept] = np.ascontiguousarray(value)
    names = list(constants)
    inputs = (before.inputs[0], names[0], names[1] if len(names) > 1 else "")
    merged = replace(before, inputs=inputs, outputs=operator.outputs)
    tensors = tuple(Tensor(name, value.shape) for name, value in constants.items())
    return Replacement((merged,), tensors=tensors, constants=constants, absorbed=before.name)
