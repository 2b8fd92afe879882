"""fully_connected: ``y[..., n] = act(sum_k x[..., k] * weight[n, k] + bias[n])`` over the last axis.

Integer meaning: TFLite FULLY_CONNECTED with per-channel scales. int8: int32 accumulator and double
rounding; int16 (16x8): int64 accumulator, multiplier cut to 16 bits, one rounding shift
(CMSIS-NN ``arm_fully_connected_s8`` / ``_s16`` arithmetic, one multiplier a row).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quant.errors import GraphError
from quant.graph import Operator, Tensor
from quant.ops import linear
from quant.ops.base import Attributes, Shape


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[..., K] x [N, K] -> [..., N]."""
    data, weight = shapes[0], shapes[1]
    if len(weight) != 2 or data[-1] != weight[1]:
        raise GraphError(
            f"fully_connected of input {data} with weight {weight} (must be [..., K] and [N, K])"
        )
    return ((*data[:-1], weight[0]),)


def total(data: np.ndarray, weight: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Products of [..., K] with each row of [N, K]."""
    return data @ weight.T


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """rows * K * N."""
    data, weight = tensors[operator.inputs[0]], tensors[operator.inputs[1]]
    return data.size * weight.shape[0]


def weight_is_constant(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """The weight is a constant matrix [N, K]."""
    shape = tensors[operator.inputs[1]].shape
    return len(shape) == 2, f"weight of shape {shape}"


DEFINITION = linear.definition(
    "fully_connected",
    "matrix times vectors over the last axis, per-channel weights, optional ReLU",
    infer,
    total,
    channel_axis=0,
    macs=macs,
    constraint=weight_is_constant,
)
