"""Weights of 2 to 7 bits: what is packed, and C that unpacks it equals the NumPy meaning."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernel_harness import DSP, HOST, assert_equal, compile_graph, one_operator, scaled

from quant.graph import IntegerGraph
from tinydsn.codegen import emit_packed
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import design
from tinydsn.codegen.layouts import (
    depthwise_order,
    pack_brief_scales,
    pack_depthwise,
    pack_fields,
    pack_scales,
    pack_small_scales,
)

LAYOUTS = pytest.mark.parametrize("target", [HOST, DSP], ids=["natural", "interleaved"])
WIDTHS = pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
MVE = CodeTarget(dsp=True, mve=True)


def operator(kind: str, dtype: str, bits: int, image: tuple[int, ...], channels: int) -> IntegerGraph:
    """Random weights: a convolution of 3x3 with padding, or a layer over the rows of ``image``."""
    rng = np.random.default_rng([bits, *image, channels])
    shapes = {
        "fully_connected": (channels, image[-1]),
        "conv2d": (channels, 3, 3, image[-1]),
        "depthwise_conv2d": (3, 3, channels),
    }
    weight = rng.standard_normal(shapes[kind])
    weight *= 1.5 / math.sqrt(weight.size / channels)
    bias = rng.standard_normal(channels) / 4
    zero, scale = (-11, 0.03) if dtype == "int8" else (0, 2.0**-12)
    inputs = [scaled("x", image, dtype, scale, zero), scaled("w", weight.shape), scaled("b", bias.shape)]
    output = scaled("y", (*image[:-1], channels), dtype, scale, zero)
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
    attributes = {"activation": "relu6", **({} if kind == "fully_connected" else window)}
    return one_operator(kind, inputs, output, attributes, {1: weight, 2: bias}, bits)


CASES = [
    ("fully_connected", (5, 23), 13),
    ("fully_connected", (1, 40), 21),
    ("conv2d", (3, 4, 3), 9),
    ("depthwise_conv2d", (3, 5, 7), 7),
]


@LAYOUTS
@WIDTHS
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_packed_weights(bits: int, dtype: str, target: CodeTarget) -> None:
    for kind, image, channels in (CASES[0], CASES[1 + bits % 3]):
        graph = operator(kind, dtype, bits, image, channels)
        assert "tinydsn_unpack" in compile_graph(graph, target).made.kernels or (bits, image[0]) == (4, 1)
        assert_equal(graph, np.random.default_rng(bits), target)


@LAYOUTS
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("case", CASES[:3], ids=["rows", "row", "image"])
def test_groups_of_channels(
    case: tuple, dtype: str, target: CodeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matrices that are larger than the buffer: 8 channels at a time."""
    monkeypatch.setattr(emit_packed, "BUFFER", 64)
    kind, image, channels = case
    for bits in (3, 6):
        graph = operator(kind, dtype, bits, image, channels)
        made = compile_graph(graph, target).made
        assert made.calls["op"].values["packed"]["group"] == 8  # type: ignore[index]
        assert_equal(graph, np.random.default_rng(bits), target)


@WIDTHS
@pytest.mark.parametrize("target", [HOST, DSP, MVE], ids=["natural", "interleaved", "mve"])
@pytest.mark.parametrize("buffer", [64, 2048])
def test_a_matrix_takes_exactly_its_bits(
    bits: int, target: CodeTarget, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emit_packed, "BUFFER", buffer)
    for kind, image, channels in CASES:
        weight = design(operator(kind, "int16", bits, image, channels), target).arrays["tinydsn_op_weight"]
        taps = {"fully_connected": image[-1], "conv2d": 9 * image[-1], "depthwise_conv2d": 9}[kind]
        if target.interleaved and kind != "depthwise_conv2d":
            taps = -(-taps // 4) * 4
        if not (bits == 4 and image == (1, 40)):
            assert weight.values.nbytes == math.ceil(taps * channels * bits / 8)


def test_fields_of_a_block() -> None:
    codes = np.arange(32) % 8  # 3 bits: two for 0, 0, 1, 1, ... and one for 0, 1, 0, 1, ...
    packed = pack_fields(codes, 3).reshape(3, 4)
    # every word of the block is 0123 or 4567: the first has the upper bits 0, 0, 1, 1, the second 2, 2, 3, 3
    assert packed[0].tolist() == [0, 0, 0b01010101, 0b01010101]
    assert packed[1].tolist() == [0b10101010, 0b10101010, 255, 255]
    assert packed[2].tolist() == [0, 255, 0, 255]
    # what is left over is a string of fields
    assert pack_fields(np.array([1, -1, 2]), 3).tolist() == [0b10111001, 0]
    first = np.where(np.arange(32) < 16, 5, -3)
    assert pack_fields(first, 4).tolist() == [0x5D] * 16


@pytest.mark.parametrize("wide", [True, False])
def test_depthwise_weights_are_the_same_ones(wide: bool) -> None:
    taps = np.arange(12).reshape(2, 6)
    stored = pack_depthwise(taps, wide, DSP).view("<i2")
    assert stored.tolist() == depthwise_order(taps, wide, DSP).tolist()


@pytest.mark.parametrize("target", [DSP, MVE], ids=["by channel", "by fours"])
def test_small_scales_are_the_same_ones(target: CodeTarget) -> None:
    bias, multiplier = np.array([-9, 8, 7, 6, 5]), np.array([0, 32767, 16384, 20000 << 16, 24576 << 3])
    shift = np.array([0, 3, 0, 0, 0])
    wide = pack_small_scales(pack_scales(bias, multiplier, shift, False, target), True, target)
    assert wide[:20].view("<i4").tolist() == bias.tolist()
    assert wide[20:30].view("<i2").tolist() == [0, 32767, 16384, 20000, 24576]
    assert wide[30:].view("<i1").tolist() == [0, -3, 0, 16, 3]
    narrow = pack_small_scales(pack_scales(bias, multiplier, shift, True, target), False, target)
    doubled = (2 * multiplier).astype(np.int32).tolist()
    assert narrow[20:40].view("<i4").tolist() == (doubled if target.interleaved else multiplier.tolist())
    assert narrow[40:].tolist() == shift.tolist()


def test_brief_scales_have_two_words() -> None:
    bias, multiplier = np.array([-9, 8, 7, 6, 5]), np.array([0, 32767, 16384, 20000, 24576])
    shift = np.array([0, 3, 31, 1, 2])
    words = [0, 32767 << 16 | 3, 16384 << 16 | 31, 20000 << 16 | 1, 24576 << 16 | 2]
    assert pack_brief_scales(bias, multiplier, shift, DSP).reshape(-1, 2).T.tolist() == [bias.tolist(), words]
    fours = pack_brief_scales(bias, multiplier, shift, MVE)
    assert fours[:4].tolist() == bias[:4].tolist()
    assert fours[4:8].tolist() == [0, 32767 << 16 | 253, 16384 << 16 | 225, 20000 << 16 | 255]
    assert fours[8:].tolist() == [5, words[4]]


def test_four_bits_with_a_large_scale_are_upper_bits() -> None:
    """A sum's scale above a quarter of the output's has no kernel for 32-bit sums: as upper bits it has."""
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((6, 20)) * 3
    inputs = [scaled("x", (1, 20)), scaled("w", weight.shape), scaled("b", (6,))]
    graph = one_operator(
        "fully_connected",
        inputs,
        scaled("y", (1, 6)),
        {"activation": "none"},
        {1: weight, 2: weight[:, 0]},
        4,
    )
    (made,) = graph.operators()
    assert made.attributes["weight_shift"] == 4 and not np.any(graph.constants["op.weight"] % 16)
    assert compile_graph(graph, DSP).made.calls["op"].values["packed"]["unpack"] == "tinydsn_unpack_4_upper"  # type: ignore[index]
    assert_equal(graph, rng, DSP)
