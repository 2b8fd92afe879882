"""Operators on bits in C: 32 channels to a word (`quant.bits`)."""

from __future__ import annotations

import zlib

import numpy as np

from quant.graph import Tensor
from quant.ops.binary_conv2d import largest_sum
from tinydsn.codegen.call import Call, Request
from tinydsn.codegen.linear import PACKED, window_of
from tinydsn.codegen.text import Array

BLOCK = 16
"""Channels whose weights stand together (TINYDSN_BINARY_BLOCK)."""
LANE = 2**15
"""Sums with their start are added in 16 bits where they stay below."""
PAIRS = [0, 2, 1, 3]
"""Order of four lanes on cores that add two at a time (SXTAB16)."""


def binary_conv2d(request: Request) -> Call:
    """``tinydsn_binary_conv2d_bits`` / ``_s8`` / ``_s16``."""
    names = request.operator.inputs[1:]
    weight, threshold = (request.graph.constants[name].astype(np.int64) for name in names)
    packed = bool(request.operator.attributes["bits"])
    whole = -len(weight) % BLOCK
    columns = np.pad(weight.reshape(len(weight), -1), ((0, whole), (0, 0)))
    if request.target.interleaved and not packed:
        columns = np.pad(columns, ((0, 0), (0, columns.shape[1] % 2)))
    blocks = columns.reshape(-1, BLOCK, columns.shape[1]).swapaxes(1, 2).astype(np.int8)
    bound = largest_sum(request.operator, request.graph)
    # a sum is above a threshold that it cannot reach where it is above the nearest one that it can
    starts = np.pad(-1 - np.clip(threshold, -bound - 1, bound), (0, whole), constant_values=-1)
    name, dtype = "starts", "int32"
    if packed and 2 * bound + 1 < LANE:
        name, dtype = "lanes", "int16"
        if request.target.interleaved:
            starts = starts.reshape(-1, 4)[:, PAIRS].reshape(-1)
    if request.target.interleaved and not packed:
        # two columns by pairs of channels, of which the even column of both comes first
        blocks = blocks.reshape(len(blocks), -1, 2, BLOCK // 2, 2).swapaxes(2, 3)
    layout = f"[{blocks.shape[0]}][{columns.shape[1]}][{BLOCK}] of 8 bits, in the order of tinydsn_kernels.h"
    arrays = (
        Array(f"{request.prefix}_weight", blocks.reshape(-1), layout),
        Array(f"{request.prefix}_{name}", starts.astype(dtype), "-1 less the threshold of each channel"),
    )
    window = window_of(request)
    taps = window.kernel[0] * window.kernel[1]
    return Call(
        "binary_conv2d",
        {
            "variant": "bits" if packed else _suffix(request.input()),
            "window": window,
            "channels": len(weight),
            "input_offset": request.integer("input_offset"),
            # what a call costs depends on how many bits are set, and so on the network's weights
            "content": f"{zlib.crc32(weight.tobytes() + threshold.tobytes()):08x}",
            "names": {array.name.removeprefix(f"{request.prefix}_"): array.name for array in arrays},
        },
        arrays,
        ("tinydsn_binary_conv2d",),
        scratch=4 * taps * request.input().shape[-1] if packed else 2 * columns.shape[1],
        packed=PACKED,
    )


def _suffix(tensor: Tensor) -> str:
    return "s16" if tensor.dtype == "int16" else "s8"


def step(request: Request) -> Call:
    """``tinydsn_step_s8`` / ``_s16``."""
    tensor = request.input()
    values = {
        "source": _suffix(tensor),
        "rows": tensor.size // tensor.shape[-1],
        "channels": tensor.shape[-1],
        "zero": request.integer("zero_point"),
    }
    return Call("step", values, kernels=("tinydsn_bits",))


def unpack(request: Request) -> Call:
    """``tinydsn_unpack_bits_s8`` / ``_s16``."""
    tensor = request.output
    values = {
        "rows": tensor.size // tensor.shape[-1],
        "channels": tensor.shape[-1],
        "zero": request.integer("zero"),
        "one": request.integer("one"),
    }
    return Call("unpack", values, kernels=("tinydsn_bits",))
