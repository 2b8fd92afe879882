"""Sums, products, activations, tables, changes of scale and copies equal tflite-micro bit for bit."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle_harness import DTYPES, RUNS, SEEDS, WIDE_AND_NARROW, ZEROS, assert_equal, scales, small, tensor

from quant.errors import TinydsnError
from quant.graph import Quantization
from quant.ops.activation_tables import sigmoid_table

SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)
Q15 = 2.0**-15


@pytest.mark.parametrize("kind", ["add", "sub"])
@small(60)
@given(data=st.data())
def test_int8_sums(kind: str, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    other = shape[data.draw(st.integers(0, len(shape))) :]
    one, two, out = (data.draw(scales(1e-3, 1.0)) for _ in range(3))
    assert_equal(
        kind,
        [
            tensor("a", shape, "int8", one, data.draw(ZEROS)),
            tensor("b", other or (1,), "int8", two, data.draw(ZEROS)),
        ],
        tensor("y", shape, "int8", out, data.draw(ZEROS)),
        {"activation": data.draw(st.sampled_from(["none", "relu"]))},
        data.draw(SEEDS),
        data.draw(RUNS),
    )


@pytest.mark.parametrize("kind", ["add", "sub"])
@small(60)
@given(shape=SHAPES, scale=scales(), relu=st.booleans(), seed=SEEDS, run=RUNS)
def test_int16_sums_of_one_scale(
    kind: str, shape: tuple[int, ...], scale: float, relu: bool, seed: int, run: int
) -> None:
    inputs = [tensor("a", shape, "int16", scale), tensor("b", shape, "int16", scale)]
    attributes = {"activation": "relu" if relu else "none"}
    assert_equal(kind, inputs, tensor("y", shape, "int16", scale), attributes, seed, run)


@WIDE_AND_NARROW
@small(60)
@given(data=st.data())
def test_mul(dtype: str, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    other = shape[data.draw(st.integers(0, len(shape))) :]
    one, two = data.draw(scales(1e-3, 1.0)), data.draw(scales(1e-3, 1.0))
    # an output scale below the product's would overflow the 32 bits of int16 products; see mul.accumulator
    out = one * two * data.draw(scales(0.1 if dtype == "int8" else 1.01, 30000.0))
    assert_equal(
        "mul",
        [
            tensor("a", shape, dtype, one, data.draw(ZEROS)),
            tensor("b", other or (1,), dtype, two, data.draw(ZEROS)),
        ],
        tensor("y", shape, dtype, out, data.draw(ZEROS)),
        {"activation": data.draw(st.sampled_from(["none", "relu"]))},
        data.draw(SEEDS),
        data.draw(RUNS),
    )


@WIDE_AND_NARROW
@small(80)
@given(
    scale=scales(1e-4, 1.0),
    ratio=scales(0.05, 20.0),
    zero_in=ZEROS,
    zero_out=ZEROS,
    alpha=st.floats(0.0, 1.0, width=32),
    seed=SEEDS,
    run=RUNS,
)
def test_leaky_relu(
    dtype: str, scale: float, ratio: float, zero_in: int, zero_out: int, alpha: float, seed: int, run: int
) -> None:
    output = tensor("y", (300,), dtype, scale * ratio, zero_out)
    assert_equal(
        "leaky_relu", [tensor("x", (300,), dtype, scale, zero_in)], output, {"alpha": alpha}, seed, run
    )


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.3, 1.0])
def test_int16_leaky_relu_of_every_input(alpha: float) -> None:
    from kernel_harness import one_operator, reference

    from quant.oracle import run_operator

    values = {"x": np.arange(-32768, 32768).astype(np.int16)}
    for seed in range(5):
        scale, ratio = np.random.default_rng(seed).uniform(0.001, 2.0, 2)
        x, y = tensor("x", (65536,), "int16", scale), tensor("y", (65536,), "int16", scale * ratio)
        graph = one_operator("leaky_relu", [x], y, {"alpha": alpha})
        (operator,) = graph.operators()
        np.testing.assert_array_equal(reference(graph, values)[0], run_operator(operator, graph, values)[0])


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
@pytest.mark.parametrize("power", range(-15, 3))
def test_int16_sigmoid_and_tanh_of_every_input(kind: str, power: int) -> None:
    """All 65536 values at every legal power of two (above 2**2 TFLite Micro overflows; ours saturates)."""
    from kernel_harness import one_operator, reference

    from quant.oracle import run_operator

    source, target = tensor("x", (65536,), "int16", 2.0**power), tensor("y", (65536,), "int16", Q15)
    graph = one_operator(kind, [source], target, {})
    values = {"x": np.arange(-32768, 32768).astype(np.int16)}
    (operator,) = graph.operators()
    np.testing.assert_array_equal(reference(graph, values)[0], run_operator(operator, graph, values)[0])


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
@small(60)
@given(scale=scales(1e-4, 1.0), zero=ZEROS, seed=SEEDS)
def test_int8_sigmoid_and_tanh(kind: str, scale: float, zero: int, seed: int) -> None:
    target = (1 / 256, -128) if kind == "sigmoid" else (1 / 128, 0)
    assert_equal(
        kind, [tensor("x", (2000,), "int8", scale, zero)], tensor("y", (2000,), "int8", *target), {}, seed, 7
    )


@small(120)
@given(columns=st.integers(1, 300), rows=st.integers(1, 4), scale=scales(1e-5, 5.0), seed=SEEDS, run=RUNS)
def test_int16_softmax(columns: int, rows: int, scale: float, seed: int, run: int) -> None:
    source = tensor("x", (rows, columns), "int16", scale)
    assert_equal("softmax", [source], tensor("y", (rows, columns), "int16", Q15), {}, seed, run)


@pytest.mark.parametrize("columns", [1, 2, 4, 8, 16, 32, 64, 128, 256])
def test_int16_softmax_of_sums_around_a_power_of_two(columns: int) -> None:
    """The last value walks away from the others', so the sum of exponentials passes a power of two."""
    from kernel_harness import one_operator, reference

    from quant.oracle import run_operator

    rows = np.zeros((600, columns), np.int16)
    rows[:, -1] = -np.arange(600)
    source = tensor("x", rows.shape, "int16", 10.0 / 65535)
    graph = one_operator("softmax", [source], tensor("y", rows.shape, "int16", Q15), {})
    (operator,) = graph.operators()
    expected = run_operator(operator, graph, {"x": rows})[0]
    np.testing.assert_array_equal(reference(graph, {"x": rows})[0], expected)


@WIDE_AND_NARROW
@pytest.mark.parametrize("target", DTYPES)
@small(60)
@given(
    scale=scales(1e-4, 1.0), ratio=scales(1e-3, 300.0), zero_in=ZEROS, zero_out=ZEROS, seed=SEEDS, run=RUNS
)
def test_requantize(
    dtype: str, target: str, scale: float, ratio: float, zero_in: int, zero_out: int, seed: int, run: int
) -> None:
    output = tensor("y", (300,), target, scale * ratio, zero_out)
    assert_equal("requantize", [tensor("x", (300,), dtype, scale, zero_in)], output, {}, seed, run)


@WIDE_AND_NARROW
@small(30)
@given(shape=SHAPES, scale=scales(), zero=ZEROS, seed=SEEDS, run=RUNS)
def test_relu(dtype: str, shape: tuple[int, ...], scale: float, zero: int, seed: int, run: int) -> None:
    source, target = (tensor(name, shape, dtype, scale, zero) for name in "xy")
    assert_equal("relu", [source], target, {}, seed, run)


@WIDE_AND_NARROW
@small(40)
@given(data=st.data())
def test_copies(dtype: str, data: st.DataObject) -> None:
    """concat, pad, transpose and slice of one random shape."""
    shape = data.draw(SHAPES)
    scale, zero, seed = data.draw(scales()), data.draw(ZEROS), data.draw(SEEDS)
    axis = data.draw(st.integers(0, len(shape) - 1))

    def of(name: str, size: tuple[int, ...]) -> object:
        return tensor(name, size, dtype, scale, zero)

    def with_axis(length: int) -> tuple[int, ...]:
        return (*shape[:axis], length, *shape[axis + 1 :])

    x = of("x", shape)
    more = data.draw(st.integers(1, 4))
    joined = of("y", with_axis(shape[axis] + more))
    assert_equal("concat", [x, of("b", with_axis(more))], joined, {"axis": axis}, seed, 7)  # type: ignore[list-item,arg-type]

    order = tuple(data.draw(st.permutations(range(len(shape)))))
    turned = of("y", tuple(shape[item] for item in order))
    assert_equal("transpose", [x], turned, {"permutation": order}, seed, 7)  # type: ignore[list-item,arg-type]

    before, after = (tuple(data.draw(st.integers(0, 2)) for _ in shape) for _ in range(2))
    around = of("y", tuple(b + size + a for b, size, a in zip(before, shape, after, strict=True)))
    assert_equal("pad", [x], around, {"before": before, "after": after}, seed, 7)  # type: ignore[list-item,arg-type]

    begin = data.draw(st.integers(0, shape[axis] - 1))
    end = data.draw(st.integers(begin + 1, shape[axis]))
    part = of("y", with_axis(end - begin))
    assert_equal("slice", [x], part, {"axis": axis, "begin": begin, "end": end}, seed, 7)  # type: ignore[list-item,arg-type]


def test_the_sigmoid_table_is_cmsis_nns() -> None:
    """``sigmoid_table_uint16`` in the sources of CMSIS-NN that the firmware links."""
    from tinydsn.codegen.toolchain import cmsis_nn_root

    try:
        source = cmsis_nn_root() / "Source/NNSupportFunctions/arm_nntables.c"
    except TinydsnError as error:
        pytest.skip(str(error))
    text = source.read_text()
    text = text[text.index("sigmoid_table_uint16") :]
    body = text[text.index("{") : text.index("}")]
    theirs = [int(number) for number in re.findall(r"\d+", body)]
    np.testing.assert_array_equal(sigmoid_table(), theirs)


def test_scales_of_the_harness_are_float32() -> None:
    made = tensor("x", (1,), "int8", 0.1, 3).quantization
    assert made == Quantization((float(np.float32(0.1)),), 3)
