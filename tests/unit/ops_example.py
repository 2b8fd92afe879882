"""Makes one operator integer and compares its two meanings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant import ops
from quant.graph import INTEGER_RANGE, IntegerGraph, Operator, Quantization, Tensor
from quant.ops.base import QuantizeRequest


def integer(name: str, shape: tuple[int, ...], dtype: str, scale: float, zero: int = 0) -> Tensor:
    """An activation tensor."""
    return Tensor(name, shape, dtype, Quantization((scale,), zero))  # type: ignore[arg-type]


def one_operator(
    kind: str,
    inputs: Sequence[Tensor],
    output: Tensor,
    attributes: Mapping[str, object] | None = None,
    constants: Mapping[int, np.ndarray] | None = None,
) -> IntegerGraph:
    """A graph of one operator; ``constants`` are float operands by input index."""
    floats = dict(constants or {})
    names = tuple(tensor.name for tensor in inputs)
    operator = Operator("op", kind, names, (output.name,), dict(attributes or {}), "model.py:1")  # type: ignore[arg-type]
    made = ops.definition(kind).quantize(QuantizeRequest(operator, tuple(inputs), (output,), floats, 8))
    tensors = {tensor.name: tensor for index, tensor in enumerate(inputs) if index not in floats}
    tensors |= {output.name: output} | {name: tensor for name, (tensor, _) in made.constants.items()}
    values = {name: array for name, (_, array) in made.constants.items()}
    sources = tuple(tensor.name for index, tensor in enumerate(inputs) if index not in floats)
    return IntegerGraph("one", tensors, values, sources, (output.name,), (), (made.operator,))


def run(graph: IntegerGraph, *inputs: np.ndarray) -> np.ndarray:
    """The integer meaning."""
    (operator,) = graph.operators()
    values = {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}
    arguments = tuple(values[name] if name else None for name in operator.inputs)
    (result,) = ops.definition(operator.kind).reference(operator.attributes, arguments)
    return result


def to_real(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Dequantize; per-channel tensors along their axis."""
    quantization = tensor.quantization
    assert quantization is not None
    scale = np.array(quantization.scale)
    if quantization.axis is not None:
        shape = [1] * values.ndim
        shape[quantization.axis] = -1
        scale = scale.reshape(shape)
    return (values.astype(np.float64) - quantization.zero_point) * scale


def error_in_units(
    kind: str,
    inputs: Sequence[Tensor],
    output: Tensor,
    attributes: Mapping[str, object] | None = None,
    constants: Mapping[int, np.ndarray] | None = None,
    seed: int = 0,
) -> float:
    """Largest difference of the integer meaning from the float one on random inputs, in units of the output.

    The float meaning gets the dequantized inputs, weights and biases, and is cut to the output's range.
    """
    graph = one_operator(kind, inputs, output, attributes, constants)
    (operator,) = graph.operators()
    rng = np.random.default_rng(seed)
    arrays = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        low, high = INTEGER_RANGE[tensor.dtype]
        arrays[name] = rng.integers(low, high + 1, tensor.shape).astype(tensor.dtype)
    found = run(graph, *(arrays[name] for name in graph.inputs))
    assert found.dtype == np.dtype(output.dtype) and found.shape == output.shape
    reals = tuple(
        to_real({**graph.constants, **arrays}[name], graph.tensors[name])
        for name in operator.inputs
        if graph.tensors[name].quantization is not None
    )
    (expected,) = ops.definition(kind).evaluate(dict(attributes or {}), reals)  # type: ignore[arg-type]
    assert output.quantization is not None
    low, high = INTEGER_RANGE[output.dtype]
    units = np.clip(expected / output.quantization.scale[0] + output.quantization.zero_point, low, high)
    return float(np.max(np.abs(found - units)))
