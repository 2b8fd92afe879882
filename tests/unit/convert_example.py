"""Small float graphs made by hand, and how far their integer form is from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quant import ops
from quant.calibrate import input_frames
from quant.convert import quantize
from quant.graph import Branch, BranchOutput, Graph, IntegerGraph, Node, Operator, State, Tensor, check
from quant.precision import Precision
from quant.reference import Executor

FRAME = 8


@dataclass
class Builder:
    """Collects a float graph whose one input ``x`` is a frame of raw samples."""

    tensors: dict[str, Tensor] = field(default_factory=lambda: {"x": Tensor("x", (FRAME,))})
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(11))

    def constant(self, name: str, values: np.ndarray) -> str:
        """A weight or an operand."""
        self.tensors[name], self.constants[name] = Tensor(name, values.shape), values
        return name

    def make(self, kind: str, name: str, inputs: Sequence[str], **attributes: object) -> Operator:
        """An operator that is not yet in the graph; its output has its name."""
        shapes = [self.tensors[item].shape if item else () for item in inputs]
        (shape,) = ops.definition(kind).infer(shapes, attributes)  # type: ignore[arg-type]
        self.tensors[name] = Tensor(name, shape)
        return Operator(name, kind, tuple(inputs), (name,), attributes, "model.py:1")  # type: ignore[arg-type]

    def add(self, kind: str, name: str, inputs: Sequence[str], **attributes: object) -> str:
        """An operator at the end of the graph."""
        self.nodes.append(self.make(kind, name, inputs, **attributes))
        return name

    def dense(self, name: str, data: str, size: int, gain: float = 1.0, **attributes: object) -> Operator:
        """A fully connected operator with random weights, not yet in the graph."""
        columns = self.tensors[data].shape[-1]
        weight = gain * self.rng.normal(size=(size, columns)) / np.sqrt(columns)
        weights = self.constant(f"{name}.w", weight)
        bias = self.constant(f"{name}.b", 0.1 * gain * self.rng.normal(size=size))
        return self.make("fully_connected", name, (data, weights, bias), **attributes)

    def linear(self, name: str, data: str, size: int, gain: float = 1.0, **attributes: object) -> str:
        """The same, at the end of the graph."""
        self.nodes.append(self.dense(name, data, size, gain, **attributes))
        return name

    def state(self, name: str, shape: tuple[int, ...], initial: np.ndarray | None = None) -> str:
        """A state; its update is named by ``update``."""
        self.tensors[name] = Tensor(name, shape)
        if initial is not None:
            self.constants[name] = initial
        return name

    def update(self, state: str, by: str) -> None:
        """The state's value after the frame."""
        self.states.append(State(state, by))

    def branch(
        self, name: str, gate: int, predicate: str, body: Sequence[Operator], outputs: Sequence[BranchOutput]
    ) -> None:
        """A gated region."""
        for output in outputs:
            self.tensors[output.tensor] = Tensor(output.tensor, self.tensors[output.taken].shape)
        self.nodes.append(Branch(name, gate, predicate, tuple(body), tuple(outputs)))

    def gate(self, name: str, logits: str, index: int = 0, threshold: float = 0.0) -> str:
        """A predicate."""
        self.add("gate", name, (logits,), index=index, threshold=threshold)
        self.tensors[name] = Tensor(name, (), "bool")
        return name

    def graph(self, output: str) -> Graph:
        """The whole graph."""
        made = Graph(
            "hand-made",
            self.tensors,
            self.constants,
            ("x",),
            (output,),
            tuple(self.states),
            tuple(self.nodes),
        )
        check(made)
        return made


def audio(seconds: float = 0.1, seed: int = 7, gain: float = 0.3) -> np.ndarray:
    """int16 noise with a slow envelope."""
    rng = np.random.default_rng(seed)
    count = int(16000 * seconds) // FRAME * FRAME
    envelope = 0.2 + 0.8 * np.sin(np.linspace(0, 6 * np.pi, count)) ** 2
    return np.clip(rng.normal(size=count) * envelope * gain * 32768, -32768, 32767).astype(np.int16)


def compare(graph: Graph, precision: Precision | str = "w8a16") -> tuple[IntegerGraph, float]:
    """(integer graph, root mean square error of its output over that of the float output).

    Both run on the calibration audio; gates are those of the integer graph in both.
    """
    clip = audio()
    made = quantize(graph, [clip], precision)
    whole, real = Executor(made), Executor(graph)
    hops = clip.reshape(-1, FRAME)
    error, power = 0.0, 0.0
    for hop, frame in zip(hops, input_frames(graph, clip), strict=True):
        found = whole.step(hop)
        expected = np.clip(real.step(frame, forced=found.gates).outputs[0], -1, 32767 / 32768)
        error += float(np.sum((found.outputs[0] / 32768 - expected) ** 2))
        power += float(np.sum(expected**2))
    return made, (error / power) ** 0.5


def kinds(graph: Graph) -> list[str]:
    """Kinds of all operators in order."""
    return [operator.kind for operator in graph.operators()]
