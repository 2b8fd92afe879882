"""depthwise_conv2d: one filter a channel: image [H, W, C] with weights [kh, kw, C].

Attributes stride, dilation (height, width), padding (top, bottom, left, right), activation. Integer meaning:
TFLite DEPTHWISE_CONV_2D, per-channel scales; the padding is real zero. int8: int32 sum, double rounding;
int16 (16x8): int64 sum and bias, multiplier cut to Q15, one rounding (``arm_depthwise_conv_s8`` / ``_s16``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.errors import GraphError
from quant.ops import linear, windows
from quant.ops.base import Attributes, Shape


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """[H, W, C] with [kh, kw, C] -> [out height, out width, C]."""
    data, weight = shapes[0], shapes[1]
    if len(weight) != 3 or data[-1] != weight[-1]:
        raise GraphError(
            f"depthwise_conv2d of input {data} with weight {weight} (must be [H, W, C] and [kh, kw, C])"
        )
    kernel = (weight[0], weight[1])
    return ((*windows.output_size("depthwise_conv2d", data, kernel, attributes), weight[2]),)


def total(data: np.ndarray, weight: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Products of each window with [kh, kw, C]."""
    found = windows.windows(data, (weight.shape[0], weight.shape[1]), attributes, 0.0)
    return np.einsum("hwijc,ijc->hwc", found, weight)


DEFINITION = linear.definition(
    "depthwise_conv2d",
    "2-D depthwise convolution (multiplier 1), optional ReLU",
    infer,
    total,
    channel_axis=2,
    macs=windows.macs,
    constraint=windows.image_and_constant_weight,
)
