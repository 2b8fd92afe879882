"""Convolutions: torch's ``[channels, height, width]`` becomes ``[height, width, channels]`` around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from quant.ops.linear import CUT
from tinydsn.lowering.builder import Constant, Ref, Value
from tinydsn.lowering.call import Call, Handler, reshape, slice_axis, transpose
from tinydsn.lowering.names import owner

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Stride, dilation (height, width) and padding (top, bottom, left, right) of a convolution."""

    stride: Pair
    dilation: Pair
    padding: tuple[int, int, int, int]
    groups: int


def _pair(values: list[int], rank: int) -> Pair:
    """(height, width) of torch's list, which may have one entry for all axes; a 1-D height is 1."""
    values = list(values) * rank if len(values) == 1 else list(values)
    return (1, values[0]) if rank == 1 else (values[0], values[1])


def _geometry(call: Call, kernel: Pair, rank: int) -> Geometry:
    """Torch's arguments, with "same" and "valid" resolved."""
    stride, dilation = _pair(call["stride"], rank), _pair(call["dilation"], rank)
    if call["padding"] == "same":
        spans = [(size - 1) * step for size, step in zip(kernel, dilation, strict=True)]
        padding = (spans[0] // 2, spans[0] - spans[0] // 2, spans[1] // 2, spans[1] - spans[1] // 2)
    elif call["padding"] == "valid":
        padding = (0, 0, 0, 0)
    else:
        values = list(call["padding"])
        width = values[0] if rank == 1 or len(values) == 1 else values[1]
        height = 0 if rank == 1 else values[0]
        padding = (height, height, width, width)
    return Geometry(stride, dilation, padding, call["groups"])


def convolution(call: Call) -> Value:
    """``conv1d`` and ``conv2d`` of one image: groups of one channel, or any groups, one by one."""
    if call.arguments.get("transposed"):
        raise call.refuse("a transposed convolution", "torch.nn.Conv2d and a reshape (sub-pixel convolution)")
    data = call.ref("input")
    weight = call.constant("weight", "weight")
    bias = call.optional_constant("bias", "bias")
    rank = weight.value.dim() - 2
    if rank not in (1, 2):
        raise call.refuse(f"{rank} spatial axes (must be 1 or 2)", "torch.nn.Conv2d")
    if len(data.shape) == rank + 2 and data.shape[0] != 1:
        raise call.refuse(
            f"a batch of {data.shape[0]} (must be 1)",
            "a batch of 1; parallel rows go into the height of torch.nn.Conv2d",
        )
    image = data.shape[-rank - 1 :]
    if rank == 1:
        weight = replace(weight, value=weight.value.unsqueeze(2))
        image = (image[0], 1, image[1])
    kernel = (int(weight.value.shape[2]), int(weight.value.shape[3]))
    geometry = _geometry(call, kernel, rank)
    columns = transpose(call, reshape(call, data, image), (1, 2, 0))
    result = _grouped(call, columns, weight, bias, geometry)
    return reshape(call, transpose(call, result, (2, 0, 1)), call.shape)


def _grouped(call: Call, data: Ref, weight: Constant, bias: Constant | None, geometry: Geometry) -> Ref:
    """One operator for one group or for one channel a group; else one operator a group."""
    outputs, channels, groups = weight.shape[0], data.shape[2], geometry.groups
    if groups == 1:
        turned = replace(weight, value=weight.value.permute(0, 2, 3, 1))
        return _emit(call, "conv2d", owner(weight.name), data, turned, bias, geometry)
    if groups == channels == outputs:
        turned = Constant(weight.name, weight.value[:, 0].permute(1, 2, 0))
        return _emit(call, "depthwise_conv2d", owner(weight.name), data, turned, bias, geometry)
    parts = []
    size, wide = channels // groups, outputs // groups
    for group in range(groups):
        rows = slice(group * wide, (group + 1) * wide)
        part = Constant(f"{weight.name}.{group}", weight.value[rows].permute(0, 2, 3, 1))
        part_bias = None if bias is None else Constant(f"{bias.name}.{group}", bias.value[rows])
        piece = slice_axis(call, data, 2, group * size, (group + 1) * size)
        path = f"{owner(weight.name)}.group{group}"
        parts.append(_emit(call, "conv2d", path, piece, part, part_bias, geometry))
    return call.builder.emit("concat", *parts, axis=2)


def _emit(
    call: Call, kind: str, path: str, data: Ref, weight: Constant, bias: Constant | None, geometry: Geometry
) -> Ref:
    """The operator itself."""
    cut: dict[str, Any] = {CUT: True} if weight.cut and kind == "conv2d" else {}
    return call.builder.emit(
        kind,
        data,
        weight,
        bias,
        path=path,
        stride=geometry.stride,
        dilation=geometry.dilation,
        padding=geometry.padding,
        activation="none",
        **cut,
    )


HANDLERS: dict[str, Handler] = dict.fromkeys(("conv1d", "conv2d", "convolution"), convolution)
