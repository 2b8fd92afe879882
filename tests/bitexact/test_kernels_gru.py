"""GRU cells that the generator joins equal the NumPy meaning of their three operators everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kernel_harness import DSP, HOST, Builder, assert_equal, build_program, run_program, scaled
from test_kernels_graph import expected, forced_words
from test_kernels_linear_cores import BOARDS, ready, rims

from quant.graph import IntegerGraph, Operator, State
from tinydsn.bench.case import Case
from tinydsn.bench.catalog import gru
from tinydsn.bench.measure import bench
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import Design, design
from tinydsn.codegen.emit_gru import ABSORBED, CELL

Q15 = 2.0**-15
TARGETS = pytest.mark.parametrize("target", [HOST, DSP], ids=["natural", "interleaved"])
SIZES = [(1, 16, 16), (4, 12, 8), (5, 7, 9), (6, 13, 5), (9, 3, 1), (31, 16, 16)]
"""Rows, inputs, states: whole blocks and all remainders of rows, columns and pairs."""
SCALES = [2.0**-12, 2.0**-11, 2.0**-6, 2.0**-5, 0.5]
"""Of the products: multipliers 3 (places stay in the table), 6, 192 (the largest of pairs), 384, ..."""


def cell(
    rows: int, inputs: int, hidden: int, scale: float = 2.0**-12, seed: int = 0, bias: bool = True
) -> Builder:
    """x and h into a cell, whose new state is ``new``."""
    b = Builder(seed)
    b.tensor(scaled("x", (rows, inputs)))
    b.tensor(scaled("h", (rows, hidden), "int16", Q15))
    gx, gh = b.linear("input", "x", 3 * hidden, scale), b.linear("hidden", "h", 3 * hidden, scale)
    b.add("gru_update", "update", (gx, gh, "h"), scaled("new", (rows, hidden), "int16", Q15))
    if not bias:
        for index, node in enumerate(b.nodes[:2]):
            assert isinstance(node, Operator)
            b.nodes[index] = replace(node, inputs=(*node.inputs[:2], ""))
    return b


def kinds(made: Design) -> dict[str, str]:
    return {operator.name: operator.kind for operator in made.graph.operators()}


@TARGETS
@pytest.mark.parametrize("index", range(len(SIZES)))
def test_cells_of_all_shapes(index: int, target: CodeTarget) -> None:
    b = cell(*SIZES[index], SCALES[index % len(SCALES)], index, bias=index != 1)
    graph = b.graph(("x", "h"), ("new",), ())
    assert kinds(design(graph, target)) == {"input": ABSORBED, "hidden": ABSORBED, "update": CELL}
    assert_equal(graph, np.random.default_rng(index), target)


def emulated() -> list[Case]:
    made = [gru("gru_16x8", *size, rims if size[0] > 2 else np.copy) for size in SIZES]
    return made + [gru("gru_16x8", 6, 13, 5, rims, scale) for scale in SCALES[1:]]


@pytest.mark.parametrize("name", BOARDS)
def test_cells_on_emulated_cores(name: str) -> None:
    rows = bench(emulated(), [ready(name)])
    assert len(rows) == len(emulated()) and all(row.cmsis_nn for row in rows)


@TARGETS
def test_a_cell_takes_less_memory_than_its_operators(target: CodeTarget) -> None:
    graph = cell(31, 16, 16).graph(("x", "h"), ("new",), (State("h", "new"),))
    joined, separate = design(graph, target), design(graph, replace(target, cells=False))
    assert joined.plan.same_place("new", "h")  # the new state is written over the old one
    assert separate.plan.arena_bytes - joined.plan.arena_bytes > 3000


def separate(graph: IntegerGraph, target: CodeTarget = DSP) -> bool:
    return CELL not in kinds(design(graph, target)).values()


def test_operators_stay_where_somebody_else_reads_or_cmsis_nn_computes_or_a_product_is_clamped() -> None:
    b = cell(4, 12, 8)
    graph = b.graph(("x", "h"), ("new",), ())
    assert not separate(graph)
    assert separate(graph, replace(DSP, kernels="cmsis-nn"))
    assert separate(b.graph(("x", "h"), ("new", "input.y"), ()))
    b.add("relu", "relu", ("hidden.y",), scaled("relu.y", (4, 24)))
    assert separate(b.graph(("x", "h"), ("new", "relu.y"), ()))
    relu = Builder(0)
    for tensor in (scaled("x", (4, 12)), scaled("h", (4, 8), "int16", Q15)):
        relu.tensor(tensor)
    gx, gh = relu.linear("input", "x", 24, activation="relu"), relu.linear("hidden", "h", 24)
    relu.add("gru_update", "update", (gx, gh, "h"), scaled("new", (4, 8), "int16", Q15))
    assert separate(relu.graph(("x", "h"), ("new",), ()))


def test_operators_stay_where_one_product_is_both_operands_or_weights_are_narrower() -> None:
    b = cell(4, 8, 8)
    update = b.nodes[2]
    assert isinstance(update, Operator)
    b.nodes = [b.nodes[0], replace(update, inputs=("input.y", "input.y", "h"))]
    assert separate(b.graph(("x", "h"), ("new",), ()))
    b = cell(4, 8, 8)
    first = b.nodes[0]
    assert isinstance(first, Operator)
    b.nodes[0] = replace(first, attributes={**first.attributes, "weight_bits": 4})
    assert separate(b.graph(("x", "h"), ("new",), ()))


def gated_cell(outside: str) -> IntegerGraph:
    """64 samples; a cell over 4 rows in a gated region, of whose products some are computed before it."""
    b = Builder(3)
    b.tensor(scaled("pcm", (64,), "int16", Q15))
    b.tensor(scaled("h", (4, 16), "int16", Q15))
    row = b.add("reshape", "row", ("pcm",), scaled("row.y", (1, 64), "int16", Q15), {"shape": (1, 64)})
    x = b.add("reshape", "rows", ("pcm",), scaled("x", (4, 16), "int16", Q15), {"shape": (4, 16)})
    gate = b.gate("gate", b.linear("policy", row, 1), 0)
    places = {"input": x, "hidden": "h"}
    found = {name: b.linear(name, source, 48) for name, source in places.items() if name in outside}
    b.begin()
    found |= {name: b.linear(name, source, 48) for name, source in places.items() if name not in outside}
    new = scaled("new", (4, 16), "int16", Q15)
    b.add("gru_update", "update", (found["input"], found["hidden"], "h"), new)
    (state,) = b.end("region", 0, gate, [("new", "h")])
    out = b.add("reshape", "out", (state,), scaled("out.y", (64,), "int16", Q15), {"shape": (64,)})
    return b.graph(("pcm",), (out,), (State("h", state),))


@pytest.mark.parametrize("outside", ["", "input", "hidden", "input hidden"])
def test_cells_in_gated_regions(outside: str, tmp_path: Path) -> None:
    graph = gated_cell(outside)
    frames = np.random.default_rng(7).integers(-32768, 32768, (12, 64)).astype(np.int16)
    forced, biases = forced_words("cycle", len(frames), 1), [0] * len(frames)
    wanted, _ = expected(graph, frames, forced, biases)
    for target in (HOST, DSP):
        assert not separate(graph, target)
        program = build_program(graph, tmp_path / str(target.dsp), target)
        found, _ = run_program(program, frames, forced, biases)
        np.testing.assert_array_equal(found, wanted)
