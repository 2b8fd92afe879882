"""gru_update: what follows the two matrix products of a GRU (torch's order of gates: reset, update, new).

``r = sigmoid(gx_r + gh_r)``, ``z = sigmoid(gx_z + gh_z)``, ``n = tanh(gx_n + r * gh_n)``,
``h' = n + z * (h - n)``, with gx, gh of [rows, 3 H] and h of [rows, H].

Integer meaning (ours), all int16: gx and gh share one power-of-two scale, 2**-12 or coarser, so that large
products of input and weights do not saturate before they are summed; h and h' are Q15. Sums saturate to
int16; ``multiplier`` (3 << left shift; 3 for Q3.12) brings them to three times Q3.12 for CMSIS-NN's int16
sigmoid and tanh; products with Q15 are rounded, ``(a * b + 2**14) >> 15``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant.errors import GraphError
from quant.graph import DType, Operator, Quantization, Tensor
from quant.ops.activation_tables import sigmoid_q15, tanh_q15
from quant.ops.base import (
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Shape,
    Slot,
    Slots,
)
from quant.ops.common import no_accumulator, quantization, remake
from quant.ops.pointwise import to_tripled_q12

FINEST_SCALE = 2.0**-12
Q15 = Quantization((2.0**-15,), 0)


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[rows, 3 H] twice and [rows, H] -> [rows, H]."""
    gx, gh, state = shapes
    if gx != gh or gx != (*state[:-1], 3 * state[-1]):
        raise GraphError(f"gru_update of {gx}, {gh}, {state} (must be [rows, 3 H], [rows, 3 H], [rows, H])")
    return (state,)


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    gx, gh, state = inputs
    assert gx is not None and gh is not None and state is not None
    xr, xz, xn = np.split(gx, 3, -1)
    hr, hz, hn = np.split(gh, 3, -1)
    reset = 1 / (1 + np.exp(-np.clip(xr + hr, -60, 60)))
    update = 1 / (1 + np.exp(-np.clip(xz + hz, -60, 60)))
    new = np.tanh(xn + reset * hn)
    return (new + update * (state - new),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """gx and gh one power-of-two scale, state and output Q15."""
    gate = Slot("int16", power_of_two=True, smallest=FINEST_SCALE)
    return Slots((gate, gate, Slot("int16", Q15)), (Slot("int16", Q15),), ((("in", 0), ("in", 1)),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attribute ``multiplier``."""
    scaling = to_tripled_q12(quantization(request.inputs[0]).scale[0])
    return remake(request, {"multiplier": scaling["multiplier"]})


def _saturate(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -32768, 32767)


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    gx, gh, state = (None if item is None else item.astype(np.int64) for item in inputs)
    assert gx is not None and gh is not None and state is not None
    multiplier = int(attributes.get("multiplier", 3))  # type: ignore[arg-type]
    xr, xz, xn = np.split(gx, 3, -1)
    hr, hz, hn = np.split(gh, 3, -1)
    reset = sigmoid_q15(multiplier * _saturate(xr + hr))
    update = sigmoid_q15(multiplier * _saturate(xz + hz))
    new = tanh_q15(multiplier * _saturate(xn + ((reset * hn + (1 << 14)) >> 15)))
    moved = (update * (state - new) + (1 << 14)) >> 15
    return (_saturate(new + moved).astype(np.int16),)


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """Two products an element of the state."""
    return 2 * tensors[operator.inputs[2]].size


DEFINITION = OperatorDefinition(
    kind="gru_update",
    summary="gates and state update of a GRU cell, int16",
    infer=infer,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=macs,
)
