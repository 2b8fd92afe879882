"""What conv2d and depthwise_conv2d share: the window over an image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quant.errors import GraphError
from quant.graph import Operator, Tensor
from quant.ops.base import Attributes, Shape
from quant.ops.common import integers


def output_size(kind: str, shape: Shape, kernel: tuple[int, int], attributes: Attributes) -> tuple[int, int]:
    """Height and width of the output; raises GraphError when the window does not fit."""
    if len(shape) != 3:
        raise GraphError(f"{kind} of input {shape} (must be [height, width, channels])")
    top, bottom, left, right = integers(attributes, "padding")
    sizes = []
    for axis, around in ((0, top + bottom), (1, left + right)):
        span = (kernel[axis] - 1) * integers(attributes, "dilation")[axis] + 1
        free = shape[axis] + around - span
        if free < 0:
            raise GraphError(f"{kind} of input {shape}: a window of {span} does not fit axis {axis}")
        sizes.append(free // integers(attributes, "stride")[axis] + 1)
    return sizes[0], sizes[1]


def windows(data: np.ndarray, kernel: tuple[int, int], attributes: Attributes, fill: float) -> np.ndarray:
    """[H, W, C] -> [out height, out width, kh, kw, C], the borders filled with ``fill``."""
    top, bottom, left, right = integers(attributes, "padding")
    (sh, sw), (dh, dw) = integers(attributes, "stride"), integers(attributes, "dilation")
    height, width, channels = data.shape
    # np.pad and sliding_window_view do the same, in twenty times the time for images as small as a frame.
    padded = np.full((top + height + bottom, left + width + right, channels), fill, data.dtype)
    padded[top : top + height, left : left + width] = data
    rows, columns = output_size("a window", data.shape, kernel, attributes)
    down, along, deep = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (rows, columns, *kernel, channels),
        (sh * down, sw * along, dh * down, dw * along, deep),
        writeable=False,
    )


def macs(operator: Operator, tensors: Mapping[str, Tensor]) -> int:
    """Positions of the window times elements of the weight."""
    height, width, _ = tensors[operator.outputs[0]].shape
    return height * width * tensors[operator.inputs[1]].size


def image_and_constant_weight(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """The input is one image [height, width, channels]; weights are constants."""
    shape = tensors[operator.inputs[0]].shape
    return len(shape) == 3, f"input of shape {shape}"
