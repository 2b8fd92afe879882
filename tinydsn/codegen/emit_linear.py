"""fully_connected, conv2d and depthwise_conv2d in C: weight layouts, scale factors, scratch sizes.

int8 runs CMSIS-NN's convolutions (a fully connected layer with one scale a channel is a 1x1 convolution).
16x8 runs our kernels, which need fewer instructions and a third of the scale and bias bytes, when two
things are proven from the weights: every sum fits 32 bits, and every scale is at most 1/4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant import fixed_point
from quant.errors import BoardError, GraphError
from quant.graph import Operator
from tinydsn.codegen.call import Call, CodeTarget, Request
from tinydsn.codegen.text import Array

INT32_LIMIT = 2**31
PACKED = (1, 2)
MVE_DEPTHWISE_BLOCK = 124
"""``CH_IN_BLOCK_MVE`` of CMSIS-NN."""


@dataclass(frozen=True)
class Window:
    """A convolution's geometry; pairs are (height, width). ``after`` is the padding below and right."""

    size: tuple[int, int]
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    out: tuple[int, int]

    def turned(self) -> Window:
        """The same with height and width exchanged."""
        pairs = {name: getattr(self, name)[::-1] for name in self.__dataclass_fields__ if name != "channels"}
        return Window(channels=self.channels, **pairs)


def fully_connected(request: Request) -> Call:
    """int8: CMSIS-NN ``arm_convolve_1x1_s8_fast``; int16: ``tinydsn_fully_connected_s16``."""
    columns = request.input().shape[-1]
    rows = request.input().size // columns
    one = (1, 1)
    window = Window((1, rows), columns, one, one, one, (0, 0), (0, 0), (1, rows))
    if request.output.dtype == "int8":
        return _convolve_s8("fully_connected", request, window)
    if not narrow_is_proven(request):
        return _wide("fully_connected", request, window)
    values, arrays = _narrow_matrix(request, columns, columns)
    return Call(
        "fully_connected",
        {"variant": "s16", "rows": rows, **values},
        arrays,
        ("tinydsn_fully_connected_s16", "tinydsn_clamp"),
        packed=PACKED,
    )


def conv2d(request: Request) -> Call:
    """int8: CMSIS-NN ``arm_convolve_wrapper_s8``; int16: ``tinydsn_convolve_s16``."""
    window = window_of(request)
    if request.output.dtype == "int8":
        return _convolve_s8("conv2d", request, window)
    if not narrow_is_proven(request):
        return _wide("conv2d", request, window)
    columns = window.kernel[0] * window.kernel[1] * window.channels
    in_place = window.kernel[0] == 1 and window.dilation[1] == 1
    padded = columns if in_place or not request.target.interleaved else -(-columns // 4) * 4
    values, arrays = _narrow_matrix(request, columns, padded)
    return Call(
        "conv2d",
        {"variant": "s16", "window": window, **values},
        arrays,
        ("tinydsn_convolve_s16", "tinydsn_fully_connected_s16", "tinydsn_clamp"),
        scratch=2 * padded * 2,
        packed=PACKED,
    )


def depthwise_conv2d(request: Request) -> Call:
    """CMSIS-NN ``arm_depthwise_conv_wrapper_s8`` / ``_s16``. Raises GraphError for an unproven 16x8 scale."""
    window = window_of(request)
    wide = request.output.dtype == "int16"
    if wide:
        _check_int32_result(request)
    arrays = _plain_arrays(request)
    scratch = depthwise_scratch(window, wide, request.target)
    return Call("depthwise_conv2d", _cmsis_values(request, window, arrays), arrays, (), scratch, PACKED)


def window_of(request: Request) -> Window:
    """Geometry of a convolution from its tensors and attributes (padding: top, bottom, left, right)."""
    weight = request.input(1).shape
    kernel = (weight[1], weight[2]) if request.operator.kind == "conv2d" else (weight[0], weight[1])
    height, width, channels = request.input().shape
    top, bottom, left, right = request.integers("padding")
    return Window(
        size=(height, width),
        channels=channels,
        kernel=kernel,
        stride=request.integers("stride"),  # type: ignore[arg-type]
        dilation=request.integers("dilation"),  # type: ignore[arg-type]
        before=(top, left),
        after=(bottom, right),
        out=(request.output.shape[0], request.output.shape[1]),
    )


def narrow_is_proven(request: Request) -> bool:
    """Whether 32-bit sums and products' upper halves give the exact result of every channel."""
    weight, bias = _weight_rows(request), _bias(request)
    bound = np.abs(weight).sum(axis=1) * 2**15 + np.abs(bias)
    reduced, shift = _reduced(request)
    plain = request.integer("activation_min") in (0, -(2**15))
    return bool(plain and np.max(bound) < INT32_LIMIT and np.all((14 - shift >= 16) | (reduced == 0)))


def interleave(rows: np.ndarray) -> np.ndarray:
    """Weights [N, K] as kernels with SXTB16 take them: whole fours of columns, each in the order 0 2 1 3,
    those of two channels alternating; flat, an odd last channel at the end."""
    channels, columns = rows.shape
    padded = np.pad(rows, ((0, 0), (0, -columns % 4)))
    fours = padded.reshape(channels, -1, 4)[:, :, [0, 2, 1, 3]]
    even = channels // 2 * 2
    pairs = fours[:even].reshape(even // 2, 2, *fours.shape[1:]).transpose(0, 2, 1, 3)
    return np.concatenate([pairs.reshape(-1), fours[even:].reshape(-1)])


def convolve_s8_scratch(window: Window, target: CodeTarget) -> int:
    """Bytes of ``arm_convolve_wrapper_s8_get_buffer_size``."""
    columns = window.channels * window.kernel[0] * window.kernel[1]
    if window.kernel == (1, 1) and window.before == (0, 0) and window.dilation == (1, 1):
        return 0
    if not target.mve:
        return 2 * (-(-columns // 4) * 4) * 2
    row = window.size[0] == 1 and window.dilation[1] == 1 and window.kernel[0] == 1
    return 0 if row and window.stride[1] * window.channels % 4 == 0 else 4 * (-(-columns // 8)) * 8


def depthwise_scratch(window: Window, wide: bool, target: CodeTarget) -> int:
    """Bytes of ``arm_depthwise_conv_wrapper_s8_get_buffer_size`` / ``_s16_``; plain C needs none."""
    taps = window.kernel[0] * window.kernel[1]
    if window.dilation != (1, 1) or not (target.dsp or target.mve):
        return 0
    if wide:
        if taps >= 512:
            return 0
        return 4 * window.channels * taps * 2 + 8 if target.mve else window.channels * taps * 2
    if target.mve:
        return 4 * MVE_DEPTHWISE_BLOCK * taps
    small = window.kernel == (3, 3) and max(window.before) <= 1
    return 0 if small else window.channels * taps * 2


def _convolve_s8(template: str, request: Request, window: Window) -> Call:
    window = _safe_window(window, request.operator, request.target)
    arrays = _plain_arrays(request)
    values = {"variant": "s8", **_cmsis_values(request, window, arrays)}
    return Call(template, values, arrays, (), convolve_s8_scratch(window, request.target), PACKED)


def _safe_window(window: Window, operator: Operator, target: CodeTarget) -> Window:
    """Turn one-row images where CMSIS-NN's 1xN kernel for MVE would refuse their padding.

    ``arm_convolve_1_x_n_s8`` demands that left and right padding differ by at most the odd one and that no
    window lies wholly in it; a column image takes the general kernel instead, with the same result.
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
    if window.size[1] == 1:
        raise BoardError(
            f"operator {operator.name!r}: a padded int8 convolution over one element does not run on cores "
            "with MVE (must have no padding, or int16 activations: activations = 16 in the precision table)"
        )
    return window.turned()


def _wide(template: str, request: Request, window: Window) -> Call:
    rows = _weight_rows(request)
    reduced, shift = _reduced(request)
    arrays = (
        Array(f"{request.prefix}_weight", rows.astype(np.int8), f"[{rows.shape[0]}][{rows.shape[1]}]"),
        Array(f"{request.prefix}_bias", _bias(request), "64 bits"),
        Array(f"{request.prefix}_multiplier", reduced.astype(np.int32), "Q15"),
        Array(f"{request.prefix}_shift", shift.astype(np.int8), "left shifts"),
    )
    values = {"variant": "wide", "window": window, **_matrix_values(request, rows.shape[1], arrays)}
    return Call(template, values, arrays, ("tinydsn_convolve_s16_wide",), packed=PACKED)


def _narrow_matrix(
    request: Request, columns: int, padded: int
) -> tuple[dict[str, object], tuple[Array, ...]]:
    """Arrays of ``tinydsn_matrix_s16``; its two shifts equal CMSIS-NN's one of the Q15 product."""
    rows = np.pad(_weight_rows(request), ((0, 0), (0, padded - columns)))
    layout = f"[{rows.shape[0]}][{padded}]"
    if request.target.interleaved:
        rows, layout = interleave(rows), f"{layout}, interleaved for SXTB16"
    reduced, shift = _reduced(request)
    # result = (sum * reduced + 2**(right - 1)) >> right, by the upper half of a product where it can be
    right = np.where(reduced == 0, 32, 15 - shift)
    rounded = bool(np.all((right >= 17) & (right <= 32)))
    total = right if rounded else right - 1
    multiplier = reduced << np.maximum(0, 32 - total)
    scales = np.stack([_bias(request), multiplier, np.maximum(0, total - 32)], axis=1)
    arrays = (
        Array(f"{request.prefix}_weight", rows.astype(np.int8), layout),
        Array(f"{request.prefix}_scales", scales.astype(np.int32), "bias, multiplier, shift of each channel"),
    )
    return {**_matrix_values(request, padded, arrays), "rounded": int(rounded)}, arrays


def _matrix_values(request: Request, columns: int, arrays: tuple[Array, ...]) -> dict[str, object]:
    names = {array.name.removeprefix(f"{request.prefix}_"): array.name for array in arrays}
    return {
        "columns": columns,
        "channels": request.output.shape[-1],
        "low": request.integer("activation_min"),
        "high": request.integer("activation_max"),
        "names": names,
    }


def _plain_arrays(request: Request) -> tuple[Array, ...]:
    """Weights and factors as CMSIS-NN takes them."""
    weight = request.graph.constants[request.operator.inputs[1]]
    shape = "".join(f"[{size}]" for size in weight.shape)
    bias_type = np.int64 if request.output.dtype == "int16" else np.int32
    return (
        Array(f"{request.prefix}_weight", weight.astype(np.int8), shape),
        Array(f"{request.prefix}_bias", _bias(request).astype(bias_type), "in the accumulator's scale"),
        Array(f"{request.prefix}_multiplier", np.array(request.integers("multiplier"), np.int32), "Q31"),
        Array(f"{request.prefix}_shift", np.array(request.integers("shift"), np.int32), "left shifts"),
    )


def _cmsis_values(request: Request, window: Window, arrays: tuple[Array, ...]) -> dict[str, object]:
    return {
        "window": window,
        "input_offset": request.integer("input_offset"),
        "output_offset": request.integer("output_offset"),
        **_matrix_values(request, 0, arrays),
    }


def _weight_rows(request: Request) -> np.ndarray:
    """int64 [output channels, weights of a channel]."""
    weight = request.graph.constants[request.operator.inputs[1]].astype(np.int64)
    if request.operator.kind == "depthwise_conv2d":
        return np.moveaxis(weight, -1, 0).reshape(weight.shape[-1], -1)
    return weight.reshape(weight.shape[0], -1)


def _bias(request: Request) -> np.ndarray:
    """int64 [output channels]; zeros where the operator has none."""
    names = request.operator.inputs
    if len(names) < 3 or not names[2]:
        return np.zeros(request.output.shape[-1], np.int64)
    return request.graph.constants[names[2]].astype(np.int64)


def _reduced(request: Request) -> tuple[np.ndarray, np.ndarray]:
    """Q15 multiplier and left shift of each channel; 0 and 0 for channels without weights and bias, which
    are zero whatever their scale says."""
    multiplier = request.integers("multiplier")
    reduced = np.array([fixed_point.reduce_multiplier(value) for value in multiplier], np.int64)
    live = np.any(_weight_rows(request), axis=1) | (_bias(request) != 0)
    return np.where(live, reduced, 0), np.where(live, np.array(request.integers("shift"), np.int64), 0)


def _check_int32_result(request: Request) -> None:
    """CMSIS-NN cuts a requantized 64-bit sum to 32 bits before it clamps."""
    bound = np.abs(_weight_rows(request)).sum(axis=1) * 2**15 + np.abs(_bias(request))
    reduced, shift = _reduced(request)
    largest = max(int(b) * int(r) >> (14 - int(s)) for b, r, s in zip(bound, reduced, shift, strict=True))
    if largest >= INT32_LIMIT - 1:
        raise GraphError(
            f"operator {request.operator.name!r}: its largest result before saturation needs more than "
            "32 bits (calibrate on louder audio, or give it activations = 8 in the precision table)"
        )
