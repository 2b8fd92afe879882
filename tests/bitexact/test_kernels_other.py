"""Elementwise, moving and row-wise operators in C equal their NumPy meaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_harness import DSP, HOST, assert_equal, compile_graph, one_operator, reference, scaled

from tinydsn.codegen.call import CodeTarget

Q15 = 2.0**-15
SUMS = [(0.04, 0.011, 0.03), (0.011, 0.04, 0.05), (0.02, 0.02, 0.02), (1.0, 1e-4, 0.5)]
"""Of both inputs and the output."""
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])
BROADCASTS = [((3, 5), (3, 5)), ((4, 6), (6,)), ((4, 7), (7,)), ((2, 3, 4), (1,)), ((3, 3), ()), ((1,), (1,))]


def generator() -> np.random.Generator:
    return np.random.default_rng(2024)


@TYPES
@pytest.mark.parametrize("shapes", BROADCASTS)
@pytest.mark.parametrize("kind", ["add", "sub"])
def test_sums(kind: str, shapes: tuple, dtype: str) -> None:
    for activation in ("none", "relu"):
        if dtype == "int16":
            a, b, y = (scaled(name, shape) for name, shape in zip("aby", (*shapes, shapes[0]), strict=True))
        else:
            a, b = scaled("a", shapes[0], dtype, 0.04, -128), scaled("b", shapes[1], dtype, 0.011, 127)
            y = scaled("y", shapes[0], dtype, 0.03, 5)
        assert_equal(one_operator(kind, [a, b], y, {"activation": activation}), generator())


@pytest.mark.parametrize("kind", ["add", "sub"])
@pytest.mark.parametrize("scales", SUMS)
def test_int8_sums_of_every_two_values(kind: str, scales: tuple[float, float, float]) -> None:
    for zeros in ((-128, 127, 5), (3, -3, -128)):
        each = zip("aby", scales, zeros, strict=True)
        tensors = [scaled(name, (65536,), "int8", scale, zero) for name, scale, zero in each]
        graph = one_operator(kind, tensors[:2], tensors[2], {"activation": "relu"})
        values = np.arange(-128, 128).astype(np.int8)
        every = {"a": np.repeat(values, 256), "b": np.tile(values, 256)}
        wanted = reference(graph, every)[0]
        for target in (HOST, DSP):
            np.testing.assert_array_equal(compile_graph(graph, target).run(every)[0], wanted)


@TYPES
def test_a_sum_with_a_constant(dtype: str) -> None:
    a, b, y = (scaled(name, shape, dtype) for name, shape in zip("aby", ((2, 5), (5,), (2, 5)), strict=True))
    graph = one_operator("add", [a, b], y, {"activation": "none"}, {1: np.linspace(-1, 1, 5)})
    assert_equal(graph, generator())


@TYPES
@pytest.mark.parametrize("shapes", BROADCASTS)
def test_mul(shapes: tuple, dtype: str) -> None:
    zero = 9 if dtype == "int8" else 0
    scale = 2.0**-12 if dtype == "int16" else 0.02
    a, b = scaled("a", shapes[0], dtype, scale, zero), scaled("b", shapes[1], dtype, scale, -zero)
    for output_scale in (scale, scale**2 / 3):
        y = scaled("y", shapes[0], dtype, output_scale, zero)
        assert_equal(one_operator("mul", [a, b], y, {"activation": "none"}), generator())


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
@pytest.mark.parametrize("exponent", [-18, -15, -12, -11, -5, 2, 4])
def test_int16_activations_over_every_input(kind: str, exponent: int) -> None:
    x, y = scaled("x", (65536,), "int16", 2.0**exponent), scaled("y", (65536,), "int16", Q15)
    graph = one_operator(kind, [x], y, {})
    everything = {"x": np.arange(-32768, 32768).astype(np.int16)}
    np.testing.assert_array_equal(compile_graph(graph).run(everything)[0], reference(graph, everything)[0])


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
def test_int8_activations(kind: str) -> None:
    scale, zero = (1 / 256, -128) if kind == "sigmoid" else (1 / 128, 0)
    y = scaled("y", (256,), "int8", scale, zero)
    assert_equal(one_operator(kind, [scaled("x", (256,), "int8", 0.05, 3)], y, {}), generator())


@TYPES
@pytest.mark.parametrize("function", ["exp", "silu", "sqrt", "abs"])
def test_tables(function: str, dtype: str) -> None:
    scale = 2.0**-12 if dtype == "int16" else 0.04
    x, y = scaled("x", (999,), dtype, scale), scaled("y", (999,), dtype, scale)
    assert_equal(one_operator("table", [x], y, {"function": function}), generator())


@TYPES
def test_relu_and_leaky_relu(dtype: str) -> None:
    zero = -20 if dtype == "int8" else 0
    x = scaled("x", (3, 11), dtype, 0.02, zero)
    assert_equal(one_operator("relu", [x], scaled("y", (3, 11), dtype, 0.02, zero), {}), generator())
    y = scaled("y", (3, 11), dtype, 0.013, -zero)
    assert_equal(one_operator("leaky_relu", [x], y, {"alpha": 0.1}), generator())


@pytest.mark.parametrize("source", ["int8", "int16"])
@pytest.mark.parametrize("target", ["int8", "int16"])
@pytest.mark.parametrize("scales", [(0.01, 0.02), (0.02, 0.0003), (1e-4, 0.5)])
def test_requantize(source: str, target: str, scales: tuple[float, float]) -> None:
    x = scaled("x", (42,), source, scales[0], 100 if source == "int8" else 0)
    y = scaled("y", (42,), target, scales[1], -77 if target == "int8" else 0)
    for core in (HOST, DSP):
        assert_equal(one_operator("requantize", [x], y, {}), generator(), core)


@pytest.mark.parametrize("target", ["int8", "int16"])
@pytest.mark.parametrize("factor", [2.0**-9, 0.0371, 0.5, 0.77, 1.0, 1.93, 130.0, 255.3, 700.0])
def test_requantize_over_every_int8(factor: float, target: str) -> None:
    every = {"x": np.arange(-128, 128).astype(np.int8)}
    for zero in (-128, -3, 127):
        y = scaled("y", (256,), target, 1.0, 9 if target == "int8" else 0)
        graph = one_operator("requantize", [scaled("x", (256,), "int8", factor, zero)], y, {})
        found = compile_graph(graph, DSP).run(every)[0]
        np.testing.assert_array_equal(found, reference(graph, every)[0])


@pytest.mark.parametrize("target", ["int8", "int16"])
@pytest.mark.parametrize("factor", [2.0**-16, 0.003, 2.0**-8, 0.49, 0.5, 1.0, 1.7, 130.0, 20000.0, 1e6])
def test_requantize_over_every_int16(factor: float, target: str) -> None:
    y = scaled("y", (65536,), target, 1.0, 9 if target == "int8" else 0)
    graph = one_operator("requantize", [scaled("x", (65536,), "int16", factor)], y, {})
    every = {"x": np.arange(-32768, 32768).astype(np.int16)}
    for core in (HOST, DSP):
        np.testing.assert_array_equal(compile_graph(graph, core).run(every)[0], reference(graph, every)[0])


@TYPES
@pytest.mark.parametrize(
    ("shape", "permutation"),
    [((3, 4), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (0, 2, 1)), ((2, 1, 3, 4, 2), (4, 1, 2, 0, 3))],
)
def test_transpose(shape: tuple[int, ...], permutation: tuple[int, ...], dtype: str) -> None:
    y = scaled("y", tuple(shape[axis] for axis in permutation), dtype)
    graph = one_operator("transpose", [scaled("x", shape, dtype)], y, {"permutation": permutation})
    assert_equal(graph, generator())


@TYPES
@pytest.mark.parametrize(("axis", "begin", "end"), [(0, 1, 3), (1, 2, 5), (2, 0, 1), (-1, 1, 3)])
def test_slice(axis: int, begin: int, end: int, dtype: str) -> None:
    shape = [4, 5, 3]
    shape[axis] = end - begin
    attributes = {"axis": axis, "begin": begin, "end": end}
    x, y = scaled("x", (4, 5, 3), dtype), scaled("y", tuple(shape), dtype)
    graph = one_operator("slice", [x], y, attributes)
    assert_equal(graph, generator())


@TYPES
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(axis: int, dtype: str) -> None:
    shapes = [[2, 3, 4], [2, 3, 4], [2, 3, 4]]
    for index, shape in enumerate(shapes):
        shape[axis] = index + 1
    total = [2, 3, 4]
    total[axis] = 6
    inputs = [scaled(f"x{index}", tuple(shape), dtype) for index, shape in enumerate(shapes)]
    y = scaled("y", tuple(total), dtype)
    assert_equal(one_operator("concat", inputs, y, {"axis": axis}), generator())


@TYPES
def test_pad(dtype: str) -> None:
    zero = 12 if dtype == "int8" else 0
    x, y = scaled("x", (2, 3, 2), dtype, 0.1, zero), scaled("y", (4, 3, 7), dtype, 0.1, zero)
    assert_equal(one_operator("pad", [x], y, {"before": (1, 0, 3), "after": (1, 0, 2)}), generator())


@pytest.mark.parametrize(("rows", "hidden"), [(1, 16), (16, 16), (3, 1)])
def test_gru_update(rows: int, hidden: int) -> None:
    gx, gh = scaled("gx", (rows, 3 * hidden)), scaled("gh", (rows, 3 * hidden))
    state, y = scaled("h", (rows, hidden), "int16", Q15), scaled("y", (rows, hidden), "int16", Q15)
    assert_equal(one_operator("gru_update", [gx, gh, state], y, {}), generator(), runs=30)


@pytest.mark.parametrize("target", [HOST, DSP], ids=["plain", "dsp"])
@pytest.mark.parametrize("columns", [1, 2, 3, 24, 25, 256, 1024])
def test_layer_norm(columns: int, target: CodeTarget) -> None:
    rng = generator()
    settings = ((2.0**-12, 2.0**-12, 1e-5), (2.0**-15, 2.0**-2, 1e-5), (4.0, 1e-6, 1.0))
    for input_scale, output_scale, epsilon in settings:
        x = scaled("x", (6, columns), "int16", input_scale)
        y = scaled("y", (6, columns), "int16", output_scale)
        operands = {1: rng.uniform(-2, 2, columns), 2: rng.standard_normal(columns)}
        inputs = [x, scaled("g", (columns,)), scaled("b", (columns,))]
        assert_equal(one_operator("layer_norm", inputs, y, {"epsilon": epsilon}, operands), rng, target)


@pytest.mark.parametrize("target", [HOST, DSP], ids=["plain", "dsp"])
def test_layer_norm_where_the_root_leaves_its_range(target: CodeTarget) -> None:
    """V just below and at powers of four, at which 2^30 / sqrt(V) jumps from its lower to its upper end."""
    x, y = scaled("x", (400, 2)), scaled("y", (400, 2), "int16", 2.0**-14)
    operands = {1: np.array([1.9, -0.7]), 2: np.array([0.1, -0.3])}
    graph = one_operator("layer_norm", [x, *(scaled(n, (2,)) for n in "gb")], y, {"epsilon": 1e-5}, operands)
    (operator,) = graph.nodes
    rows = np.random.default_rng(3).integers(-200, 200, (400, 2)).astype(np.int16)
    rows[:100, 1] = rows[:100, 0] - 1  # V is 2 + epsilon
    for power in (2, 8, 20, 34, 50, 60):
        for below in (0, 1, 2, 3, 4, 2 ** max(0, power - 30)):
            attributes = {**operator.attributes, "epsilon": max(1, 2**power - below)}
            changed = graph.replace(nodes=(replace(operator, attributes=attributes),))
            wanted = reference(changed, {"x": rows})[0]  # type: ignore[arg-type]
            found = compile_graph(changed, target).run({"x": rows})[0]  # type: ignore[arg-type]
            np.testing.assert_array_equal(found, wanted)


@TYPES
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("size", [(2, 16, 4, 16), (1, 3, 5, 7), (3, 1, 1, 1), (1, 2, 90, 4), (2, 5, 2, 6)])
def test_batch_matmul(size: tuple[int, int, int, int], transpose_b: bool, dtype: str) -> None:
    batches, rows, inner, columns = size
    zero = 30 if dtype == "int8" else 0
    scale = 2.0**-12 if dtype == "int16" else 0.02
    a = scaled("a", (batches, rows, inner), dtype, scale, zero)
    b_shape = (batches, columns, inner) if transpose_b else (batches, inner, columns)
    b = scaled("b", b_shape, dtype, scale, -zero)
    for output_scale in (scale, scale**2 * 2, scale * 20):
        y = scaled("y", (batches, rows, columns), dtype, output_scale, zero)
        graph = one_operator("batch_matmul", [a, b], y, {"transpose_b": transpose_b})
        for core in (HOST, DSP):
            assert_equal(graph, generator(), core)


@pytest.mark.parametrize("shape", [(4, 16), (1, 1), (3, 7), (1, 300)])
def test_softmax(shape: tuple[int, int]) -> None:
    for scale in (2.0**-18, 2.0**-12, 0.01, 0.1):
        x, y = scaled("x", shape, "int16", scale), scaled("y", shape, "int16", Q15)
        assert_equal(one_operator("softmax", [x], y, {}), generator(), runs=16)


def test_every_operator_of_the_table_has_an_emitter() -> None:
    from quant.ops import TABLE
    from tinydsn.codegen.kernels import EMITTERS, JOINED, KERNELS, SILENT, kernel_names

    assert set(TABLE) == {*EMITTERS, *SILENT} - JOINED == set(KERNELS)
    assert not JOINED & set(TABLE)
    assert kernel_names("conv2d", DSP) == (
        "int8: tinydsn_convolve_s8 (SMLAD); int16: tinydsn_convolve_s16 (SMLAD)"
    )
