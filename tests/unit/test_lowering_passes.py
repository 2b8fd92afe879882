"""Passes on small graphs written by hand: what remains, and that the graph still computes the same."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quant import ops
from quant.graph import Attribute, Branch, BranchOutput, Graph, Node, Operator, State, Tensor, check
from quant.reference import Executor
from tinydsn.lowering.passes import settle, simplify, views
from tinydsn.lowering.passes.constants import fold_constants, share_constants
from tinydsn.lowering.passes.dead import remove_dead
from tinydsn.lowering.passes.fusion import fold_affine, fuse_activations
from tinydsn.lowering.passes.movement import merge_moves

RANDOM = np.random.default_rng(7)


class Sketch:
    """Writes a graph line by line; an operator's output has the operator's name."""

    def __init__(self, **inputs: tuple[int, ...]) -> None:
        self.tensors = {name: Tensor(name, shape) for name, shape in inputs.items()}
        self.inputs = tuple(inputs)
        self.constants: dict[str, np.ndarray] = {}
        self.states: list[State] = []
        self.nodes: list[Node] = []

    def constant(self, name: str, *shape: int) -> str:
        """Random numbers."""
        self.constants[name] = RANDOM.standard_normal(shape).astype(np.float32)
        self.tensors[name] = Tensor(name, shape)
        return name

    def operator(self, name: str, kind: str, *inputs: str, **attributes: Attribute) -> Operator:
        """An operator that is not in the graph yet."""
        shapes = [self.tensors[item].shape if item else () for item in inputs]
        (shape,) = ops.definition(kind).infer(shapes, attributes)
        self.tensors[name] = Tensor(name, shape, "bool" if kind == "gate" else "float32")
        return Operator(name, kind, inputs, (name,), attributes)

    def add(self, name: str, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """An operator at the end of the graph."""
        self.nodes.append(self.operator(name, kind, *inputs, **attributes))
        return name

    def turn(self, name: str, source: str, *permutation: int) -> str:
        """A transpose."""
        return self.add(name, "transpose", source, permutation=permutation)

    def gate(self, name: str, logits: str) -> str:
        """A gate on the first logit."""
        return self.add(name, "gate", logits, index=0, threshold=0.0)

    def graph(self, *outputs: str) -> Graph:
        """The finished graph."""
        graph = Graph(
            "sketch",
            self.tensors,
            self.constants,
            self.inputs,
            outputs,
            tuple(self.states),
            tuple(self.nodes),
        )
        check(graph)
        return graph


def kinds(graph: Graph) -> list[str]:
    """Kinds of all operators, regions included."""
    return [operator.kind for operator in graph.operators()]


def assert_same(first: Graph, second: Graph, frames: int = 6) -> None:
    """Both graphs give the same outputs, frame by frame, with gates taking both values."""
    executors = Executor(first), Executor(second)
    for index in range(frames):
        shapes = [first.tensors[name].shape for name in first.inputs]
        values = [RANDOM.standard_normal(shape).astype(np.float32) for shape in shapes]
        if first.gates:
            values[0] = np.full_like(values[0], 1 if index % 2 else -1)
        found = [executor.step(*values) for executor in executors]
        assert np.array_equal(found[0].gates, found[1].gates)
        for one, two in zip(found[0].outputs, found[1].outputs, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


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


@st.composite
def chains(draw: st.DrawFn) -> tuple[tuple[int, ...], list[views.Step]]:
    """A shape and a chain of moves on it."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 1, 2, 3, 4, 6]), min_size=1, max_size=4)))
    steps: list[views.Step] = []
    current = shape
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            permutation = tuple(draw(st.permutations(range(len(current)))))
            steps.append(("transpose", permutation))
            current = tuple(current[axis] for axis in permutation)
        else:
            size = math.prod(current)
            sizes: list[int] = []
            while size > 1 and len(sizes) < 4:
                sizes.append(draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0])))
                size //= sizes[-1]
            current = (*sizes, size)
            steps.append(("reshape", current))
    return shape, steps


def follow(value: np.ndarray, steps: tuple[views.Step, ...] | list[views.Step]) -> np.ndarray:
    """The moves, by NumPy."""
    for kind, argument in steps:
        value = value.reshape(argument) if kind == "reshape" else value.transpose(argument)
    return value


@given(chains())
@settings(max_examples=400, deadline=None)
def test_the_shortest_chain_means_the_same(case: tuple[tuple[int, ...], list[views.Step]]) -> None:
    shape, steps = case
    view: views.View | None = views.identity(shape)
    for step in steps:
        view = None if view is None else views.extend(view, step)
    if view is None:
        return
    short = views.steps(view)
    value = np.arange(math.prod(shape)).reshape(shape)
    assert np.array_equal(follow(value, short), follow(value, steps))
    assert len(short) <= 3 and sum(kind == "transpose" for kind, _ in short) <= 1
    assert len(short) <= len(steps)


PIECES = ("relu", "transpose", "reshape", "add", "mul", "slice", "concat", "pad", "softmax", "matrix")


@st.composite
def programs(draw: st.DrawFn) -> Graph:
    """A random program of moves and arithmetic on small tensors, half of it with a state."""
    sketch = Sketch(x=tuple(draw(st.lists(st.integers(1, 4), min_size=2, max_size=3))))
    live = ["x"]
    if draw(st.booleans()):
        sketch.tensors["state"] = Tensor("state", sketch.tensors["x"].shape)
        live.append("state")
    for index in range(draw(st.integers(2, 10))):
        name, source = f"op{index}", draw(st.sampled_from(live))
        shape = sketch.tensors[source].shape
        kind = draw(st.sampled_from(PIECES))
        axis = draw(st.integers(0, len(shape) - 1))
        alike = [item for item in live if sketch.tensors[item].shape == shape]
        if kind == "transpose":
            sketch.turn(name, source, *draw(st.permutations(range(len(shape)))))
        elif kind == "reshape":
            target = tuple(draw(st.permutations([*shape, 1] if len(shape) < 4 else shape)))
            sketch.add(name, kind, source, shape=target)
        elif kind in ("add", "mul"):
            other = draw(st.sampled_from([*alike, sketch.constant(f"c{index}", *shape[axis:])]))
            sketch.add(name, kind, source, other, **({"activation": "none"} if kind == "add" else {}))
        elif kind == "slice":
            begin = draw(st.integers(0, shape[axis] - 1))
            end = draw(st.integers(begin + 1, shape[axis]))
            sketch.add(name, kind, source, axis=axis, begin=begin, end=end)
        elif kind == "concat":
            sketch.add(name, kind, source, draw(st.sampled_from(alike)), axis=axis)
        elif kind == "pad":
            amounts = tuple(draw(st.integers(0, 1)) for _ in shape)
            sketch.add(name, kind, source, before=amounts, after=amounts[::-1])
        elif kind == "matrix":
            weight = sketch.constant(f"w{index}", 3, shape[-1])
            sketch.add(name, "fully_connected", source, weight, "", activation="none")
        else:
            sketch.add(name, kind, source)
        live.append(name)
    shape = sketch.tensors["x"].shape
    if "state" in live:
        following = [item for item in live if sketch.tensors[item].shape == shape]
        sketch.states.append(State("state", following[-1]))
    return sketch.graph(live[-1], draw(st.sampled_from(live)))


@given(programs())
@settings(max_examples=150, deadline=None)
def test_random_programs_compute_the_same_after_all_passes(before: Graph) -> None:
    after = simplify(before)
    assert_same(before, after, frames=3)
    assert settle(after).nodes == after.nodes, "the passes have come to rest"
