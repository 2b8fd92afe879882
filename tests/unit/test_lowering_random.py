"""Passes on random graphs and random chains of views: what comes out computes the same."""

from __future__ import annotations

import math

import numpy as np
from graph_sketch import Sketch, assert_same
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.graph import Graph, State, Tensor
from tinydsn.lowering.passes import settle, simplify, views


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
