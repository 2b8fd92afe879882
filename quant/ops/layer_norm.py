"""layer_norm: ``y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`` over the last axis; int16 only.

Integer meaning (ours; TFLite has no such operator). For a row ``x`` of C elements, all shifts arithmetic:

1. ``sum = Σ x`` (int32), ``d[i] = C * x[i] - sum`` (int32, below 2**26 for C <= 1024).
2. ``V = Σ d[i]**2 + epsilon`` (uint64, below 2**63); the attribute ``epsilon`` is
   ``round(eps * C**3 / input_scale**2)``, at least 1; the converter refuses one above 2**62.
3. ``r = 2**46 * 2**(s / 2) / sqrt(V)`` to about 22 bits: with ``n`` the bit length of V, ``s = n - 32``, plus
   1 if that is odd; ``m = V >> s`` (``V << -s`` where s < 0), a uint32 in [2**30, 2**32). Start from
   ``r = SEED_OFFSET - ((m * SEED_SLOPE) >> 32)`` and do three times
   ``r2 = (r * r) >> 32``; ``r = (r * (3 * 2**28 - ((m * r2) >> 32))) >> 29`` (products uint64).
4. ``u[i] = (d[i] * r + 2**(k - 1)) >> k`` with ``k = s / 2 + 16`` (1..32): normalised / sqrt(C), Q30.
5. ``y[i] = saturate16(((u[i] * gamma[i] + 2**(shift - 1)) >> shift) + beta[i])``. The int32 constants are
   ``gamma = round(g * sqrt(C) / output_scale * 2**(shift - 30))`` and ``beta = round(b / output_scale)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from quant.errors import GraphError, QuantizationError
from quant.graph import Attribute, DType, Graph, Operator, Tensor
from quant.ops.base import (
    Accumulator,
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Shape,
    Slot,
    Slots,
)

MAX_COLUMNS = 1024
SEED_OFFSET = 2330019758
"""2.17 in Q30."""
SEED_SLOPE = 1342177280
"""1.25 in Q30."""
NEWTON_STEPS = 3
LARGEST_EPSILON = 2**62
LARGEST_GAIN = 2.0**59
"""One unit of u times it saturates, and ``shift`` stays above 0."""


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[..., C] with gamma and beta of [C] -> [..., C]."""
    data = shapes[0]
    for name, shape in zip(("gamma", "beta"), shapes[1:], strict=False):
        if shape != (data[-1],):
            raise GraphError(f"layer_norm of input {data} with {name} {shape} (must be [{data[-1]}])")
    return (data,)


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    data, gamma, beta = inputs
    assert data is not None and gamma is not None and beta is not None
    centred = data - np.mean(data, axis=-1, keepdims=True)
    variance = np.mean(centred**2, axis=-1, keepdims=True)
    return (centred / np.sqrt(variance + float(attributes["epsilon"])) * gamma + beta,)  # type: ignore[arg-type]


def slots(operator: Operator, dtype: DType) -> Slots:
    """int16 in and out, scales free."""
    return Slots((Slot("int16"), None, None), (Slot("int16"),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Constants ``<name>.gamma`` and ``<name>.beta`` (int32); attributes ``epsilon`` and ``shift``."""
    operator, (output,) = request.operator, request.outputs
    data = request.inputs[0]
    assert data is not None and data.quantization is not None and output.quantization is not None
    columns = data.shape[-1]
    output_scale = output.quantization.scale[0]
    gain = request.constants[1].astype(np.float64) * math.sqrt(columns) / output_scale
    gain = np.clip(gain, -LARGEST_GAIN, LARGEST_GAIN)
    peak = max(float(np.max(np.abs(gain))), 1e-9)
    fraction = min(30, 30 - math.ceil(math.log2(peak)))
    gamma = np.round(gain * 2.0**fraction).astype(np.int32)
    limit = 2**30
    beta = np.clip(np.round(request.constants[2] / output_scale), -limit, limit).astype(np.int32)
    epsilon = _integer_epsilon(float(operator.attributes["epsilon"]), data)  # type: ignore[arg-type]
    attributes: dict[str, Attribute] = {"epsilon": epsilon, "shift": 30 + fraction}
    names = (f"{operator.name}.gamma", f"{operator.name}.beta")
    inputs = (operator.inputs[0], *names)
    made = Operator(operator.name, operator.kind, inputs, operator.outputs, attributes, operator.source)
    constants = {
        name: (Tensor(name, values.shape, "int32"), values)
        for name, values in zip(names, (gamma, beta), strict=True)
    }
    return Quantized(made, constants)


def _integer_epsilon(real: float, data: Tensor) -> int:
    """Step 2's epsilon. Raises QuantizationError where V would not fit 63 bits."""
    assert data.quantization is not None
    scale, columns = data.quantization.scale[0], data.shape[-1]
    epsilon = max(1, round(real * columns**3 / scale**2))
    if epsilon > LARGEST_EPSILON:
        smallest = 32767 * math.sqrt(real * columns**3 / LARGEST_EPSILON)
        raise QuantizationError(
            f"the input of layer_norm stays within {32767 * scale:.3g} (must reach {smallest:.3g} for "
            f"epsilon {real:g} and {columns} columns): scale it up, or make epsilon smaller"
        )
    return epsilon


def inverse_root(value: int) -> tuple[int, int]:
    """Step 3 for one V: (r, k)."""
    length = value.bit_length()
    shift = length - 32 + ((length - 32) & 1)
    mantissa = value >> shift if shift >= 0 else value << -shift
    root = SEED_OFFSET - ((mantissa * SEED_SLOPE) >> 32)
    for _ in range(NEWTON_STEPS):
        square = (root * root) >> 32
        root = (root * (3 * 2**28 - ((mantissa * square) >> 32))) >> 29
    return root, shift // 2 + 16


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    data, gamma, beta = inputs
    assert data is not None and gamma is not None and beta is not None
    columns = data.shape[-1]
    rows = data.reshape(-1, columns).astype(np.int64)
    centred = columns * rows - np.sum(rows, axis=1, keepdims=True)
    energies = np.sum(centred**2, axis=1)
    epsilon, shift = int(attributes["epsilon"]), int(attributes["shift"])  # type: ignore[arg-type]
    roots = [inverse_root(int(energy) + epsilon) for energy in energies]
    factor = np.array([root for root, _ in roots], np.int64)[:, None]
    right = np.array([bits for _, bits in roots], np.int64)[:, None]
    normal = (centred * factor + (np.int64(1) << (right - 1))) >> right
    scaled = (normal * gamma.astype(np.int64) + (np.int64(1) << np.int64(shift - 1))) >> np.int64(shift)
    result = np.clip(scaled + beta, -32768, 32767).astype(np.int16)
    return (result.reshape(data.shape),)


def accumulator(operator: Operator, graph: Graph) -> Accumulator | None:
    """V, for a row with half of its elements at each rim."""
    columns = graph.tensors[operator.inputs[0]].shape[-1]
    # Σ d² = C * (C Σ x² - (Σ x)²); elements above the mean and below it: 65535² * C * high * low
    spread = columns * (columns // 2) * (columns - columns // 2) * 65535**2
    return Accumulator(spread + int(operator.attributes["epsilon"]), 64)  # type: ignore[arg-type]


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """Two products an element (square, gamma)."""
    return 2 * tensors[operator.inputs[0]].size


def at_most_1024_columns(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """The normalised axis is the last one and has at most 1024 elements."""
    columns = tensors[operator.inputs[0]].shape[-1]
    return columns <= MAX_COLUMNS, f"{columns} elements"


DEFINITION = OperatorDefinition(
    kind="layer_norm",
    summary="layer normalisation over the last axis, int16, integer reciprocal square root",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=accumulator,
    macs=macs,
    constraints=(at_most_1024_columns,),
)
