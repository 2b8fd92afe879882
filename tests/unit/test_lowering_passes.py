"""Passes on small graphs written by hand: what remains, and that the graph still computes the same."""

from __future__ import annotations

import numpy as np
from graph_sketch import RANDOM, Sketch, assert_same, kinds

from quant.graph import Attribute, Branch, BranchOutput, Graph, Operator, State, Tensor
from tinydsn.lowering.passes import simplify
from tinydsn.lowering.passes.constants import fold_constants, share_constants
from tinydsn.lowering.passes.dead import remove_dead
from tinydsn.lowering.passes.fusion import fold_affine, fuse_activations
from tinydsn.lowering.passes.movement import merge_moves


def test_opposite_transposes_cancel_and_others_compose() -> None:
    sketch = Sketch(x=(2, 3, 4))
    sketch.turn("there", "x", 2, 0, 1)
    sketch.turn("back", "there", 1, 2, 0)
    sketch.turn("further", "there", 2, 1, 0)
    before = sketch.graph("back", "further")
    after = remove_dead(merge_moves(before))
    assert after.outputs[0] == "x"
    assert [dict(operator.attributes) for operator in after.operators()] == [{"permutation": (1, 0, 2)}]
    assert_same(before, after)


def test_a_transpose_that_moves_axes_of_one_element_is_a_reshape() -> None:
    sketch = Sketch(x=(1, 3, 1, 4))
    sketch.turn("y", "x", 2, 1, 3, 0)
    sketch.add("z", "reshape", "y", shape=(3, 1, 4))
    before = sketch.graph("z")
    after = remove_dead(merge_moves(before))
    assert [(operator.kind, dict(operator.attributes)) for operator in after.operators()] == [
        ("reshape", {"shape": (3, 1, 4)})
    ]
    assert_same(before, after)


def test_identity_reshapes_and_slices_of_reshapes() -> None:
    sketch = Sketch(x=(4, 6))
    sketch.add("a", "reshape", "x", shape=(4, 2, 3))
    sketch.add("b", "slice", "a", axis=1, begin=1, end=2)
    sketch.add("c", "reshape", "b", shape=(4, 3))
    sketch.add("d", "reshape", "c", shape=(4, 3))
    before = sketch.graph("d")
    after = simplify(before)
    assert [(operator.kind, dict(operator.attributes)) for operator in after.operators()] == [
        ("slice", {"axis": 1, "begin": 3, "end": 6})
    ]
    assert_same(before, after)


def test_transposes_sink_behind_pointwise_operators_and_sums() -> None:
    sketch = Sketch(x=(3, 4), y=(3, 4))
    sketch.turn("xt", "x", 1, 0)
    sketch.turn("yt", "y", 1, 0)
    sketch.add("r", "relu", "xt")
    sketch.add("s", "add", "r", "yt", activation="none")
    sketch.add("m", "mul", "s", sketch.constant("c", 4, 3))
    sketch.turn("z", "m", 1, 0)
    before = sketch.graph("z")
    after = simplify(before)
    assert kinds(after) == ["relu", "add", "mul"]
    assert_same(before, after)


def test_a_constant_is_moved_back_with_its_transpose() -> None:
    sketch = Sketch(x=(2, 3, 4))
    sketch.turn("xt", "x", 2, 0, 1)
    sketch.add("m", "mul", "xt", sketch.constant("c", 4, 2, 3))
    sketch.turn("z", "m", 1, 2, 0)
    before = sketch.graph("z")
    assert kinds(simplify(before)) == ["mul"]
    assert_same(before, simplify(before))


def test_a_shared_transpose_sinks_when_all_its_readers_follow() -> None:
    sketch = Sketch(x=(3, 4))
    sketch.turn("xt", "x", 1, 0)
    sketch.add("r", "relu", "xt")
    sketch.add("d", "sub", "xt", "r", activation="none")
    sketch.turn("z", "d", 1, 0)
    before = sketch.graph("z")
    assert kinds(simplify(before)) == ["relu", "sub"]
    assert_same(before, simplify(before))


def test_a_shared_transpose_stays_when_moving_it_would_copy_more() -> None:
    sketch = Sketch(x=(3, 4))
    sketch.turn("xt", "x", 1, 0)
    sketch.add("r", "relu", "xt")
    sketch.add("t", "tanh", "xt")
    before = sketch.graph("r", "t")
    assert kinds(simplify(before)) == ["transpose", "relu", "tanh"]


def image(sketch: Sketch, name: str, source: str, out: int, **attributes: Attribute) -> str:
    """A 1 x 1 convolution with bias."""
    weight = sketch.constant(f"{name}.weight", out, 1, 1, sketch.tensors[source].shape[2])
    plain: dict[str, Attribute] = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    plain["activation"] = "none"
    bias = sketch.constant(f"{name}.bias", out)
    return sketch.add(name, "conv2d", source, weight, bias, **plain | attributes)


def test_convolutions_in_torch_layout_keep_only_the_outer_transposes() -> None:
    sketch = Sketch(x=(1, 2, 3, 5))
    sketch.add("a", "reshape", "x", shape=(2, 3, 5))
    sketch.turn("b", "a", 1, 2, 0)
    image(sketch, "first", "b", 4)
    sketch.turn("c", "first", 2, 0, 1)
    sketch.add("d", "relu", "c")
    sketch.add("e", "pad", "d", before=(0, 1, 2), after=(0, 0, 1))
    sketch.turn("f", "e", 1, 2, 0)
    image(sketch, "second", "f", 3)
    sketch.turn("g", "second", 2, 0, 1)
    before = sketch.graph("g")
    after = simplify(before)
    moved = [kind for kind in kinds(after) if kind != "reshape"]
    assert moved == ["transpose", "conv2d", "conv2d", "transpose"]
    second = next(operator for operator in after.operators() if operator.name == "second")
    assert second.attributes["padding"] == (1, 0, 2, 1)
    assert_same(before, after)


def test_factors_and_offsets_go_into_weights_but_not_behind_an_activation() -> None:
    sketch = Sketch(x=(3, 3, 2))
    image(sketch, "conv", "x", 4)
    sketch.add("m", "mul", "conv", sketch.constant("scale", 4))
    sketch.add("a", "add", "m", sketch.constant("shift", 1), activation="none")
    sketch.add("r", "relu", "a")
    sketch.add("n", "mul", "r", sketch.constant("later", 4))
    before = sketch.graph("n")
    after = remove_dead(fuse_activations(fold_affine(before)))
    assert kinds(after) == ["conv2d", "mul"]
    assert next(after.operators()).attributes["activation"] == "relu"
    assert_same(before, after)


def test_nothing_is_fused_into_an_operator_with_two_readers() -> None:
    sketch = Sketch(x=(3, 3, 2))
    image(sketch, "conv", "x", 4)
    sketch.add("m", "mul", "conv", sketch.constant("scale", 4))
    sketch.add("r", "relu", "conv")
    before = sketch.graph("m", "r")
    assert kinds(fuse_activations(fold_affine(before))) == ["conv2d", "mul", "relu"]


def gated(skip: str) -> Graph:
    """A convolution in torch's layout inside a region, between convolutions outside."""
    sketch = Sketch(x=(1,), y=(3, 4, 2))
    sketch.gate("on", "x")
    image(sketch, "before", "y", 2)
    sketch.turn("total", "before", 2, 0, 1)
    outside = sketch.nodes
    sketch.nodes = []
    sketch.turn("in", "total", 1, 2, 0)
    image(sketch, "conv", "in", 2)
    sketch.add("act", "relu", "conv")
    sketch.turn("out", "act", 2, 0, 1)
    sketch.add("sum", "add", "total", "out", activation="none")
    body = tuple(node for node in sketch.nodes if isinstance(node, Operator))
    sketch.nodes = outside
    sketch.tensors["left"] = sketch.tensors["sum"]
    held = "total" if skip == "hold" else ""
    output = BranchOutput("left", "sum", "hold" if held else "zero", held)
    sketch.nodes.append(Branch("region", 0, "on", body, (output,)))
    sketch.turn("end", "left", 1, 2, 0)
    image(sketch, "after", "end", 3)
    return sketch.graph("after")


def test_regions_lose_their_transposes_when_zero_and_when_held() -> None:
    for skip in ("zero", "hold"):
        before = gated(skip)
        after = simplify(before)
        assert kinds(after) == ["gate", "conv2d", "conv2d", "add", "conv2d"]
        assert [operator.kind for operator in after.branches[0].body] == ["conv2d", "add"]
        assert_same(before, after)


def test_a_region_keeps_a_transpose_that_its_held_value_does_not_have() -> None:
    sketch = Sketch(x=(1,), y=(3, 3, 3))
    sketch.gate("on", "x")
    sketch.turn("other", "y", 2, 0, 1)
    sketch.add("soft", "softmax", "y")
    body = (sketch.operator("there", "transpose", "soft", permutation=(1, 2, 0)),)
    sketch.tensors["left"] = sketch.tensors["there"]
    sketch.nodes.append(Branch("region", 0, "on", body, (BranchOutput("left", "there", "hold", "other"),)))
    before = sketch.graph("left")
    after = simplify(before)
    assert kinds(after).count("transpose") == 2
    assert_same(before, after)


def test_a_relu_is_not_pulled_out_of_a_region() -> None:
    sketch = Sketch(x=(4,))
    sketch.gate("on", "x")
    sketch.add("fc", "fully_connected", "x", sketch.constant("w", 4, 4), "", activation="none")
    body = (sketch.operator("act", "relu", "fc"),)
    sketch.tensors["left"] = Tensor("left", (4,))
    sketch.nodes.append(Branch("region", 0, "on", body, (BranchOutput("left", "act", "zero"),)))
    before = sketch.graph("left")
    after = simplify(before)
    assert [operator.kind for operator in after.branches[0].body] == ["relu"]
    assert_same(before, after)


def test_dead_regions_and_states_go_and_gates_are_numbered_anew() -> None:
    sketch = Sketch(x=(4,))
    for index in (0, 1):
        sketch.add(f"on{index}", "gate", "x", index=index, threshold=0.0)
        body = (sketch.operator(f"t{index}", "tanh", "x"), sketch.operator(f"s{index}", "sigmoid", "x"))
        sketch.tensors[f"left{index}"] = Tensor(f"left{index}", (4,))
        output = BranchOutput(f"left{index}", f"t{index}", "hold", "x")
        sketch.nodes.append(Branch(f"region{index}", index, f"on{index}", body, (output,)))
    sketch.tensors["h"] = Tensor("h", (4,))
    sketch.tensors["g"] = Tensor("g", (4,))
    following = sketch.add("next", "add", "h", "left0", activation="none")
    sketch.states += [State("h", following), State("g", "left1")]
    sketch.add("y", "add", "g", "x", activation="none")
    after = remove_dead(sketch.graph("y"))
    assert [state.tensor for state in after.states] == ["g"]
    assert [(branch.name, branch.gate) for branch in after.branches] == [("region1", 0)]
    assert kinds(after) == ["gate", "tanh", "add"]
    assert sorted(after.tensors) == ["g", "left1", "on1", "t1", "x", "y"]


def test_constant_subgraphs_are_computed_and_equal_constants_shared() -> None:
    sketch = Sketch(x=(3, 2))
    sketch.constant("a", 2, 3)
    sketch.constants["b"], sketch.tensors["b"] = sketch.constants["a"].copy(), Tensor("b", (2, 3))
    sketch.turn("at", "a", 1, 0)
    sketch.turn("bt", "b", 1, 0)
    sketch.add("s", "add", "x", "at", activation="none")
    sketch.add("t", "add", "s", "bt", activation="none")
    before = sketch.graph("t")
    after = remove_dead(share_constants(fold_constants(before)))
    assert kinds(after) == ["add", "add"] and list(after.constants) == ["at"]
    assert_same(before, after)


def test_a_state_is_stored_as_its_convolution_reads_it() -> None:
    sketch = Sketch(x=(2, 1))
    sketch.tensors["past"] = Tensor("past", (2, 3))
    sketch.constants["past"] = RANDOM.standard_normal((2, 3)).astype(np.float32)
    sketch.add("line", "concat", "past", "x", axis=1)
    sketch.states.append(State("past", sketch.add("next", "slice", "line", axis=1, begin=1, end=4)))
    sketch.turn("seen", "line", 1, 0)
    sketch.add("y", "fully_connected", "seen", sketch.constant("w", 5, 2), "", activation="none")
    before = sketch.graph("y")
    after = simplify(before)
    assert [kind for kind in kinds(after) if kind != "reshape"] == ["concat", "slice", "fully_connected"]
    assert after.tensors["past"].shape == (3, 2)
    assert_same(before, after)
