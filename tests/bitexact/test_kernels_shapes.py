"""The linear kernels called directly, over shapes and values that hypothesis chooses."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from kernel_harness import DSP, HOST, kernel_library, one_operator, reference, scaled

from quant.errors import QuantizationError
from tinydsn.codegen.call import CodeTarget, Request
from tinydsn.codegen.emit_linear import conv2d, depthwise_conv2d, fully_connected
from tinydsn.codegen.linear import Window


class Matrix(ctypes.Structure):
    """tinydsn_matrix."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("columns", "channels", "low", "high", "rounded", "offset")),
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
    ]


class Geometry(ctypes.Structure):
    """tinydsn_window."""

    _fields_ = [(f"word{index}", ctypes.c_int32) for index in range(13)]


def matrix_of(values: dict, arrays: tuple) -> tuple[Matrix, list[np.ndarray]]:
    """The struct, and the arrays it points at."""
    kept = [np.ascontiguousarray(array.values) for array in arrays]
    words = [values[name] or 0 for name in ("columns", "channels", "low", "high", "rounded", "offset")]
    return Matrix(*words, *(array.ctypes.data for array in kept)), kept


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def fill(rng: np.random.Generator, shape: tuple[int, ...], style: str, dtype: str) -> np.ndarray:
    limits = np.iinfo(np.dtype(dtype))
    if style == "rims":
        return rng.choice(np.array([limits.min, limits.max], dtype), shape)
    if style == "lowest":
        return np.full(shape, limits.min, dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


STYLES = st.sampled_from(["any", "rims", "lowest"])
TARGETS = st.sampled_from([HOST, DSP])
DTYPES = st.sampled_from(["int8", "int16"])
SCALES = {"int8": 0.02, "int16": 2.0**-12}
ACTIVATIONS = st.sampled_from(["none", "relu", "relu6"])


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 70), st.integers(1, 9)),
    exponent=st.integers(-15, 3),
    activation=ACTIVATIONS,
    style=STYLES,
    dtype=DTYPES,
    bits=st.sampled_from([8, 4]),
    zero=st.integers(-128, 127),
    target=TARGETS,
    seed=st.integers(0, 2**32),
)
def test_fully_connected(
    size: tuple[int, int, int],
    exponent: int,
    activation: str,
    style: str,
    dtype: str,
    bits: int,
    zero: int,
    target: CodeTarget,
    seed: int,
) -> None:
    rows, columns, channels = size
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((channels, columns)) * rng.choice([0.0, 1e-4, 1.0], (channels, 1))
    operands = {1: weight, 2: rng.standard_normal(channels)}
    zero = 0 if dtype == "int16" else zero
    x = scaled("x", (rows, columns), dtype, SCALES[dtype], zero)
    y = scaled("y", (rows, channels), dtype, 2.0**exponent, -1 - zero if dtype == "int8" else 0)
    inputs = [x, scaled("w", weight.shape), scaled("b", (channels,))]
    try:
        graph = one_operator("fully_connected", inputs, y, {"activation": activation}, operands, bits)
    except QuantizationError:
        reject()
    call = fully_connected(Request(next(graph.operators()), graph, target, "p"))
    # Weights that are unpacked at run time take another struct: test_kernels_packed.py.
    assume(call.values["variant"] == "tinydsn" and not call.values.get("packed"))
    data = fill(rng, (rows, columns), style, dtype)
    matrix, kept = matrix_of(dict(call.values), call.arrays)
    output, scratch = np.zeros((rows, channels), dtype), np.zeros(call.scratch, np.int8)
    function = getattr(kernel_library(target.interleaved), str(call.values["kernel"]))
    function(ctypes.byref(matrix), address(data), rows, columns, address(scratch), address(output))
    np.testing.assert_array_equal(output, reference(graph, {"x": data})[0])
    assert kept


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 12)),
    depth=st.integers(1, 6),
    channels=st.integers(1, 5),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    padding=st.tuples(*(st.integers(0, 3) for _ in range(4))),
    style=STYLES,
    dtype=DTYPES,
    depthwise=st.booleans(),
    target=TARGETS,
    seed=st.integers(0, 2**32),
)
def test_convolution(
    size: tuple[int, int],
    depth: int,
    channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int, int, int],
    style: str,
    dtype: str,
    depthwise: bool,
    target: CodeTarget,
    seed: int,
) -> None:
    out = []
    for axis in range(2):
        room = size[axis] + padding[2 * axis] + padding[2 * axis + 1]
        out.append((room - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1)
    assume(min(out) >= 1)
    rng = np.random.default_rng(seed)
    channels = depth if depthwise else channels
    shape = (*kernel, depth) if depthwise else (channels, *kernel, depth)
    operands = {1: rng.standard_normal(shape), 2: rng.standard_normal(channels)}
    scale, zero = SCALES[dtype], 7 if dtype == "int8" else 0
    x, y = (
        scaled("x", (*size, depth), dtype, scale, zero),
        scaled("y", (*out, channels), dtype, 4 * scale, -zero),
    )
    inputs = [x, scaled("w", shape), scaled("b", (channels,))]
    attributes = {"stride": stride, "dilation": dilation, "padding": padding, "activation": "none"}
    kind = "depthwise_conv2d" if depthwise else "conv2d"
    graph = one_operator(kind, inputs, y, attributes, operands)
    call = (depthwise_conv2d if depthwise else conv2d)(Request(next(graph.operators()), graph, target, "p"))
    data = fill(rng, (*size, depth), style, dtype)
    matrix, kept = matrix_of(dict(call.values), call.arrays)
    window = call.values["window"]
    assert isinstance(window, Window)
    pairs = (window.kernel, window.stride, window.dilation, window.before, window.out)
    geometry = Geometry(*window.size, window.channels, *(value for pair in pairs for value in pair))
    output, scratch = np.zeros((*out, channels), dtype), np.zeros(call.scratch, np.int8)
    suffix = "s8" if dtype == "int8" else "s16"
    function = getattr(
        kernel_library(target.interleaved), f"tinydsn_{'depthwise' if depthwise else 'convolve'}_{suffix}"
    )
    offset = ([-zero] if depthwise else [zero]) if dtype == "int8" else []
    memory = [] if depthwise else [address(scratch)]
    function(ctypes.byref(matrix), ctypes.byref(geometry), *offset, address(data), *memory, address(output))
    np.testing.assert_array_equal(output, reference(graph, {"x": data})[0])
    assert kept
