"""fully_connected, conv2d and depthwise_conv2d in C: whose kernel, and the layout of its constants.

Our kernels need fewer instructions than CMSIS-NN's (`tinydsn bench`) and a third of the scale and bias bytes.
They sum in 32 bits, which `narrow_is_proven` allows; where it does not, int8 runs CMSIS-NN and 16x8 a slow
kernel with 64-bit sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from quant.errors import BoardError, GraphError
from quant.ops.linear import owner_of
from tinydsn.codegen import emit_cmsis
from tinydsn.codegen.call import Call, Request
from tinydsn.codegen.emit_packed import packed_call
from tinydsn.codegen.layouts import (
    pack_brief_scales,
    pack_depthwise,
    pack_scales,
    pack_weights,
    whole_columns,
)
from tinydsn.codegen.linear import (
    PACKED,
    bias_of,
    factors,
    narrow_is_proven,
    nibbles,
    reduced_factors,
    stored_bits,
    weight_rows,
    window_of,
)
from tinydsn.codegen.text import Array

MOST_NIBBLE_ROWS = 3
"""From 4 rows on it costs less to unpack 4-bit weights once and to run the kernel for 8 bits."""


def fully_connected(request: Request) -> Call:
    """``tinydsn_fully_connected_s8`` / ``_s16``, or CMSIS-NN."""
    return _choose(request, _fully_connected, emit_cmsis.fully_connected)


def conv2d(request: Request) -> Call:
    """``tinydsn_convolve_s8`` / ``_s16``, or CMSIS-NN."""
    return _choose(request, _conv2d, emit_cmsis.conv2d)


def depthwise_conv2d(request: Request) -> Call:
    """``tinydsn_depthwise_s8`` / ``_s16``, or CMSIS-NN. Raises GraphError for an unproven 16x8 scale."""
    return _choose(request, _depthwise, emit_cmsis.depthwise_conv2d)


def _choose(
    request: Request, ours: Callable[[Request], Call], theirs: Callable[[Request], Call | None]
) -> Call:
    """The kernel that the user asked for, else ours; what computes the operator at all where that does not.

    Raises BoardError or GraphError where nothing does.
    """
    if request.target.kernels == "cmsis-nn":
        call = theirs(request)
        if call is not None:
            return call
    if narrow_is_proven(request):
        call = ours(request)
        return call if stored_bits(request) == 8 or kernel_bits(request) == 4 else packed_call(request, call)
    depthwise, wide = request.operator.kind == "depthwise_conv2d", request.output.dtype == "int16"
    if wide and not depthwise:
        return _wide(request)
    call = theirs(request)
    if call is None and depthwise:
        raise GraphError(
            f"operator {request.operator.name!r}: its largest result before saturation needs more than "
            "32 bits (calibrate on louder audio, or give it activations = 8 in the precision table)"
        )
    if call is None:
        raise BoardError(
            f"operator {request.operator.name!r}: a padded int8 convolution over one element with a scale "
            "above 1/2 does not run on cores with MVE (must have no padding, or int16 activations: "
            "activations = 16 in the precision table)"
        )
    return call


def kernel_bits(request: Request) -> int:
    """Bits of the weights that the kernel reads: 4 where there is one that wastes no flash and where, for a
    few rows, it costs less than unpacking, else 8."""
    if request.operator.kind != "fully_connected" or not nibbles(request):
        return 8
    if window_of(request).out[1] > MOST_NIBBLE_ROWS:
        return 8
    columns, target = request.input().shape[-1], request.target
    wide = request.output.dtype == "int16"
    block = (16 if wide else 32) if target.mve else 2
    whole = whole_columns(columns, 4, target) == whole_columns(columns, 8, target) and columns % block == 0
    return 4 if whole else 8


def _fully_connected(request: Request) -> Call:
    window, suffix = window_of(request), _suffix(request)
    bits = kernel_bits(request)
    kernel = f"tinydsn_fully_connected_{suffix}" + ("_s4" if bits == 4 else "")
    values, arrays = shared(request, matrix_of(request, window.channels, bits))
    kernel += "_cut" if "cut" in values else ""
    whole, rows = whole_columns(window.channels, bits, request.target), window.out[1]
    # four rows are packed; fewer, and widened ones, are copied where they do not fit
    packed = bits == 8 and rows >= 4
    needed = request.target.interleaved and (packed or suffix == "s8" or whole > window.channels)
    return Call(
        "fully_connected",
        {
            "variant": "tinydsn",
            "kernel": kernel,
            "rows": rows,
            "stride": row_stride(request),
            **values,
        },
        arrays,
        (kernel, "tinydsn_clamp"),
        scratch=(4 if packed else min(2, rows)) * whole * 2 if needed else 0,
        packed=PACKED,
    )


def row_stride(request: Request) -> int:
    """Elements from one row of a fully connected layer's input to the next (`tinydsn.codegen.fusion`)."""
    if "strides0" in request.operator.attributes:
        return request.integers("strides0")[-2]
    return request.input().shape[-1]


def _conv2d(request: Request) -> Call:
    window, suffix = window_of(request), _suffix(request)
    whole = -(-window.elements // 4) * 4
    columns = whole_columns(window.elements, 8, request.target)
    values, arrays = shared(request, matrix_of(request, columns if suffix == "s16" else window.elements))
    windows = 4 if request.target.interleaved else 2
    gathered = windows * whole * (2 if suffix == "s16" else 1)
    widened = 8 * whole if suffix == "s8" and request.target.interleaved else 0
    return Call(
        "conv2d",
        {"variant": suffix, "window": window, "padding": -request.integer("input_offset"), **values},
        arrays,
        (f"tinydsn_convolve_{suffix}", f"tinydsn_fully_connected_{suffix}", "tinydsn_clamp"),
        scratch=gathered + widened,
        packed=PACKED,
    )


def shared(
    request: Request, own: tuple[dict[str, object], tuple[Array, ...]]
) -> tuple[dict[str, object], tuple[Array, ...]]:
    """Values and arrays of `matrix_of` with the weights of the operator whose weight begins with this one's.

    ``cut`` among the values: the rows do not follow each other there, and the kernel is told the channels in
    flash and the bytes from the end of a pair of channels (interleaved), or of a channel, to the next.
    """
    owner = whole_of(request)
    if owner is None:
        return own
    (values, (weight, scales)), target = own, request.target
    (rows, columns), (used, needed) = weight_rows(owner).shape, weight_rows(request).shape
    if request.operator.kind == "conv2d":
        weight = matrix_of(owner, int(values["columns"]))[1][0]  # type: ignore[call-overload]
        columns = needed
    else:
        weight = matrix_of(owner, columns)[1][0]
    skip = whole_columns(columns, 8, target) - whole_columns(needed, 8, target)
    odd = target.interleaved and used % 2 == 1 and used < rows
    cut = {"cut": {"channels": rows, "skip": skip * (2 if target.interleaved else 1)}} if skip or odd else {}
    names = {**values["names"], "weight": weight.name}  # type: ignore[dict-item]
    return {**values, **cut, "names": names}, (weight, scales)


def whole_of(request: Request) -> Request | None:
    """The operator whose weights in flash this one can read the leading part of, or None: then its weights
    are stored on their own.

    Integers and layout must be the same; the kernels of convolutions take whole pairs of channels. Weights
    of fewer than 8 bits are packed in one piece.
    """
    kind = request.operator.kind
    found = owner_of(request.operator, request.graph)
    if found is None or found.kind != kind or found.name not in request.prefixes:
        return None
    owner = replace(request, operator=found, prefix=request.prefixes[found.name])
    plain = all(stored_bits(item) == 8 and narrow_is_proven(item) for item in (request, owner))
    if not plain or request.output.dtype != owner.output.dtype:
        return None
    rows, whole = weight_rows(request), weight_rows(owner)
    pairs = not request.target.interleaved or len(rows) % 2 == 0 or len(rows) == len(whole)
    same = np.array_equal(whole[: len(rows), : rows.shape[1]], rows)
    return owner if same and (pairs or kind == "fully_connected") else None


def _depthwise(request: Request) -> Call:
    window, wide = window_of(request), request.output.dtype == "int16"
    rows = weight_rows(request)
    scales, rounded = wide_scales(request) if wide else narrow_scales(request, depthwise=True)
    packed = pack_depthwise(rows.T, wide, request.target)
    arrays = (
        Array(f"{request.prefix}_weight", packed, f"[{rows.shape[1]}][{rows.shape[0]}], by four channels"),
        Array(f"{request.prefix}_scales", scales, "bias, multiplier, shift of each channel"),
    )
    values = {
        **_matrix_values(request, rows.shape[1], arrays),
        "variant": _suffix(request),
        "window": window,
        "rounded": rounded,
        "offset": None if wide else request.integer("output_offset"),
        "input_offset": request.integer("input_offset"),
    }
    kernels = (f"tinydsn_depthwise_{_suffix(request)}", "tinydsn_clamp")
    return Call("depthwise_conv2d", values, arrays, kernels, packed=PACKED)


def _suffix(request: Request) -> str:
    return "s16" if request.output.dtype == "int16" else "s8"


def matrix_of(request: Request, columns: int, bits: int = 8) -> tuple[dict[str, object], tuple[Array, ...]]:
    """Values and arrays of ``tinydsn_matrix``, weights of 8 or 4 ``bits``; rows are filled with zeros to
    ``columns``."""
    target, rows = request.target, weight_rows(request)
    wide = request.output.dtype == "int16"
    brief = wide and bits == 4
    if brief:
        scales, rounded = brief_scales(request), None
    else:
        scales, rounded = wide_scales(request) if wide else narrow_scales(request)
    padded = np.pad(rows, ((0, 0), (0, columns - rows.shape[1])))
    packed = pack_weights(padded, bits, wide, target)
    order = ", in the order of tinydsn_dot_s16.h" if target.interleaved else ""
    layout = f"[{len(rows)}][{columns}] of {bits} bits{order}"
    arrays = (
        Array(f"{request.prefix}_weight", packed, layout),
        Array(
            f"{request.prefix}_scales",
            scales,
            f"bias, multiplier{' and' if brief else ','} shift of each channel",
        ),
    )
    offset = None if wide else request.integer("output_offset")
    return {**_matrix_values(request, columns, arrays), "rounded": rounded, "offset": offset}, arrays


def brief_scales(request: Request) -> np.ndarray:
    """16x4: int32 scales of two words, whatever the shifts."""
    reduced, shift = reduced_factors(request)
    # result = (((sum * reduced >> 16) >> (right - 17)) + 1) >> 1; a shift by 31 makes all of them 0
    right = np.where(reduced == 0, 17, 15 - shift)
    return pack_brief_scales(bias_of(request), reduced, np.minimum(right - 17, 31), request.target)


def wide_scales(request: Request) -> tuple[np.ndarray, int]:
    """16x8: int32 scales, and whether all shifts are 0; two shifts equal CMSIS-NN's one of the product."""
    reduced, shift = reduced_factors(request)
    # result = (sum * reduced + 2**(right - 1)) >> right, by the upper half of a product where it can be
    right = np.where(reduced == 0, 32, 15 - shift)
    rounded = bool(np.all((right >= 17) & (right <= 32)))
    total = right if rounded else right - 1
    multiplier = reduced << np.maximum(0, 32 - total)
    packed = pack_scales(bias_of(request), multiplier, np.maximum(0, total - 32), False, request.target)
    return packed, int(rounded)


def narrow_scales(request: Request, depthwise: bool = False) -> tuple[np.ndarray, None]:
    """int8: int32 scales; the input's zero point goes into the bias, but not with ``depthwise`` kernels."""
    multiplier, shift = factors(request)
    bias = bias_of(request)
    if not depthwise:
        bias = bias + weight_rows(request).sum(axis=1) * request.integer("input_offset")
    # a shift by 32 makes a multiplier of 0 where it stands for one less 2**32 (`pack_scales`)
    nothing = 32 if request.target.interleaved else 1
    right = np.where(multiplier == 0, nothing, -shift)
    return pack_scales(bias, multiplier, right - 1, True, request.target), None


def _wide(request: Request) -> Call:
    rows, window = weight_rows(request), window_of(request)
    reduced, shift = reduced_factors(request)
    arrays = (
        Array(f"{request.prefix}_weight", rows.astype(np.int8), f"[{rows.shape[0]}][{rows.shape[1]}]"),
        Array(f"{request.prefix}_bias", bias_of(request), "64 bits"),
        Array(f"{request.prefix}_multiplier", reduced.astype(np.int32), "Q15"),
        Array(f"{request.prefix}_shift", shift.astype(np.int8), "left shifts"),
    )
    values = {"variant": "wide", "window": window, **_matrix_values(request, rows.shape[1], arrays)}
    return Call("conv2d", values, arrays, ("tinydsn_convolve_s16_wide",), packed=PACKED)


def _matrix_values(request: Request, columns: int, arrays: tuple[Array, ...]) -> dict[str, object]:
    names = {array.name.removeprefix(f"{request.prefix}_"): array.name for array in arrays}
    return {
        "columns": columns,
        "channels": request.output.shape[-1],
        "low": request.integer("activation_min"),
        "high": request.integer("activation_max"),
        "names": names,
    }
