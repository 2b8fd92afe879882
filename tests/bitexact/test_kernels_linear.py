"""Fully connected and convolutions in C equal their NumPy meaning: widths, layouts, ours and CMSIS-NN's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_harness import DSP, HOST, assert_equal, compile_graph, one_operator, scaled

from quant.errors import BoardError
from quant.graph import IntegerGraph
from tinydsn.codegen.call import CodeTarget, Request
from tinydsn.codegen.design import design
from tinydsn.codegen.layouts import pack_depthwise, pack_scales, pack_weights
from tinydsn.codegen.linear import narrow_is_proven

LAYOUTS = pytest.mark.parametrize("target", [HOST, DSP], ids=["natural", "interleaved"])
MVE = CodeTarget(dsp=True, mve=True)
THEIRS = CodeTarget(kernels="cmsis-nn")
ROWS = [(1, 16, 48), (1, 7, 5), (2, 24, 12), (3, 10, 9), (16, 12, 48), (5, 3, 1), (4, 130, 6), (1, 1, 1)]


def linear(
    rows: int, columns: int, channels: int, dtype: str, output_scale: float, seed: int = 0, bits: int = 8
) -> IntegerGraph:
    rng = np.random.default_rng([seed, rows, columns, channels])
    weight = rng.uniform(-2, 2, (channels, columns)) / np.sqrt(columns)
    weight[0] = 0  # a channel without weights
    bias = rng.standard_normal(channels) / 4
    bias[0] *= seed > 0
    zero = 7 if dtype == "int8" else 0
    data = scaled("x", (rows, columns), dtype, 2.0**-12 if dtype == "int16" else 0.031, zero)
    output = scaled("y", (rows, channels), dtype, output_scale, -zero)
    w, b = scaled("w", weight.shape), scaled("b", bias.shape)
    attributes = {"activation": ("none", "relu", "relu6")[seed % 3]}
    return one_operator("fully_connected", [data, w, b], output, attributes, {1: weight, 2: bias}, bits)


@LAYOUTS
@pytest.mark.parametrize("size", ROWS)
def test_fully_connected_16x8(size: tuple[int, int, int], target: CodeTarget) -> None:
    for seed in range(3):
        graph = linear(*size, "int16", 2.0**-12, seed)
        assert narrow_is_proven(Request(next(graph.operators()), graph, target, "p"))
        assert_equal(graph, np.random.default_rng(seed), target)


@LAYOUTS
@pytest.mark.parametrize("size", ROWS)
def test_fully_connected_int8(size: tuple[int, int, int], target: CodeTarget) -> None:
    for seed in range(3):
        graph = linear(*size, "int8", 0.027, seed)
        kernels = compile_graph(graph, target).made.kernels
        assert kernels == ("tinydsn_clamp", "tinydsn_fully_connected_s8")
        assert_equal(graph, np.random.default_rng(seed), target)


@LAYOUTS
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("size", ROWS)
def test_fully_connected_of_4_bits(size: tuple[int, int, int], dtype: str, target: CodeTarget) -> None:
    scale = 2.0**-12 if dtype == "int16" else 0.031
    for seed in range(3):
        graph = linear(*size, dtype, scale, seed, bits=4)
        whole = size[1] % (8 if target.interleaved else 2) == 0
        kernel = f"tinydsn_fully_connected_{'s16' if dtype == 'int16' else 's8'}"
        kernel += "_s4" if size[0] < 4 and whole else "_packed"
        assert kernel in compile_graph(graph, target).made.kernels
        assert_equal(graph, np.random.default_rng(seed), target)


@LAYOUTS
def test_int8_with_a_scale_above_a_half_runs_cmsis_nn(target: CodeTarget) -> None:
    graph = linear(3, 12, 8, "int8", 0.0002)
    assert not narrow_is_proven(Request(next(graph.operators()), graph, target, "p"))
    assert compile_graph(graph, target).made.kernels == ()
    assert_equal(graph, np.random.default_rng(1), target)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("size", ROWS)
def test_fully_connected_of_cmsis_nn(size: tuple[int, int, int], dtype: str) -> None:
    for seed in range(3):
        graph = linear(*size, dtype, 2.0**-12 if dtype == "int16" else 0.031, seed)
        assert compile_graph(graph, THEIRS).made.kernels == ()
        assert_equal(graph, np.random.default_rng(seed), THEIRS)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("bits", [8, 4])
def test_one_scale_for_all_channels_takes_cmsis_nns_fully_connected(dtype: str, rows: int, bits: int) -> None:
    top = 2 ** (bits - 1) - 1
    weight = np.random.default_rng(3).integers(-top, top + 1, (8, 16)) / top / 4
    weight[:, 0] = 0.25
    data, output = (
        scaled(n, (rows, k), dtype, 2.0**-6 if dtype == "int8" else 2.0**-12)
        for n, k in (("x", 16), ("y", 8))
    )
    inputs = [data, scaled("w", weight.shape), scaled("b", (8,))]
    graph = one_operator("fully_connected", inputs, output, {}, {1: weight, 2: np.arange(8) / 9}, bits)
    call = design(graph, THEIRS).calls["op"]
    single = dtype == "int16" or rows == 1 or bits == 4
    assert call.template == ("fully_connected" if single else "conv2d")
    assert_equal(graph, np.random.default_rng(1), THEIRS)


@LAYOUTS
def test_fully_connected_16x8_without_the_proof_sums_in_64_bits(target: CodeTarget) -> None:
    for graph in (linear(2, 2000, 4, "int16", 2.0**-3), linear(2, 8, 4, "int16", 2.0**-18)):
        assert not narrow_is_proven(Request(next(graph.operators()), graph, target, "p"))
        made = compile_graph(graph, target).made
        assert made.kernels == ("tinydsn_convolve_s16_wide",)
        assert_equal(graph, np.random.default_rng(1), target)


def test_interleaved_fours_alternate_between_two_channels() -> None:
    rows = np.arange(1, 19).reshape(3, 6)
    wide = [1, 3, 2, 4, 7, 9, 8, 10, 5, 0, 6, 0, 11, 0, 12, 0, 13, 15, 14, 16, 17, 0, 18, 0]
    assert pack_weights(rows, 8, True, DSP).tolist() == wide
    narrow = [1, 2, 3, 4, 7, 8, 9, 10, 5, 6, 0, 0, 11, 12, 0, 0, 13, 14, 15, 16, 17, 18, 0, 0]
    assert pack_weights(rows, 8, False, DSP).tolist() == narrow
    assert pack_weights(rows, 8, True, MVE).tolist() == rows.reshape(-1).tolist()


def test_nibbles_of_each_core_hold_the_weights_they_say() -> None:
    row = np.arange(-8, 8).reshape(1, 16)  # stored as 0..15

    def stored(wide: bool, target: CodeTarget) -> list[str]:
        return [f"{byte:02x}" for byte in pack_weights(row, 4, wide, target).view(np.uint8)]

    assert stored(True, HOST) == ["10", "32", "54", "76", "98", "ba", "dc", "fe"]
    assert stored(True, MVE) == ["80", "91", "a2", "b3", "c4", "d5", "e6", "f7"]
    # 16 columns of the block are beyond the row: weight 0, stored as 8
    assert stored(False, MVE)[:3] == ["80", "81", "82"]
    # a word is 75316420 in nibbles: pair j of columns in nibbles j and j + 4
    assert stored(True, DSP) == ["20", "64", "31", "75", "a8", "ec", "b9", "fd"]
    assert stored(False, DSP)[:4] == ["10", "54", "32", "76"]


def test_each_core_has_scales_of_its_own() -> None:
    bias, multiplier, shift = np.arange(5), np.arange(10, 15), np.arange(20, 25)
    plain = [0, 10, 20, 1, 11, 21, 2, 12, 22, 3, 13, 23, 4, 14, 24]
    assert pack_scales(bias, multiplier, shift, False, DSP).tolist() == plain
    powers = [0, 20, -2048, 1, 22, -1024, 2, 24, -512, 3, 26, -256, 4, 28, -128]
    assert pack_scales(bias, multiplier, shift, True, DSP).tolist() == powers
    fours = [0, 1, 2, 3, 10, 11, 12, 13, -20, -21, -22, -23, 4, 14, 24]
    assert pack_scales(bias, multiplier, shift, False, MVE).tolist() == fours
    assert pack_scales(bias, multiplier, shift, True, MVE).tolist()[8:12] == [-21, -22, -23, -24]


def test_depthwise_weights_go_by_four_channels_with_the_rest_at_the_end() -> None:
    taps = np.arange(12).reshape(2, 6)
    assert pack_depthwise(taps, True, HOST).tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 4, 5, 10, 11]
    wide = [0, 2, 1, 3, 6, 8, 7, 9, 4, 5, 10, 11]
    assert pack_depthwise(taps, False, DSP).view("<i2").tolist() == wide
    assert pack_depthwise(taps, True, DSP).view("<i2").tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 4, 5, 10, 11]


# (height, width, channels), out channels, kernel, stride, dilation, padding (top, bottom, left, right)
CONVOLUTIONS = [
    ((1, 64, 8), 8, (1, 3), (1, 1), (1, 1), (0, 0, 1, 1)),
    ((1, 64, 8), 24, (1, 3), (1, 2), (1, 1), (0, 0, 1, 1)),
    ((2, 66, 1), 8, (2, 5), (1, 4), (1, 1), (0, 0, 0, 0)),
    ((2, 64, 1), 8, (2, 5), (1, 4), (1, 1), (0, 0, 1, 1)),
    ((5, 6, 3), 5, (3, 3), (2, 1), (1, 1), (1, 1, 1, 1)),
    ((7, 9, 2), 3, (3, 2), (1, 1), (2, 3), (2, 2, 0, 3)),
    ((3, 5, 4), 6, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 2, 3), 4, (1, 5), (1, 1), (1, 1), (0, 0, 2, 2)),
    ((4, 4, 5), 2, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0)),
    ((1, 9, 2), 7, (1, 4), (1, 3), (1, 1), (0, 0, 3, 0)),
    ((4, 9, 2), 7, (1, 4), (1, 3), (1, 1), (1, 2, 3, 0)),
]


def convolution(case: tuple, dtype: str, depthwise: bool, seed: int = 0) -> IntegerGraph:
    shape, channels, kernel, stride, dilation, padding = case
    rng = np.random.default_rng(seed)
    channels = shape[2] if depthwise else channels
    weight_shape = (*kernel, channels) if depthwise else (channels, *kernel, shape[2])
    taps = kernel[0] * kernel[1] * (1 if depthwise else shape[2])
    weight = rng.standard_normal(weight_shape) / np.sqrt(taps)
    bias = rng.standard_normal(channels) / 4
    out = []
    for axis in range(2):
        extent = shape[axis] + padding[2 * axis] + padding[2 * axis + 1]
        out.append((extent - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1)
    zero = -11 if dtype == "int8" else 0
    scale = 2.0**-12 if dtype == "int16" else 0.03
    data = scaled("x", shape, dtype, scale, zero)
    output = scaled("y", (out[0], out[1], channels), dtype, scale, zero)
    attributes = {"stride": stride, "dilation": dilation, "padding": padding}
    attributes["activation"] = "relu" if seed else "none"
    inputs = [data, scaled("w", weight.shape), scaled("b", bias.shape)]
    kind = "depthwise_conv2d" if depthwise else "conv2d"
    return one_operator(kind, inputs, output, attributes, {1: weight, 2: bias})


@LAYOUTS
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv2d_16x8(case: tuple, target: CodeTarget) -> None:
    for seed in range(2):
        assert_equal(convolution(case, "int16", False, seed), np.random.default_rng(seed), target)


@LAYOUTS
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv2d_int8(case: tuple, target: CodeTarget) -> None:
    for seed in range(2):
        assert_equal(convolution(case, "int8", False, seed), np.random.default_rng(seed), target)


@LAYOUTS
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_depthwise_conv2d(case: tuple, dtype: str, target: CodeTarget) -> None:
    for seed in range(2):
        assert_equal(convolution(case, dtype, True, seed), np.random.default_rng(seed), target)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_of_cmsis_nn(case: tuple, dtype: str, depthwise: bool) -> None:
    graph = convolution(case, dtype, depthwise)
    assert compile_graph(graph, THEIRS).made.kernels == ()
    assert_equal(graph, np.random.default_rng(0), THEIRS)


@LAYOUTS
@pytest.mark.parametrize("channels", [4, 5, 12, 16])
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_depthwise_3x3_with_channels_beside_the_fours(channels: int, dtype: str, target: CodeTarget) -> None:
    case = ((5, 7, channels), 0, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
    for seed in range(2):
        assert_equal(convolution(case, dtype, True, seed), np.random.default_rng(seed), target)


def test_an_int8_layer_that_nothing_computes_is_refused() -> None:
    graph = convolution(((1, 1, 4), 4, (1, 3), (1, 1), (1, 1), (0, 0, 1, 1)), "int8", False)
    (operator,) = graph.operators()
    loud = {**operator.attributes, "shift": tuple(0 for _ in operator.attributes["shift"])}  # type: ignore[union-attr]
    broken = replace(graph, nodes=(replace(operator, attributes=loud),))
    with pytest.raises(BoardError) as caught:
        design(broken, MVE)
    assert str(caught.value) == (
        "operator 'op': a padded int8 convolution over one element with a scale above 1/2 does not run on "
        "cores with MVE (must have no padding, or int16 activations: activations = 16 in the precision table)"
    )
