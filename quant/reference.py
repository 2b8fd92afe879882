"""Runs a graph frame by frame in NumPy: the float meaning, and the integer meaning that C must equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quant import ops
from quant.frontend import FrontEndReference
from quant.gates import GatePattern
from quant.graph import Branch, Graph, IntegerGraph, Operator

Values = dict[str, np.ndarray]
Observer = Callable[[Operator | None, str, np.ndarray], None]


@dataclass(frozen=True)
class Frame:
    """Result of one frame: outputs in the graph's order, and the decision of each gate."""

    outputs: tuple[np.ndarray, ...]
    gates: np.ndarray


class Executor:
    """Frame-by-frame execution of a float or an integer graph, with its states.

    ``observe`` is called with (operator, tensor name, value) for every tensor an executed operator writes,
    and with None as operator for inputs and for what leaves a gated region. ``bias`` is added to gate logits,
    in the logits' integer scale (``tinydsn_set_bias``).
    """

    def __init__(self, graph: Graph, observe: Observer | None = None) -> None:
        self.graph = graph
        self.bias = 0
        self._observe = observe
        self._integer = isinstance(graph, IntegerGraph)
        self._definitions = {op.name: ops.definition(op.kind) for op in graph.operators()}
        self.states: Values = {}
        self.reset()

    def reset(self) -> None:
        """States as before the first frame."""
        self.states = {state.tensor: initial_state(self.graph, state.tensor) for state in self.graph.states}

    def step(self, *frames: np.ndarray, forced: np.ndarray | None = None) -> Frame:
        """Run one frame. ``forced``: bool [gates], overrules the policy."""
        values: Values = {**self.graph.constants, **self.states}
        for name, frame in zip(self.graph.inputs, frames, strict=True):
            values[name] = frame
            if self._observe:
                self._observe(None, name, frame)
        gates = np.zeros(self.graph.gates, bool)
        for node in self.graph.nodes:
            if isinstance(node, Branch):
                self._run_branch(node, values, gates, forced)
            else:
                self._run(node, values)
        self.states = {state.tensor: values[state.next] for state in self.graph.states}
        return Frame(tuple(values[name] for name in self.graph.outputs), gates)

    def _run_branch(
        self, branch: Branch, values: Values, gates: np.ndarray, forced: np.ndarray | None
    ) -> None:
        for item in branch.conditions:
            gates[item.gate] = values[item.predicate] if forced is None else forced[item.gate]
        taken = all(gates[item.gate] == item.opened for item in branch.conditions)
        if taken:
            for operator in branch.body:
                self._run(operator, values)
        for output in branch.outputs:
            if taken:
                values[output.tensor] = values[output.taken]
            elif output.skip == "hold":
                values[output.tensor] = values[output.held]
            else:
                values[output.tensor] = real_zero(self.graph, output.tensor)
            if self._observe:
                self._observe(None, output.tensor, values[output.tensor])

    def _run(self, operator: Operator, values: Values) -> None:
        inputs = tuple(values[name] if name else None for name in operator.inputs)
        definition = self._definitions[operator.name]
        if self._integer:
            if operator.kind == "gate" and self.bias:
                assert inputs[0] is not None
                inputs = (inputs[0].astype(np.int32) + self.bias,)
            results = definition.reference(operator.attributes, inputs)
        else:
            results = definition.evaluate(operator.attributes, inputs)
        for name, result in zip(operator.outputs, results, strict=True):
            values[name] = result
            if self._observe:
                self._observe(operator, name, result)


def real_zero(graph: Graph, name: str) -> np.ndarray:
    """A tensor of real zeros: the zero point in an integer graph."""
    tensor = graph.tensors[name]
    zero_point = tensor.quantization.zero_point if tensor.quantization else 0
    return np.full(tensor.shape, zero_point, np.dtype(tensor.dtype))


def initial_state(graph: Graph, name: str) -> np.ndarray:
    """A state's value before the first frame."""
    stored = graph.constants.get(name)
    return real_zero(graph, name) if stored is None else stored


@dataclass(frozen=True)
class Enhanced:
    """PCM out (int16 [samples], whole hops; of several channels [channels, samples]) and the gate decisions,
    bool [frames, gates]."""

    pcm: np.ndarray
    gates: np.ndarray


class Pipeline:
    """PCM in, PCM out: front end, network and synthesis of an integer graph, as the firmware does it."""

    def __init__(self, graph: IntegerGraph, observe: Observer | None = None) -> None:
        self.graph = graph
        self.network = Executor(graph, observe)
        self.front = FrontEndReference(graph.frontend) if graph.frontend else None
        self.channels = channels_of(graph)
        self.hop = hop_of(graph)

    def process(self, hop: np.ndarray, forced: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """One hop of int16 PCM -> (one hop of int16 PCM, of several channels one behind the other, gates)."""
        if self.front is None:
            shape = self.graph.tensors[self.graph.inputs[0]].shape
            frame = self.network.step(hop.reshape(shape), forced=forced)
            return frame.outputs[0].reshape(-1), frame.gates
        features = self.front.analysis(hop)
        shape = self.graph.tensors[self.graph.inputs[0]].shape
        frame = self.network.step(features.reshape(shape), forced=forced)
        values = frame.outputs[0].reshape(-1)
        if self.front.config.masks:
            return self.front.synthesis(values), frame.gates
        return filled(values, self.hop), frame.gates

    def run(
        self,
        pcm: np.ndarray,
        pattern: GatePattern | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Enhanced:
        """A whole clip from a reset state; the last hop is filled with zeros.

        ``progress`` is called with (frames done, frames).
        """
        hops = split_hops(pcm, self.hop)
        frames = len(hops)
        forced = (pattern or GatePattern("learned")).forced(frames, self.graph.gates)
        out = np.empty((frames, self.channels * self.hop), np.int16)
        gates = np.zeros((frames, self.graph.gates), bool)
        self.network.reset()
        if self.front is not None:
            self.front.reset()
        for index, hop in enumerate(hops):
            row = None if forced is None else forced[index]
            out[index], gates[index] = self.process(hop, row)
            if progress is not None:
                progress(index + 1, frames)
        return Enhanced(by_channel(out.reshape(-1), self.hop, self.channels), gates)


def hop_of(graph: Graph) -> int:
    """Samples a call of process() takes: the front end's hop, or the length of a raw model's frame."""
    return graph.frontend.hop if graph.frontend else graph.tensors[graph.inputs[0]].size


def channels_of(graph: Graph) -> int:
    """Waves that come out of a graph's process()."""
    return graph.frontend.channels if graph.frontend else 1


def by_channel(raw: np.ndarray, hop: int, channels: int) -> np.ndarray:
    """What process() gave, frame after frame, int16 [frames * channels * hop] -> [frames * hop], of several
    channels [channels, frames * hop]."""
    if channels == 1:
        return raw
    return np.ascontiguousarray(raw.reshape(-1, channels, hop).swapaxes(0, 1)).reshape(channels, -1)


def by_frame(pcm: np.ndarray, hop: int) -> np.ndarray:
    """The reverse of `by_channel`, a row a frame: int16 [frames, channels * hop]."""
    if pcm.ndim == 1:
        return pcm.reshape(-1, hop)
    return np.ascontiguousarray(pcm.reshape(len(pcm), -1, hop).swapaxes(0, 1)).reshape(-1, len(pcm) * hop)


def filled(values: np.ndarray, hop: int) -> np.ndarray:
    """int16 [n] numbers that a network answers with -> int16 [hop], zeros behind them."""
    return np.concatenate([values, np.zeros(hop - len(values), np.int16)])


def split_hops(pcm: np.ndarray, hop: int) -> np.ndarray:
    """int16 [n] -> int16 [frames, hop], the last one filled up with zeros."""
    frames = -(-len(pcm) // hop)
    padded = np.zeros(frames * hop, np.int16)
    padded[: len(pcm)] = pcm
    return padded.reshape(frames, hop)
