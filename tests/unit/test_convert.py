"""Float graph to integer graph: closeness, where requantize operators stand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from convert_example import FRAME, Builder, audio, compare, kinds

from quant.calibrate import Range, calibrate
from quant.convert import convert, quantize
from quant.errors import ConfigError, QuantizationError
from quant.graph import Branch, BranchOutput, Graph, Operator, Quantization
from quant.precision import PRESETS, Precision, Rule
from quant.reference import Executor
from quant.scales import Group, choose

W8A16 = 0.01
W8A8 = 0.05
Q15 = Quantization((2.0**-15,), 0)
Q12 = Quantization((2.0**-12,), 0)


def of(graph: Graph, name: str) -> Quantization:
    found = graph.tensors[name].quantization
    assert found is not None
    return found


@pytest.mark.parametrize(("precision", "limit"), [("w8a16", W8A16), ("w8a8", W8A8)])
def test_dense_with_relu(precision: str, limit: float) -> None:
    build = Builder()
    build.linear("one", "x", 24, activation="relu")
    build.linear("two", "one", FRAME, 0.3)
    made, error = compare(build.graph("two"), precision)
    assert error < limit
    assert made.tensors["one"].dtype == ("int16" if precision == "w8a16" else "int8")
    # w8a8: the samples come in 16 bits and go out in 16
    middle = ["fully_connected", "fully_connected"]
    assert kinds(made) == (middle if precision == "w8a16" else ["requantize", *middle, "requantize"])
    assert made.tensors[made.outputs[0]].dtype == "int16" and of(made, made.outputs[0]) == Q15


def gru(build: Builder, size: int = 6) -> str:
    """A GRU cell over one row of the frame; its state is ``h``."""
    build.add("reshape", "row", ("x",), shape=(1, FRAME))
    build.state("h", (1, size))
    build.linear("gru.input", "row", 3 * size, 3.0)
    build.linear("gru.hidden", "h", 3 * size)
    build.add("gru_update", "gru.update", ("gru.input", "gru.hidden", "h"))
    build.update("h", "gru.update")
    return "gru.update"


@pytest.mark.parametrize(("precision", "limit"), [("w8a16", 0.02), ("w8a8", 0.06)])
def test_gru_with_a_state(precision: str, limit: float) -> None:
    build = Builder()
    build.linear("out", gru(build), FRAME)
    made, error = compare(build.graph("out"), precision)
    assert error < limit
    assert of(made, "h") == of(made, "gru.update") == Q15
    assert of(made, "gru.input") == of(made, "gru.hidden") == Q12
    assert "requantize" not in kinds(made) if precision == "w8a16" else "requantize" in kinds(made)


def test_a_state_of_eight_bits_beside_an_update_of_sixteen() -> None:
    """The state's range is its update's: an int8 state of [-1, 1] values is not cut to [0, 1]."""
    build = Builder()
    build.linear("out", gru(build), FRAME)
    made, error = compare(build.graph("out"), Precision("mixed", states=8))
    assert made.tensors["h"].dtype == "int8"
    assert of(made, "h").scale[0] * 255 > 0.5
    assert [state.next for state in made.states] == ["gru.update.requantize"]
    assert error < 0.1


def test_a_state_with_an_initial_value_and_an_update_of_another_scale() -> None:
    """An exponential mean: the update's own range would not hold the initial value."""
    build = Builder()
    build.state("mean", (FRAME,), np.full(FRAME, 2.0))
    build.constant("keep", np.array([0.9]))
    build.constant("take", np.array([0.1]))
    build.add("mul", "kept", ("mean", "keep"))
    build.add("mul", "taken", ("x", "take"))
    build.add("add", "next", ("kept", "taken"))
    build.update("mean", "next")
    made, error = compare(build.graph("next"))
    assert error < W8A16
    scale = of(made, "mean").scale[0]
    np.testing.assert_allclose(made.constants["mean"] * scale, 2.0, atol=scale)
    # a sum of up to 1.9 does not fit Q15: it keeps its scale and is brought to it at the end
    assert of(made, "next").scale[0] * 32767 >= 1.8
    assert made.outputs == ("next.requantize",)


def gated(build: Builder, skip_to: str = "hold") -> Graph:
    """acc + dense(acc) in a region that a threshold on the first logit opens."""
    build.linear("policy", "x", 2)
    build.gate("open", "policy")
    build.linear("acc", "x", FRAME)
    body = [build.dense("extra", "acc", FRAME), build.make("add", "sum", ("acc", "extra"))]
    held = "acc" if skip_to == "hold" else ""
    output = BranchOutput("result", "sum", "hold" if skip_to == "hold" else "zero", held)
    build.branch("region", 0, "open", body, [output])
    build.linear("out", "result", FRAME, 0.3)
    return build.graph("out")


@pytest.mark.parametrize("precision", ["w8a16", "w8a8"])
@pytest.mark.parametrize("skip", ["hold", "zero"])
def test_branch(precision: str, skip: str) -> None:
    made, error = compare(gated(Builder(), skip), precision)
    assert error < (W8A16 if precision == "w8a16" else W8A8)
    (branch,) = (node for node in made.nodes if isinstance(node, Branch))
    assert of(made, "result") == of(made, branch.outputs[0].taken)
    if skip == "hold":
        assert of(made, "result") == of(made, "acc")
    # the gate's logits have 16 bits in any precision
    assert made.tensors["policy"].dtype == "int16"
    gates = [Executor(made).step(hop).gates[0] for hop in audio().reshape(-1, FRAME)]
    assert 0.1 < np.mean(gates) < 0.9


def test_a_requantize_made_in_a_region_stays_inside() -> None:
    """A tensor of 16 bits is read at 8 bits inside the region and after it: two requantize operators."""
    build = Builder()
    build.linear("policy", "x", 2)
    build.gate("open", "policy")
    build.linear("wide", "x", FRAME)
    body = [build.dense("inner", "wide", FRAME)]
    build.branch("region", 0, "open", body, [BranchOutput("result", "inner", "zero")])
    build.linear("after", "wide", FRAME)
    build.linear("again", "wide", FRAME)
    build.add("add", "two", ("after", "again"))
    build.add("add", "out", ("two", "result"))
    rules = tuple(Rule(name, activations=8) for name in ("inner", "after", "again"))
    made, error = compare(build.graph("out"), Precision("mixed", rules=rules))
    assert error < W8A8
    (branch,) = made.branches
    assert [item.kind for item in branch.body] == ["requantize", "fully_connected"]
    readers = [item.inputs[0] for item in made.operators() if item.name in ("after", "again")]
    assert readers[0] == readers[1] != branch.body[0].name


def test_mixed_widths_insert_a_requantize() -> None:
    build = Builder()
    build.linear("one", "x", 16, activation="relu")
    build.linear("two", "one", 16)
    build.linear("three", "two", FRAME, 0.3)
    precision = Precision("mixed", activations=8, rules=(Rule("tw*", activations=16),))
    made, error = compare(build.graph("three"), precision)
    assert error < W8A8
    assert [made.tensors[name].dtype for name in ("one", "two", "three")] == ["int8", "int16", "int8"]
    inserted = [
        (item.inputs[0], made.tensors[item.outputs[0]].dtype)
        for item in made.operators()
        if item.kind == "requantize"
    ]
    assert inserted == [("x", "int8"), ("one", "int16"), ("two", "int8"), ("three", "int16")]


@pytest.mark.parametrize("precision", ["w8a16", "w8a8"])
def test_concat_of_two_ranges_shares_the_larger(precision: str) -> None:
    build = Builder()
    build.linear("small", "x", 4, 0.05)
    build.linear("large", "x", 4, 4.0)
    build.add("concat", "both", ("small", "large"), axis=0)
    build.linear("out", "both", FRAME, 0.1)
    made, error = compare(build.graph("out"), precision)
    assert error < (W8A16 if precision == "w8a16" else W8A8)
    assert of(made, "small") == of(made, "large") == of(made, "both")


def test_concat_with_a_fixed_scale_brings_it_to_the_others() -> None:
    """tanh has Q15, which cannot hold the other part."""
    build = Builder()
    build.linear("wide", "x", 4, 8.0)
    build.add("tanh", "narrow", ("wide",))
    build.add("concat", "both", ("narrow", "wide"), axis=0)
    build.linear("out", "both", FRAME, 0.1)
    made, error = compare(build.graph("out"))
    assert error < W8A16
    assert of(made, "narrow") == Q15
    assert of(made, "both") == of(made, "wide") != Q15
    assert kinds(made).count("requantize") == 1


def test_a_residual_around_tanh_is_not_cut_to_one() -> None:
    build = Builder()
    build.linear("wide", "x", FRAME, 8.0)
    build.add("tanh", "narrow", ("wide",))
    build.add("add", "sum", ("narrow", "wide"))
    build.linear("out", "sum", FRAME, 0.05)
    _, error = compare(build.graph("out"))
    assert error < W8A16


def test_the_output_has_q15_even_where_the_graph_needs_more() -> None:
    """The output is the small difference of large values: it is requantized, they keep their scale."""
    build = Builder()
    build.linear("one", "x", FRAME, 10.0)
    build.constant("nearly", build.constants["one.w"] * 0.98)
    build.constant("bias", build.constants["one.b"] * 0.98)
    build.add("fully_connected", "two", ("x", "nearly", "bias"))
    build.add("sub", "difference", ("one", "two"))
    made, error = compare(build.graph("difference"))
    assert error < 0.05
    assert of(made, "one") == of(made, "two") == of(made, "difference") != Q15
    assert of(made, made.outputs[0]) == Q15


def test_the_arguments_of_a_gru_get_a_coarser_scale_where_they_need_it() -> None:
    """Q3.12 ends at 8; products that go beyond share the next power of two that holds them."""
    build = Builder()
    name = gru(build)
    build.constants["gru.input.w"] = build.constants["gru.input.w"] * 10
    build.linear("out", name, FRAME)
    graph = build.graph("out")
    ranges = calibrate(graph, [audio()])
    assert ranges["gru.input"].high > 9
    made, error = compare(graph)
    assert "requantize" not in kinds(made)
    largest = max(max(ranges[name].high, -ranges[name].low) for name in ("gru.input", "gru.hidden"))
    scale = 2.0 ** np.ceil(np.log2(largest * 1.25 / 32767))
    assert scale > Q12.scale[0]
    assert of(made, "gru.input") == of(made, "gru.hidden") == Quantization((scale,), 0)
    assert error < 0.02


def test_a_tensor_with_no_value_seen_is_refused() -> None:
    build = Builder()
    build.linear("one", "x", 4)
    build.linear("two", "one", FRAME)
    graph = build.graph("two")
    with pytest.raises(QuantizationError) as caught:
        convert(graph, {"two": Range(-1, 1)}, PRESETS["w8a16"])
    assert str(caught.value) == "tensor 'one' was never computed during calibration: give it more audio"


@pytest.mark.parametrize("clips", [[], [np.zeros(0, np.int16)]])
def test_no_audio_is_refused(clips: list[np.ndarray]) -> None:
    build = Builder()
    build.linear("one", "x", FRAME)
    with pytest.raises(QuantizationError) as caught:
        quantize(build.graph("one"), clips)
    assert str(caught.value) == "calibration needs audio: no clip with any sample was given"


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    build = Builder()
    build.linear("one", "x", 4)
    build.linear("two", "one", FRAME)
    table = Precision("mine", rules=(Rule("two", activations=8), Rule("decoder.*", activations=8)))
    with pytest.raises(ConfigError) as caught:
        quantize(build.graph("two"), [audio()], table)
    assert str(caught.value) == (
        "precision mine: pattern 'decoder.*' matches no operator with a result (names look like one, two)"
    )


def test_an_unknown_precision_is_refused() -> None:
    build = Builder()
    build.linear("one", "x", FRAME)
    with pytest.raises(ConfigError) as caught:
        quantize(build.graph("one"), [audio()], "w4a4")
    assert str(caught.value) == (
        "unknown precision 'w4a4', did you mean 'w4a8'? (must be w2 to w8 with a8 or a16, such as w8a16, "
        "or a TOML or JSON file)"
    )


def test_an_accumulator_that_could_overflow_is_refused() -> None:
    columns = 140000
    build = Builder()
    build.constant("ones", np.ones((FRAME, columns, 1)))
    build.add("reshape", "tall", ("x",), shape=(FRAME, 1))
    build.constant("spread", np.ones((columns, 1)))
    build.add("fully_connected", "many", ("tall", "spread", ""))
    build.constant("w", np.ones((1, columns)))
    build.add("fully_connected", "sum", ("many", "w", ""))
    build.add("reshape", "out", ("sum",), shape=(FRAME,))
    del build.tensors["ones"], build.constants["ones"]
    ranges = {
        "many": Range(-1.0, 1.0),
        "tall": Range(-1.0, 1.0),
        "sum": Range(-9.0, 9.0),
        "out": Range(-9.0, 9.0),
    }
    with pytest.raises(QuantizationError) as caught:
        convert(build.graph("out"), ranges, PRESETS["w8a8"])
    assert str(caught.value) == (
        f"operator 'sum' (fully_connected): its 32-bit accumulator could reach {columns * 127 * 128} "
        f"(must stay below {2**31}); split it into operators with fewer inputs, or give it 16-bit activations"
    )
    assert convert(build.graph("out"), ranges, PRESETS["w8a16"]).outputs == ("out.requantize",)


def test_a_scale_that_cannot_be_quantized_names_the_operator() -> None:
    build = Builder()
    build.linear("one", "x", FRAME, 1.0)
    with pytest.raises(QuantizationError) as caught:
        convert(
            build.graph("one"),
            {"x": Range(-1, 1), "one": Range(-1e-12, 1e-12)},
            Precision("w8a8", activations=8, states=8),
        )
    assert str(caught.value).startswith("operator 'one' (fully_connected): ")


def test_choose() -> None:
    assert choose("int16", -0.5, 2.0, False).scale[0] == pytest.approx(2.5 / 32767, rel=1e-7)
    assert choose("int16", -0.5, 2.0, True) == Quantization((2.0**-13,), 0)
    asymmetric = choose("int8", 0.0, 2.55, False)
    assert asymmetric.zero_point == -128 and asymmetric.scale[0] == pytest.approx(0.01, rel=1e-7)
    assert choose("int8", 1.0, 2.55, False) == asymmetric  # zero is always among the values
    assert choose("int8", -2.55, -1.0, False).zero_point == 127
    assert choose("int8", 0.0, 0.0, False).scale[0] == pytest.approx(1 / 255, rel=1e-7)
    for made in (asymmetric, choose("int16", -0.1, 0.3, False)):
        assert float(np.float32(made.scale[0])) == made.scale[0]


def test_groups_that_contradict_do_not_join() -> None:
    fixed = Group("int16", Q15)
    assert fixed.join(Group("int16", low=-1.0, high=1.0)) is not None
    assert fixed.join(Group("int16", low=-1.01, high=0.0)) is None
    assert fixed.join(Group("int16", low=0.0, high=1.01)) is None
    assert fixed.join(Group("int16", low=-3.0, high=3.0), saturate=True) is not None
    assert fixed.join(Group("int8")) is None
    assert fixed.join(Group("int16", Q12)) is None
    assert fixed.join(Group("int16", power_of_two=True)) is not None
    assert Group("int16", Quantization((0.3,), 0)).join(Group("int16", power_of_two=True)) is None
    both = Group("int16", low=-1.0, high=0.5).join(Group("int16", power_of_two=True, low=0.0, high=2.0))
    assert both == Group("int16", power_of_two=True, low=-1.0, high=2.0)


def test_sources_and_names_stay() -> None:
    build = Builder()
    build.linear("one", "x", FRAME)
    made, _ = compare(build.graph("one"))
    (operator,) = (item for item in made.operators() if isinstance(item, Operator))
    assert (operator.name, operator.source) == ("one", "model.py:1")
    assert operator.inputs == ("x", "one.weight", "one.bias")
