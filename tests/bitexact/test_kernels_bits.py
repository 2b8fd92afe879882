"""Operators on bits in C equal their NumPy meaning, and that equals plain sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_harness import DSP, HOST, assert_equal, compile_graph, one_operator, reference, scaled

from quant import bits
from quant.graph import IntegerGraph, Tensor
from quant.ops.binary_conv2d import largest_sum
from tinydsn.codegen.call import CodeTarget

TARGETS = pytest.mark.parametrize("target", [HOST, DSP], ids=["plain", "interleaved"])
SHAPES = {
    "block": ((5, 10, 32), (32, 3, 3, 32), (1, 2), (2, 1), (0, 0, 1, 1)),
    "odd": ((4, 7, 40), (19, 2, 3, 40), (1, 1), (1, 2), (1, 0, 2, 1)),
    "point": ((2, 3, 5), (3, 1, 1, 5), (1, 1), (1, 1), (0, 0, 0, 0)),
    "words": ((3, 3, 64), (33, 3, 1, 64), (2, 1), (1, 1), (1, 1, 0, 0)),
    "padding": ((1, 2, 8), (4, 3, 5, 8), (1, 1), (1, 1), (2, 2, 4, 4)),
}
"""Input, weight, stride, dilation, padding."""


def words(name: str, shape: tuple[int, ...]) -> Tensor:
    return Tensor(name, bits.packed_shape(shape), bits.DTYPE, bits.UNIT)


def convolution(case: str, source: Tensor, scale: float = 1.0, seed: int = 1) -> IntegerGraph:
    """A binary convolution with weights and thresholds of random size."""
    shape, kernel, stride, dilation, padding = SHAPES[case]
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal(kernel)
    bias = rng.standard_normal(kernel[0]) * scale
    spans = [(size - 1) * step + 1 for size, step in zip(kernel[1:3], dilation, strict=True)]
    room = (shape[0] + padding[0] + padding[1], shape[1] + padding[2] + padding[3])
    out = tuple((a - b) // c + 1 for a, b, c in zip(room, spans, stride, strict=True))
    attributes = {"stride": stride, "dilation": dilation, "padding": padding}
    output = words("y", (*out, kernel[0]))
    inputs = [source, scaled("w", kernel, "int8"), scaled("b", (kernel[0],), "int8")]
    return one_operator("binary_conv2d", inputs, output, attributes, {1: weight, 2: bias})


def drawn(shape: tuple[int, ...], run: int) -> np.ndarray:
    """Packed bits: none, all, a few, or half of them."""
    share = (0.0, 1.0, 0.1, 0.5, 0.9)[run]
    return bits.pack(np.random.default_rng(run).random(shape) < share)


def check_bits(graph: IntegerGraph, shape: tuple[int, ...], target: CodeTarget) -> None:
    compiled, seen = compile_graph(graph, target), []
    for run in range(5):
        inputs = {"x": drawn(shape, run)}
        (found,), (expected,) = compiled.run(inputs), reference(graph, inputs)
        np.testing.assert_array_equal(found, expected, err_msg=f"run {run}")
        seen.append(found)
    assert len({item.tobytes() for item in seen}) > 1


@TARGETS
@pytest.mark.parametrize("case", SHAPES)
def test_bits_to_bits(case: str, target: CodeTarget) -> None:
    shape = SHAPES[case][0]
    check_bits(convolution(case, words("x", shape)), shape, target)


@TARGETS
@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_numbers_to_bits(case: str, dtype: str, target: CodeTarget) -> None:
    source = scaled("x", SHAPES[case][0], dtype, 0.02, 0 if dtype == "int16" else -9)
    assert_equal(convolution(case, source), np.random.default_rng(3), target)


@TARGETS
def test_sums_beyond_16_bits_are_exact(target: CodeTarget) -> None:
    shape = (9, 9, 32)
    source, output = words("x", shape), words("y", (1, 1, 4))
    weight = np.full((4, 9, 9, 32), 1.0)
    weight[1], weight[2, ::2] = -1.0, -1.0
    attributes = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    inputs = [source, scaled("w", weight.shape, "int8"), scaled("b", (4,), "int8")]
    bias = np.array([-2591.5, 2591.5, 0.0, 100.0])
    graph = one_operator("binary_conv2d", inputs, output, attributes, {1: weight, 2: bias})
    assert largest_sum(next(graph.operators()), graph) == 2592 * 127 > 2**15
    check_bits(graph, shape, target)


def test_the_meaning_is_a_sum_of_the_weights_of_set_bits() -> None:
    graph = convolution("point", words("x", SHAPES["point"][0]))
    weight, threshold = (graph.constants[f"op.{name}"].astype(int) for name in ("weight", "threshold"))
    taken = np.random.default_rng(0).random((2, 3, 5)) < 0.5
    (found,) = reference(graph, {"x": bits.pack(taken)})
    for y, x in np.ndindex(2, 3):
        sums = [sum(weight[n, 0, 0, c] for c in range(5) if taken[y, x, c]) for n in range(3)]
        assert bits.unpack(found, 3)[y, x].tolist() == [
            int(a > b) for a, b in zip(sums, threshold, strict=True)
        ]


def test_a_threshold_is_met_exactly() -> None:
    """sum + bias > 0 with a bias that makes the sum of one weight exactly zero, a bit more, a bit less."""
    inputs = [words("x", (1, 1, 1)), scaled("w", (3, 1, 1, 1), "int8"), scaled("b", (3,), "int8")]
    attributes = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    bias = np.array([-1.0, -1.0 + 1e-9, -1.0 - 1e-9])
    graph = one_operator(
        "binary_conv2d", inputs, words("y", (1, 1, 3)), attributes, {1: np.ones((3, 1, 1, 1)), 2: bias}
    )
    scale = np.float32(1 / 127).astype(float)
    assert graph.constants["op.threshold"].tolist() == [int(np.floor(-b / scale)) for b in bias]
    (found,) = reference(graph, {"x": bits.pack(np.ones((1, 1, 1)))})
    assert bits.unpack(found, 3).ravel().tolist() == [int(127 * scale + b > 0) for b in bias]


@TARGETS
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("shape", [(40,), (3, 5), (2, 3, 64)])
def test_steps_and_back(dtype: str, shape: tuple[int, ...], target: CodeTarget) -> None:
    source = scaled("x", shape, dtype, 0.02, 0 if dtype == "int16" else -9)
    assert_equal(one_operator("step", [source], words("y", shape), {}), np.random.default_rng(3), target)
    output = replace(source, name="y")
    graph = one_operator("unpack", [words("x", shape)], output, {})
    compiled = compile_graph(graph, target)
    for run in range(5):
        inputs = {"x": drawn(shape, run)}
        np.testing.assert_array_equal(compiled.run(inputs)[0], reference(graph, inputs)[0])
    assert reference(graph, {"x": drawn(shape, 1)})[0].max() == round(50 + output.quantization.zero_point)  # type: ignore[union-attr]
