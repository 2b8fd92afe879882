"""Small graphs written by hand, and the check that two graphs compute the same."""

from __future__ import annotations

import numpy as np

from quant import ops
from quant.graph import Attribute, Graph, Node, Operator, State, Tensor, check
from quant.reference import Executor

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
