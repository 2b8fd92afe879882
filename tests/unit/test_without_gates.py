"""A gated graph with its gates forced is a gate-free graph with the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from convert_example import FRAME, Builder, audio

from quant.convert import quantize
from quant.gates import GatePattern
from quant.graph import BranchOutput, IntegerGraph
from quant.reference import Pipeline
from quant.without_gates import without_gates


def gated() -> IntegerGraph:
    """A held state, a held output, and an output that a skipped frame sets to zero."""
    made = Builder()
    kept = made.state("kept", (1, 4))
    row = made.add("reshape", "row", ("x",), shape=(1, FRAME))
    logits = made.linear("policy", row, 2)
    low = made.linear("low", row, 4)
    for index in range(2):
        made.gate(f"gate{index}", logits, index)
    more = made.dense("more", low, 4)
    new = made.make("add", "new", ("more", kept))
    outputs = [BranchOutput("grown", "new", "hold", low), BranchOutput("after", "more", "hold", kept)]
    made.branch("first", 0, "gate0", [more, new], outputs)
    made.update(kept, "after")
    extra = made.dense("extra", "grown", 4)
    made.branch("second", 1, "gate1", [extra], [BranchOutput("bonus", "extra", "zero")])
    total = made.add("add", "total", ("grown", "bonus"))
    wide = made.linear("wide", total, FRAME)
    return quantize(made.graph(made.add("reshape", "y", (wide,), shape=(FRAME,))), [audio()], "w8a16")


@pytest.mark.parametrize("pattern", ["min", "max"])
def test_the_bits_are_those_of_forced_gates(pattern: str) -> None:
    graph = gated()
    static = without_gates(graph, pattern == "max")
    pcm = audio(seed=3)
    expected = Pipeline(graph).run(pcm, GatePattern(pattern)).pcm
    np.testing.assert_array_equal(Pipeline(static).run(pcm).pcm, expected)
    assert not np.array_equal(expected, Pipeline(graph).run(pcm).pcm)
    assert static.gates == 0 and not static.branches


def test_what_only_decides_about_gates_is_left_out() -> None:
    graph = gated()
    on, off = without_gates(graph, True), without_gates(graph, False)
    assert not {"policy", "gate0", "gate1"} & {operator.name for operator in on.operators()}
    assert [state.tensor for state in on.states] == ["kept"]
    assert off.states == () and "policy.weight" not in off.constants


def test_a_graph_without_gates_stays_as_it_is() -> None:
    made = without_gates(gated(), True)
    assert without_gates(made, False) == made
