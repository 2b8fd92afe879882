"""fully_connected, conv2d and depthwise_conv2d by CMSIS-NN: its layouts, scale factors and scratch sizes.

Where one scale serves all channels, a fully connected layer is CMSIS-NN's own; with a scale a channel it is
a 1x1 convolution. Each function returns None where CMSIS-NN does not compute the operator's integer meaning.
"""

from __future__ import annotations

import numpy as np

from tinydsn.codegen.call import Call, CodeTarget, Request
from tinydsn.codegen.linear import (
    INT32_LIMIT,
    PACKED,
    Window,
    bias_of,
    nibbles,
    reduced_factors,
    sum_bounds,
    weight_rows,
    window_of,
)
from tinydsn.codegen.text import Array

MVE_DEPTHWISE_BLOCK = 124
"""``CH_IN_BLOCK_MVE`` of CMSIS-NN."""
FAST_LIMIT = 512
"""Window elements from which ``arm_convolve_wrapper_s16`` sums in 64 bits, without scratch."""


def fully_connected(request: Request) -> Call | None:
    """``arm_fully_connected_s8`` / ``_s4`` / ``_s16`` for one scale, else the 1x1 convolution, which is also
    cheaper for several int8 rows."""
    if not results_fit(request):
        return None
    narrow, window = request.output.dtype == "int8", window_of(request)
    # with 4 bits odd sizes take other paths in CMSIS-NN, which reads half bytes across rows
    even = window.channels % 8 == 0 and request.output.shape[-1] % 4 == 0
    short = narrow and even and nibbles(request)
    if not _one_scale(request) or (narrow and window.out[1] > 1 and not short):
        return conv2d(request)
    arrays = _plain_arrays(request, factors=False)
    if short:
        weight = arrays[0].values.reshape(-1)
        packed = ((weight[0::2] & 15) | (weight[1::2] << 4)).astype(np.int8)
        arrays = (Array(arrays[0].name, packed, "two columns a byte"), *arrays[1:])
    elif narrow and request.target.mve:
        sums = weight_rows(request).sum(axis=1).astype(np.int32)
        arrays = (*arrays, Array(f"{request.prefix}_sums", sums, "sums of each channel's weights"))
    values = {
        "variant": "cmsis",
        "kernel": "arm_fully_connected_" + ("s4" if short else "s8" if narrow else "s16"),
        "rows": window.out[1],
        "columns": window.channels,
        "multiplier": request.integers("multiplier")[0],
        "shift": request.integers("shift")[0],
        **cmsis_values(request, window, arrays),
    }
    return Call("fully_connected", values, arrays, packed=PACKED)


def conv2d(request: Request) -> Call | None:
    """``arm_convolve_1x1_s8_fast``, ``arm_convolve_wrapper_s8`` / ``_s16``."""
    if not results_fit(request):
        return None
    window, arrays = window_of(request), _plain_arrays(request)
    if request.output.dtype == "int16":
        scratch = convolve_s16_scratch(window, request.target)
    else:
        safe = safe_window(window, request.target)
        if safe is None:
            return None
        window, scratch = safe, convolve_s8_scratch(safe, request.target)
    values = {"variant": "cmsis_convolve", **cmsis_values(request, window, arrays)}
    return Call("conv2d", values, arrays, (), scratch, PACKED)


def depthwise_conv2d(request: Request) -> Call | None:
    """``arm_depthwise_conv_wrapper_s8`` / ``_s16``."""
    if not results_fit(request):
        return None
    window, arrays = window_of(request), _plain_arrays(request)
    scratch = depthwise_scratch(window, request.output.dtype == "int16", request.target)
    values = {"variant": "cmsis", **cmsis_values(request, window, arrays)}
    return Call("depthwise_conv2d", values, arrays, (), scratch, PACKED)


def results_fit(request: Request) -> bool:
    """Whether no result leaves 32 bits before saturation: CMSIS-NN cuts requantized 64-bit sums."""
    if request.output.dtype != "int16":
        return True
    reduced, shift = reduced_factors(request)
    triples = zip(sum_bounds(request), reduced, shift, strict=True)
    largest = max(int(bound) * int(factor) >> (14 - int(left)) for bound, factor, left in triples)
    return largest < INT32_LIMIT - 1


def convolve_s8_scratch(window: Window, target: CodeTarget) -> int:
    """Bytes of ``arm_convolve_wrapper_s8_get_buffer_size``."""
    columns = window.elements
    if window.kernel == (1, 1) and window.before == (0, 0) and window.dilation == (1, 1):
        return 0
    if not target.mve:
        return 2 * (-(-columns // 4) * 4) * 2
    row = window.size[0] == 1 and window.dilation[1] == 1 and window.kernel[0] == 1
    return 0 if row and window.stride[1] * window.channels % 4 == 0 else 4 * (-(-columns // 8)) * 8


def convolve_s16_scratch(window: Window, target: CodeTarget) -> int:
    """Bytes of ``arm_convolve_wrapper_s16_get_buffer_size``."""
    fast = target.interleaved and window.elements < FAST_LIMIT and window.dilation == (1, 1)
    return 2 * window.elements * 2 if fast else 0


def depthwise_scratch(window: Window, wide: bool, target: CodeTarget) -> int:
    """Bytes of ``arm_depthwise_conv_wrapper_s8_get_buffer_size`` / ``_s16_``; plain C needs none."""
    taps = window.kernel[0] * window.kernel[1]
    if window.dilation != (1, 1) or not (target.dsp or target.mve):
        return 0
    if wide:
        if taps >= FAST_LIMIT:
            return 0
        return 4 * window.channels * taps * 2 + 8 if target.mve else window.channels * taps * 2
    if target.mve:
        return 4 * MVE_DEPTHWISE_BLOCK * taps
    small = window.kernel == (3, 3) and max(window.before) <= 1
    return 0 if small else window.channels * taps * 2


def safe_window(window: Window, target: CodeTarget) -> Window | None:
    """Turn one-row images where CMSIS-NN's 1xN kernel for MVE would refuse their padding.

    ``arm_convolve_1_x_n_s8`` demands that left and right padding differ by at most the odd one and that no
    window lies wholly in it; a column image takes the general kernel instead, with the same result. None for
    an image of one element, which has no such way out.
    """
    if not target.mve or window.size[0] != 1 or window.kernel[0] != 1 or window.kernel == (1, 1):
        return window
    pad, kernel, stride, out = window.before[1], window.kernel[1], window.stride[1], window.out[1]
    total = (out - 1) * stride + kernel - window.size[1]
    odd = total % 2
    right = -(-(pad + odd) // stride) if pad + odd else 0
    left = -(-pad // stride)
    if total >= 0 and pad * 2 + odd == total and left + right <= out and kernel <= window.size[1]:
        return window
    return None if window.size[1] == 1 else window.turned()


def cmsis_values(request: Request, window: Window, arrays: tuple[Array, ...]) -> dict[str, object]:
    """What the templates of CMSIS-NN's calls need."""
    return {
        "window": window,
        "input_offset": request.integer("input_offset"),
        "output_offset": request.integer("output_offset"),
        "channels": request.output.shape[-1],
        "low": request.integer("activation_min"),
        "high": request.integer("activation_max"),
        "names": {array.name.removeprefix(f"{request.prefix}_"): array.name for array in arrays},
    }


def _one_scale(request: Request) -> bool:
    multiplier, shift = request.integers("multiplier"), request.integers("shift")
    return len(set(multiplier)) == 1 and len(set(shift)) == 1


def _plain_arrays(request: Request, factors: bool = True) -> tuple[Array, ...]:
    """Weights, and scale ``factors`` of each channel, as CMSIS-NN takes them."""
    weight = request.graph.constants[request.operator.inputs[1]]
    shape = "".join(f"[{size}]" for size in weight.shape)
    bias_type = np.int64 if request.output.dtype == "int16" else np.int32
    arrays: tuple[Array, ...] = (
        Array(f"{request.prefix}_weight", weight.astype(np.int8), shape),
        Array(f"{request.prefix}_bias", bias_of(request).astype(bias_type), "in the accumulator's scale"),
    )
    if not factors:
        return arrays
    return (
        *arrays,
        Array(f"{request.prefix}_multiplier", np.array(request.integers("multiplier"), np.int32), "Q31"),
        Array(f"{request.prefix}_shift", np.array(request.integers("shift"), np.int32), "left shifts"),
    )
