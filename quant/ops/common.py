"""Small pieces that operator files share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant.errors import GraphError
from quant.graph import Attribute, Graph, Operator, Quantization, Tensor
from quant.ops.base import Accumulator, Attributes, Quantized, QuantizeRequest, Shape


def same_shape(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """Shape rule of functions of one variable."""
    return (shapes[0],)


def no_accumulator(operator: Operator, graph: Graph) -> Accumulator | None:
    """For operators that do not sum."""
    return None


def no_macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """For operators that do not multiply and accumulate."""
    return 0


def integer(attributes: Attributes, name: str) -> int:
    """An integer attribute."""
    value = attributes[name]
    assert isinstance(value, int)
    return value


def integers(attributes: Attributes, name: str) -> tuple[int, ...]:
    """A tuple attribute."""
    value = attributes[name]
    assert isinstance(value, tuple)
    return tuple(int(item) for item in value)


def quantization(tensor: Tensor | None) -> Quantization:
    """The quantization of a tensor that must have one."""
    assert tensor is not None and tensor.quantization is not None
    return tensor.quantization


def remake(
    request: QuantizeRequest,
    attributes: Mapping[str, Attribute],
    tables: Mapping[str, np.ndarray] | None = None,
) -> Quantized:
    """The integer operator: constant operands quantized, and ``tables`` appended as constant inputs.

    A constant operand becomes ``<name>.operand<index>`` with the type and scale of its tensor.
    """
    operator = request.operator
    inputs = list(operator.inputs)
    constants: dict[str, tuple[Tensor, np.ndarray]] = {}
    for index, values in request.constants.items():
        tensor = request.inputs[index]
        assert tensor is not None
        name = f"{operator.name}.operand{index}"
        scale = quantization(tensor)
        low, high = (-128, 127) if tensor.dtype == "int8" else (-32768, 32767)
        rounded = np.round(np.asarray(values, np.float64) / scale.scale[0]) + scale.zero_point
        integers_ = np.clip(rounded, low, high).astype(tensor.dtype)
        constants[name] = (Tensor(name, tensor.shape, tensor.dtype, scale), integers_)
        inputs[index] = name
    for suffix, values in (tables or {}).items():
        name = f"{operator.name}.{suffix}"
        constants[name] = (Tensor(name, values.shape, str(values.dtype)), values)  # type: ignore[arg-type]
        inputs.append(name)
    made = Operator(
        operator.name, operator.kind, tuple(inputs), operator.outputs, dict(attributes), operator.source
    )
    return Quantized(made, constants)


def repeats(a: Shape, b: Shape) -> bool:
    """Whether ``b`` equals ``a``, is its trailing axes, or has one element; with no more axes than ``a``."""
    trimmed = tuple(b)
    while trimmed and trimmed[0] == 1:
        trimmed = trimmed[1:]
    return len(b) <= len(a) and a[len(a) - len(trimmed) :] == trimmed


def broadcast(kind: str, a: Shape, b: Shape) -> Shape:
    """Shape of an elementwise operator: ``b`` equals ``a``, is its trailing axes, or has one element.

    Raises GraphError otherwise.
    """
    if repeats(a, b):
        return a
    raise GraphError(
        f"{kind} of {a} and {b} (the second must have the first's shape, its trailing axes, or one element)"
    )
