"""The 16x8 kernels called directly, over shapes and values that hypothesis chooses."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from kernel_harness import DSP, HOST, kernel_library, one_operator, reference, scaled

from quant.errors import QuantizationError
from tinydsn.codegen.call import CodeTarget, Request
from tinydsn.codegen.emit_linear import Window, conv2d, fully_connected


class Matrix(ctypes.Structure):
    """tinydsn_matrix_s16."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("columns", "channels", "low", "high", "rounded")),
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
    ]


class Geometry(ctypes.Structure):
    """tinydsn_window."""

    _fields_ = [(f"word{index}", ctypes.c_int32) for index in range(13)]


def matrix_of(values: dict, arrays: tuple) -> tuple[Matrix, list[np.ndarray]]:
    """The struct, and the arrays it points at."""
    kept = [np.ascontiguousarray(array.values) for array in arrays]
    words = [values[name] for name in ("columns", "channels", "low", "high", "rounded")]
    return Matrix(*words, *(array.ctypes.data for array in kept)), kept


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def fill(rng: np.random.Generator, shape: tuple[int, ...], style: str) -> np.ndarray:
    if style == "rims":
        return rng.choice(np.array([-32768, 32767], np.int16), shape)
    if style == "lowest":
        return np.full(shape, -32768, np.int16)
    return rng.integers(-32768, 32768, shape).astype(np.int16)


STYLES = st.sampled_from(["any", "rims", "lowest"])
TARGETS = st.sampled_from([HOST, DSP])
ACTIVATIONS = st.sampled_from(["none", "relu", "relu6"])


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 70), st.integers(1, 9)),
    exponent=st.integers(-15, 3),
    activation=ACTIVATIONS,
    style=STYLES,
    target=TARGETS,
    seed=st.integers(0, 2**32),
)
def test_fully_connected(
    size: tuple[int, int, int], exponent: int, activation: str, style: str, target: CodeTarget, seed: int
) -> None:
    rows, columns, channels = size
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((channels, columns)) * rng.choice([0.0, 1e-4, 1.0], (channels, 1))
    operands = {1: weight, 2: rng.standard_normal(channels)}
    x, y = scaled("x", (rows, columns)), scaled("y", (rows, channels), "int16", 2.0**exponent)
    inputs = [x, scaled("w", weight.shape), scaled("b", (channels,))]
    try:
        graph = one_operator("fully_connected", inputs, y, {"activation": activation}, operands)
    except QuantizationError:
        reject()
    call = fully_connected(Request(next(graph.operators()), graph, target, "p"))
    assume(call.values["variant"] == "s16")
    data = fill(rng, (rows, columns), style)
    matrix, kept = matrix_of(dict(call.values), call.arrays)
    output = np.zeros((rows, channels), np.int16)
    library = kernel_library(target.interleaved)
    library.tinydsn_fully_connected_s16(ctypes.byref(matrix), address(data), rows, columns, address(output))
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
    target: CodeTarget,
    seed: int,
) -> None:
    out = []
    for axis in range(2):
        room = size[axis] + padding[2 * axis] + padding[2 * axis + 1]
        out.append((room - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1)
    assume(min(out) >= 1)
    rng = np.random.default_rng(seed)
    operands = {1: rng.standard_normal((channels, *kernel, depth)), 2: rng.standard_normal(channels)}
    x, y = scaled("x", (*size, depth)), scaled("y", (*out, channels), "int16", 2.0**-10)
    inputs = [x, scaled("w", operands[1].shape), scaled("b", (channels,))]
    attributes = {"stride": stride, "dilation": dilation, "padding": padding, "activation": "none"}
    graph = one_operator("conv2d", inputs, y, attributes, operands)
    call = conv2d(Request(next(graph.operators()), graph, target, "p"))
    data = fill(rng, (*size, depth), style)
    matrix, kept = matrix_of(dict(call.values), call.arrays)
    window = call.values["window"]
    assert isinstance(window, Window)
    pairs = (window.kernel, window.stride, window.dilation, window.before, window.out)
    geometry = Geometry(*window.size, window.channels, *(value for pair in pairs for value in pair))
    output, scratch = np.zeros((*out, channels), np.int16), np.zeros(call.scratch // 2, np.int16)
    library = kernel_library(target.interleaved)
    library.tinydsn_convolve_s16(
        ctypes.byref(matrix), ctypes.byref(geometry), address(data), address(scratch), address(output)
    )
    np.testing.assert_array_equal(output, reference(graph, {"x": data})[0])
    assert kept
