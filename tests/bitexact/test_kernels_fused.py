"""Fused operators in C equal the reference, which executes them one by one as the stored graph has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_harness import (
    DSP,
    HOST,
    Builder,
    assert_equal,
    compile_graph,
    one_operator,
    random_integers,
    reference,
    scaled,
)

from quant.graph import IntegerGraph, Operator
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.fusion import fuse

Q15 = 2.0**-15
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])
SIZES = [(2, 16, 4), (1, 5, 4), (3, 8, 8), (2, 7, 3), (4, 1, 1), (2, 12, 4), (1, 9, 6), (2, 24, 8)]
"""Heads, rows, elements of a head."""
TARGETS = pytest.mark.parametrize("target", [HOST, DSP], ids=["plain", "dsp"])


def views(graph: IntegerGraph, target: CodeTarget = HOST) -> set[str]:
    """Operators that fusion leaves without code."""
    return {operator.name for operator in fuse(graph, target).operators() if "view" in operator.attributes}


def attention(heads: int, rows: int, size: int, dtype: str, score_scale: float) -> IntegerGraph:
    """Multi-head attention as a module writes it: every operand split into heads and transposed."""
    b = Builder(3)
    zero = 5 if dtype == "int8" else 0
    unit = 0.05 if dtype == "int8" else 2.0**-12
    heads_first = {"permutation": (1, 0, 2)}
    flat, split, turned = (rows, heads * size), (rows, heads, size), (heads, rows, size)
    for name in ("query", "key", "value"):
        b.tensor(scaled(name, flat, dtype, unit, zero))
        parted = scaled(f"{name}.s", split, dtype, unit, zero)
        b.add("reshape", f"{name}.s", (name,), parted, {"shape": split})
        moved = scaled(f"{name}.t", turned, dtype, unit, zero)
        b.add("transpose", f"{name}.t", (f"{name}.s",), moved, heads_first)
    scores = scaled("scores", (heads, rows, rows), dtype, score_scale, -zero)
    b.add("batch_matmul", "scores", ("query.t", "key.t"), scores, {"transpose_b": True})
    shares = "scores"
    if dtype == "int16":
        y = scaled("shares", (heads, rows, rows), "int16", Q15)
        shares = b.add("softmax", "shares", ("scores",), y)
    mixed = scaled("mixed", turned, dtype, unit, zero)
    b.add("batch_matmul", "mixed", (shares, "value.t"), mixed, {"transpose_b": False})
    b.add("transpose", "merged", ("mixed",), scaled("merged", split, dtype, unit, zero), heads_first)
    b.add("reshape", "y", ("merged",), scaled("y", flat, dtype, unit, zero), {"shape": flat})
    return b.graph(("query", "key", "value"), ("y", "scores"), ())


@TYPES
@TARGETS
@pytest.mark.parametrize("size", SIZES)
def test_attention(size: tuple[int, int, int], target: CodeTarget, dtype: str) -> None:
    scales = (2.0**-12, 2.0**-6, 1e-6) if dtype == "int16" else (0.1,)
    for score_scale in scales:
        graph = attention(*size, dtype, score_scale)
        assert views(graph, target) >= {"query.t", "key.t", "value.t", "merged"}
        assert_equal(graph, np.random.default_rng(1), target, runs=10)


@TARGETS
def test_products_of_lowest_values_among_four(target: CodeTarget) -> None:
    """The one sum of two products that 32 bits do not hold, anywhere among the rows."""
    graph = attention(2, 6, 4, "int16", 2.0**-10)
    compiled = compile_graph(graph, target)
    rng = np.random.default_rng(2)
    for _ in range(40):
        inputs = {name: random_integers(graph.tensors[name], rng, 9) for name in graph.inputs}
        for name in ("query", "key"):
            inputs[name][rng.random((6, 8)) < 0.5] = -32768
        for found, wanted in zip(compiled.run(inputs), reference(graph, inputs), strict=True):
            np.testing.assert_array_equal(found, wanted)


@TYPES
@TARGETS
def test_a_turned_second_factor(target: CodeTarget, dtype: str) -> None:
    b = Builder(4)
    scale = 2.0**-12 if dtype == "int16" else 0.02
    b.tensor(scaled("a", (5, 6), dtype, scale))
    b.tensor(scaled("b", (7, 6), dtype, scale))
    turned = scaled("t", (6, 7), dtype, scale)
    b.add("transpose", "t", ("b",), turned, {"permutation": (1, 0)})
    for name, transposed, second in (("y", False, "t"), ("z", True, "b")):
        y = scaled(name, (5, 7), dtype, scale)
        b.add("batch_matmul", name, ("a", second), y, {"transpose_b": transposed})
    graph = b.graph(("a", "b"), ("y", "z"), ())
    assert views(graph, target) == {"t"}
    assert_equal(graph, np.random.default_rng(3), target)


@TARGETS
@pytest.mark.parametrize(("columns", "begin", "end"), [(24, 12, 24), (24, 0, 12), (10, 2, 9), (8, 3, 7)])
def test_columns_of_rows_into_a_fully_connected_layer(
    columns: int, begin: int, end: int, target: CodeTarget
) -> None:
    b = Builder(6)
    b.tensor(scaled("x", (9, columns)))
    part = scaled("part", (9, end - begin))
    b.add("slice", "part", ("x",), part, {"axis": 1, "begin": begin, "end": end})
    y = b.linear("fc", "part", 5)
    graph = b.graph(("x",), (y,), ())
    assert views(graph, target) == ({"part"} if begin % 2 == 0 else set())
    assert_equal(graph, np.random.default_rng(4), target)


@TYPES
@TARGETS
def test_a_relu_in_the_operator_before_it(target: CodeTarget, dtype: str) -> None:
    scale, zero = (0.03, -20) if dtype == "int8" else (2.0**-12, 0)
    b = Builder(7)
    b.tensor(scaled("x", (4, 6), dtype, scale, zero))
    b.tensor(scaled("other", (4, 8), dtype, scale, zero))
    y = b.linear("fc", "x", 8, scale)
    b.tensors[y] = replace(b.tensors[y], quantization=b.tensors["x"].quantization)
    b.add("relu", "positive", (y,), scaled("positive", (4, 8), dtype, scale, zero))
    total = scaled("total", (4, 8), dtype, scale, zero)
    b.add("add", "total", ("positive", "other"), total, {"activation": "none"})
    b.add("reshape", "row", ("total",), scaled("row", (32,), dtype, scale, zero), {"shape": (32,)})
    b.add("relu", "y", ("row",), scaled("y", (32,), dtype, scale, zero))
    if dtype == "int8":  # linear() made its operator for a zero point of 0
        made = [operator for operator in b.nodes if isinstance(operator, Operator)]
        fixed = {**made[0].attributes, "output_offset": zero}
        b.nodes[0] = replace(made[0], attributes=fixed)
    graph = b.graph(("x", "other"), ("y",), ())
    assert views(graph, target) == {"positive", "y"}
    assert_equal(graph, np.random.default_rng(5), target)


def test_a_delay_line_lies_with_its_state() -> None:
    """Two frames: what the first adds is what the second finds."""
    from quant.graph import State
    from tinydsn.codegen.design import design

    b = Builder(8)
    b.tensor(scaled("x", (1, 8)))
    b.tensor(scaled("old", (3, 8)))
    both = b.add("concat", "both", ("old", "x"), scaled("both", (4, 8)), {"axis": 0})
    later = scaled("later", (3, 8))
    b.add("slice", "later", (both,), later, {"axis": 0, "begin": 1, "end": 4})
    y = b.linear("fc", both, 4)
    graph = b.graph(("x",), (y,), (State("old", "later"),))
    made = design(graph, HOST)
    place = made.plan.places
    assert place["both"] == place["old"] and place["old"].area == "state"
    assert (place["x"].area, place["x"].offset) == ("state", place["old"].offset + 48)
    assert made.plan.state_bytes == 64


@pytest.mark.parametrize("low", [-300, 0])
def test_ranges_of_pairs(low: int) -> None:
    for high in (250, 32767):
        for size in (1, 7, 8, 40, 43):
            x, y = scaled("x", (size,)), scaled("y", (size,))
            graph = one_operator("relu", [x], y, {})
            (operator,) = graph.nodes
            assert isinstance(operator, Operator)
            limits = {"activation_min": low, "activation_max": high}
            graph = graph.replace(nodes=(replace(operator, attributes=limits),))  # type: ignore[assignment]
            assert_equal(graph, np.random.default_rng(size))
