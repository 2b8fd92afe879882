"""Weights of 2 to 7 bits: a call of a kernel for 8 bits becomes one that unpacks them first.

A small matrix is unpacked whole; a larger one by groups of channels, whose results a strip of scratch takes
in where a call has several rows, so that scratch stays small whatever the matrix.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinydsn.codegen.call import Call, Request
from tinydsn.codegen.layouts import depthwise_order, pack_fields, pack_small_scales
from tinydsn.codegen.linear import stored_bits, weight_rows, weight_shift, window_of
from tinydsn.codegen.text import Array

BUFFER = 2048
"""Weights that are unpacked at a time, where 8 channels do not have more."""


def packed_call(request: Request, call: Call) -> Call:
    """``call`` of a kernel for 8 bits with its weights, the first of its arrays, packed."""
    bits, shift = stored_bits(request), weight_shift(request)
    depthwise = request.operator.kind == "depthwise_conv2d"
    window, channels = window_of(request), request.output.shape[-1]
    rows = window.out[0] * window.out[1]
    ordered = _ordered(request, call) >> shift
    row = len(ordered) // channels
    group = channels if depthwise else _group(channels, row)
    pieces = [pack_fields(ordered[at : at + group * row], bits) for at in range(0, len(ordered), group * row)]
    weights = call.arrays[0]
    packed = Array(
        weights.name,
        np.concatenate(pieces).view(np.int8),
        f"{weights.comment.replace(' of 8 bits', '')}, packed to {bits} bits (tinydsn_packed.h)",
    )
    wide = depthwise and request.target.interleaved
    scales = call.arrays[1]
    small = Array(
        scales.name,
        pack_small_scales(scales.values, request.output.dtype == "int16", request.target),
        f"{scales.comment} (tinydsn_packed.h)",
    )
    scales_place = _aligned(group * row * (2 if wide else 1), request)
    strip_place = scales_place + _aligned(12 * group, request)
    several = group < channels and rows > 1
    strip = rows * group * np.dtype(request.output.dtype).itemsize if several else 0
    rest_place = strip_place + _aligned(strip, request)
    fields = {
        "scales": small.name,
        "unpack": f"tinydsn_unpack_{bits}" + ("_upper" if bits == 4 and shift else ""),
        "group": group,
        "group_weights": group * row,
        "group_bytes": len(pieces[0]),
        "weights": len(ordered),
        "scales_place": scales_place,
        "strip_place": strip_place,
        "rest_place": rest_place,
    }
    names = {key: name for key, name in call.values["names"].items() if key != "scales"}  # type: ignore[attr-defined]
    kernel = f"{call.kernels[0]}_packed"
    return replace(
        call,
        values={**call.values, "names": names, "packed": fields},
        arrays=(packed, small),
        kernels=(*call.kernels, kernel, "tinydsn_packed", "tinydsn_unpack"),
        scratch=rest_place + call.scratch,
    )


def _ordered(request: Request, call: Call) -> np.ndarray:
    """Weights in the order in which the kernel for 8 bits reads them."""
    if request.operator.kind == "depthwise_conv2d":
        return depthwise_order(weight_rows(request).T, request.output.dtype == "int16", request.target)
    return call.arrays[0].values.astype(np.int64)


def _group(channels: int, row: int) -> int:
    """Channels that are unpacked at a time."""
    return channels if channels * row <= BUFFER else min(channels, max(8, BUFFER // row // 8 * 8))


def _aligned(size: int, request: Request) -> int:
    return -(-size // request.target.alignment) * request.target.alignment
