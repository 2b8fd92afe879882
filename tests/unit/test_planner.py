"""The memory planner: random graphs run in the planned memory and compared with values kept apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.errors import GraphError
from quant.graph import Branch, BranchOutput, Graph, Operator, State, Tensor, check
from tinydsn.codegen.aliasing import concat_is_contiguous
from tinydsn.codegen.planner import Extra, MemoryPlan, check_plan, plan, state_copies
from tinydsn.codegen.program import IN_PLACE, view_offset

ITEM = 2
KINDS = ("add", "add", "relu", "fully_connected", "reshape", "slice", "concat", "gru_update")
Values = tuple[object, ...]


@dataclass
class Builder:
    """Makes a random graph of int16 vectors (names t0, t1, ...), every rule of the planner in reach."""

    choose: random.Random

    def __post_init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.count = 0

    def tensor(self, size: int) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = Tensor(name, (size,), "int16")
        return name

    def size(self, name: str) -> int:
        return self.tensors[name].shape[0]

    def operator(self, known: list[str]) -> Operator:
        kind = self.choose.choice(KINDS)
        source = self.choose.choice(known)
        size, inputs, attributes = self.size(source), (source,), {}
        if kind == "add":
            peers = [name for name in known if self.size(name) == size]
            inputs = (source, self.choose.choice(peers))
        elif kind == "slice":
            begin = self.choose.randrange(size)
            attributes = {"axis": 0, "begin": begin, "end": self.choose.randrange(begin, size) + 1}
            size = attributes["end"] - begin
        elif kind == "concat":
            inputs = tuple(self.choose.choice(known) for _ in range(self.choose.randint(2, 3)))
            size, attributes = sum(map(self.size, inputs)), {"axis": 0}
        elif kind == "gru_update":
            inputs = (self.choose.choice(known), source)
        self.count += 1
        output = self.tensor(size)
        known.append(output)
        return Operator(f"op{self.count}", kind, inputs, (output,), attributes)

    def branch(self, known: list[str], gate: int) -> Branch:
        inner = list(known)
        predicate = self.choose.choice(known)
        body = tuple(self.operator(inner) for _ in range(self.choose.randint(1, 4)))
        outputs = []
        for taken in self.choose.sample(inner, self.choose.randint(1, 2)):
            peers = [name for name in known if self.size(name) == self.size(taken)]
            hold = bool(peers) and self.choose.random() < 0.7
            held = self.choose.choice(peers) if hold else ""
            output = self.tensor(self.size(taken))
            outputs.append(BranchOutput(output, taken, "hold" if hold else "zero", held))
        known.extend(output.tensor for output in outputs)
        return Branch(f"branch{gate}", gate, predicate, body, tuple(outputs))


def random_graph(seed: int) -> Graph:
    choose = random.Random(seed)
    builder = Builder(choose)
    known = [builder.tensor(choose.choice([4, 4, 8])) for _ in range(choose.randint(2, 5))]
    inputs, states = known[:1], known[1:]
    nodes: list[Operator | Branch] = []
    for index in range(choose.randint(1, 10)):
        nodes.append(builder.branch(known, index) if choose.random() < 0.35 else builder.operator(known))
    updates = []
    for state in states:
        peers = [name for name in known if builder.size(name) == builder.size(state)]
        updates.append(State(state, choose.choice(peers)))
    outputs = tuple(choose.sample(known, choose.randint(1, 2)))
    graph = Graph("random", builder.tensors, {}, tuple(inputs), outputs, tuple(updates), tuple(nodes))
    check(graph)
    return graph


def compute(graph: Graph, operator: Operator, inputs: list[Values]) -> Values:
    """The symbolic meaning: each element names how it was made."""
    output = graph.tensors[operator.outputs[0]]
    if operator.kind == "concat":
        return tuple(element for values in inputs for element in values)
    if operator.kind in ("reshape", "slice"):
        offset = view_offset(operator, graph)
        assert offset is not None
        return inputs[0][offset : offset + output.size]
    if operator.kind in IN_PLACE:
        rows = [values if len(values) == output.size else (values,) * output.size for values in inputs]
        return tuple(hash((operator.name, index, *row)) for index, row in enumerate(zip(*rows, strict=True)))
    return tuple(hash((operator.name, index, *inputs)) for index in range(output.size))


class PlannedMemory:
    """A frame executed in planned memory, writing as hostile a way as the kernels may."""

    def __init__(self, graph: Graph, made: MemoryPlan) -> None:
        self.graph, self.made = graph, made
        self.areas = {"arena": [None] * made.arena_bytes, "state": [0] * made.state_bytes}

    def _where(self, name: str) -> tuple[list[object], int]:
        place = self.made.places[name]
        return self.areas[place.area], place.offset // ITEM

    def read(self, name: str) -> Values:
        area, start = self._where(name)
        return tuple(area[start : start + self.graph.tensors[name].size])

    def write(self, name: str, values: Values) -> None:
        area, start = self._where(name)
        area[start : start + len(values)] = values

    def run(self, operator: Operator) -> None:
        output = operator.outputs[0]
        if view_offset(operator, self.graph) is not None:
            assert self.made.same_place(operator.inputs[0], output) or operator.kind == "slice"
            return
        if operator.kind == "concat":
            self._concat(operator)
            return
        if operator.kind not in IN_PLACE:
            inputs = [self.read(name) for name in operator.inputs]
            self.write(output, ("garbage",) * self.graph.tensors[output].size)
            unspoilt = [self.read(name) for name in operator.inputs]
            assert unspoilt == inputs, f"{operator.name} overwrites its input"
            self.write(output, compute(self.graph, operator, inputs))
            return
        area, start = self._where(output)
        for index in range(self.graph.tensors[output].size):
            inputs = [self.read(name) for name in operator.inputs]
            area[start + index] = compute(self.graph, operator, inputs)[index]

    def _concat(self, operator: Operator) -> None:
        area, at = self._where(operator.outputs[0])
        assert concat_is_contiguous(operator, self.graph)
        for name in operator.inputs:
            if self._where(name) != (area, at):
                values = self.read(name)
                area[at : at + len(values)] = values
            at += self.graph.tensors[name].size

    def frame(self, inputs: dict[str, Values], taken: list[bool]) -> list[Values]:
        for name, values in inputs.items():
            self.write(name, values)
        for node in self.graph.nodes:
            if isinstance(node, Operator):
                self.run(node)
                continue
            self.read(node.predicate)
            if taken[node.gate]:
                for operator in node.body:
                    self.run(operator)
            for output in node.outputs:
                source = output.taken if taken[node.gate] else output.held
                if source and not self.made.same_place(output.tensor, source):
                    self.write(output.tensor, self.read(source))
                elif not source:
                    self.write(output.tensor, (0,) * self.graph.tensors[output.tensor].size)
        results = [self.read(name) for name in self.graph.outputs]
        for state, following in state_copies(self.graph, self.made):
            self.write(state, self.read(following))
        return results


def reference(
    graph: Graph, states: dict[str, Values], inputs: dict[str, Values], taken: list[bool]
) -> tuple[list[Values], dict[str, Values]]:
    values = {**states, **inputs}
    for node in graph.nodes:
        for operator in (node,) if isinstance(node, Operator) else node.body if taken[node.gate] else ():
            values[operator.outputs[0]] = compute(graph, operator, [values[name] for name in operator.inputs])
        if isinstance(node, Branch):
            for output in node.outputs:
                zero = (0,) * graph.tensors[output.tensor].size
                skipped = values[output.held] if output.skip == "hold" else zero
                values[output.tensor] = values[output.taken] if taken[node.gate] else skipped
    return [values[name] for name in graph.outputs], {s.tensor: values[s.next] for s in graph.states}


@settings(max_examples=600, deadline=None)
@given(st.integers(0, 2**32))
def test_planned_memory_gives_every_value_of_random_graphs(seed: int) -> None:
    graph = random_graph(seed)
    choose = random.Random(seed + 1)
    made = plan(graph, alignment=ITEM)
    try:
        state_copies(graph, made)
    except GraphError as error:
        assert "in a ring" in str(error)
        return
    memory = PlannedMemory(graph, made)
    states: dict[str, Values] = {s.tensor: (0,) * graph.tensors[s.tensor].size for s in graph.states}
    for frame in range(4):
        taken = [choose.random() < 0.5 for _ in graph.nodes]
        inputs = {
            name: tuple((name, frame, i) for i in range(graph.tensors[name].size)) for name in graph.inputs
        }
        expected, states = reference(graph, states, inputs, taken)
        assert memory.frame(inputs, taken) == expected
        for name, values in states.items():
            assert memory.read(name) == values


def small(nodes: tuple[Operator | Branch, ...], sizes: dict[str, int], **more: object) -> Graph:
    tensors = {name: Tensor(name, (size,), "int16") for name, size in sizes.items()}
    return Graph("g", tensors, {}, ("x",), ("y",), more.get("states", ()), nodes)  # type: ignore[arg-type]


def test_a_residual_chain_over_two_gates_needs_one_buffer_and_no_copy() -> None:
    def gated(number: int, held: str, out: str) -> Branch:
        body = (
            Operator(f"f{number}", "fully_connected", (held,), (f"c{number}",)),
            Operator(f"a{number}", "add", (held, f"c{number}"), (f"s{number}",)),
        )
        return Branch(f"b{number}", number, "p", body, (BranchOutput(out, f"s{number}", "hold", held),))

    names = ["x", "p", "acc", "c0", "s0", "mid", "c1", "s1", "y"]
    nodes = (
        Operator("g", "fully_connected", ("x",), ("p",)),
        Operator("n", "fully_connected", ("x",), ("acc",)),
        gated(0, "acc", "mid"),
        gated(1, "mid", "y"),
    )
    made = plan(small(nodes, dict.fromkeys(names, 8)))
    assert all(made.same_place("acc", name) for name in ("s0", "mid", "s1", "y"))
    # x, p and acc live together once; then p, acc and one contribution
    assert made.arena_bytes == made.peak == 3 * 16


def test_a_held_value_with_a_later_reader_is_not_overwritten() -> None:
    body = (Operator("a", "relu", ("x",), ("s",)),)
    nodes = (
        Branch("b", 0, "x", body, (BranchOutput("o", "s", "hold", "x"),)),
        Operator("late", "add", ("x", "o"), ("y",)),
    )
    made = plan(small(nodes, dict.fromkeys(["x", "s", "o", "y"], 8)))
    assert made.same_place("s", "o") and not made.same_place("x", "o")


def test_a_gru_state_is_updated_where_it_lies_inside_a_gated_region() -> None:
    body = (
        Operator("h", "fully_connected", ("h0",), ("gh",)),
        Operator("u", "gru_update", ("x", "gh", "h0"), ("h1",)),
    )
    nodes = (
        Branch("b", 0, "x", body, (BranchOutput("h2", "h1", "hold", "h0"),)),
        Operator("out", "fully_connected", ("h2",), ("y",)),
    )
    sizes = {"x": 24, "gh": 24, "h0": 8, "h1": 8, "h2": 8, "y": 8}
    graph = small(nodes, sizes, states=(State("h0", "h2"),))
    made = plan(graph)
    assert made.places["h1"] == made.places["h2"] == made.places["h0"]
    assert made.places["h0"].area == "state"
    assert state_copies(graph, made) == ()


def test_concatenated_tensors_are_computed_in_place() -> None:
    nodes = (
        Operator("a", "fully_connected", ("x",), ("left",)),
        Operator("b", "fully_connected", ("x",), ("right",)),
        Operator("c", "concat", ("left", "right"), ("both",), {"axis": 0}),
        Operator("d", "fully_connected", ("both",), ("y",)),
    )
    made = plan(small(nodes, {"x": 8, "left": 8, "right": 8, "both": 16, "y": 8}))
    start = made.places["both"].offset
    assert made.places["left"].offset == start and made.places["right"].offset == start + 16


def test_a_delay_line_of_states_is_copied_from_its_far_end() -> None:
    nodes = (Operator("a", "add", ("s1", "s0"), ("y",)),)
    states = (State("s0", "x"), State("s1", "s0"))
    graph = small(nodes, dict.fromkeys(["x", "s0", "s1", "y"], 4), states=states)
    assert state_copies(graph, plan(graph)) == (("s1", "s0"), ("s0", "x"))


def test_states_that_exchange_their_values_are_refused() -> None:
    nodes = (Operator("a", "add", ("s1", "s0"), ("y",)),)
    states = (State("s0", "s1"), State("s1", "s0"))
    graph = small(nodes, dict.fromkeys(["x", "s0", "s1", "y"], 4), states=states)
    with pytest.raises(GraphError) as caught:
        state_copies(graph, plan(graph))
    assert str(caught.value) == "states s0, s1 exchange their values in a ring (must form a chain)"


def test_scratch_lives_only_in_its_step_and_keeps_alignment() -> None:
    kind = "fully_connected"
    nodes = (Operator("a", kind, ("x",), ("m",)), Operator("b", kind, ("m",), ("y",)))
    graph = small(nodes, {"x": 5, "m": 5, "y": 5})
    made = plan(graph, [Extra("s1", 100, 1, 1), Extra("s2", 90, 2, 2)], alignment=16)
    assert made.extras["s1"] == made.extras["s2"] == 0
    assert all(buffer.offset % 16 == 0 for buffer in made.buffers)
    assert made.arena_bytes == 112 + 32


def test_the_checker_sees_an_overlap() -> None:
    graph = small((Operator("a", "fully_connected", ("x",), ("y",)),), {"x": 4, "y": 4})
    made = plan(graph)
    moved = tuple(replace(buffer, offset=0) for buffer in made.buffers)
    with pytest.raises(GraphError) as caught:
        check_plan(replace(made, buffers=moved))
    assert str(caught.value) == "memory plan: buffers 'x' and 'y' overlap"
