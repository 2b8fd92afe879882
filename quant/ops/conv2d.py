"""conv2d: convolution over an image [H, W, C] with weights [O, kh, kw, C].

Attributes stride, dilation (height, width), padding (top, bottom, left, right), activation. Integer meaning:
TFLite CONV_2D, per-channel scales; the padding is real zero. int8: int32 sum, double rounding;
int16 (16x8): int64 sum and bias, multiplier cut to Q15, one rounding (``arm_convolve_s8`` / ``_s16``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.errors import GraphError
from quant.ops import linear, windows
from quant.ops.base import Attributes, Shape


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[H, W, C] with [O, kh, kw, C] -> [out height, out width, O]."""
    data, weight = shapes[0], shapes[1]
    if len(weight) != 4 or data[-1] != weight[-1]:
        raise GraphError(
            f"conv2d of input {data} with weight {weight} (must be [H, W, C] and [O, kh, kw, C])"
        )
    kernel = (weight[1], weight[2])
    return ((*windows.output_size("conv2d", data, kernel, attributes), weight[0]),)


def total(data: np.ndarray, weight: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Products of each window with [O, kh, kw, C]."""
    found = windows.windows(data, (weight.shape[1], weight.shape[2]), attributes, 0.0)
    rows = found.reshape(*found.shape[:2], -1)
    return rows @ weight.reshape(weight.shape[0], -1).T


DEFINITION = linear.definition(
    "conv2d",
    "2-D convolution, per-channel weights, optional ReLU",
    infer,
    total,
    channel_axis=0,
    macs=windows.macs,
    constraint=windows.image_and_constant_weight,
)
