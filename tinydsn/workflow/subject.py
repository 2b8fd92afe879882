"""A model to evaluate: its files, its gates, and what each gate costs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quant import ops
from quant.errors import ConfigError, ModelFileError
from quant.graph import Graph
from tinydsn.audio.metrics import RATE
from tinydsn.workflow.measurement import with_bias
from tinydsn.workflow.models import Model, checkpoint_path, load_model
from tinydsn.workflow.profile import gate_names

PROTOCOL = 1
"""Of the rows; raise it when what they mean changes, so that stored ones are not used again."""


@dataclass(frozen=True)
class Subject:
    """A model to evaluate: its integer graph (with the bias in it), and its checkpoint or None.

    None too where the weights were trained as integers: run as floats they are another network, and what
    that one does says nothing about the graph.
    forced: gates that hold in every frame, in the order of ``gates``; None where the policy decides.
    """

    name: str
    checkpoint: Path | None
    model: Model
    gates: tuple[str, ...]
    bias: int = 0
    forced: tuple[bool, ...] | None = None

    @property
    def digest(self) -> str:
        """Names graph, weights, bias and forced gates."""
        parts = [self.model.sha256, str(self.bias), str(PROTOCOL)]
        if self.checkpoint is not None:
            parts.append(hashlib.sha256(self.checkpoint.read_bytes()).hexdigest())
        if self.forced is not None:
            parts.append(f"forced {word_of(self.forced)}")
        return hashlib.sha256("/".join(parts).encode()).hexdigest()


def word_of(gates: Sequence[bool | int]) -> str:
    """Gates as a word such as ``110``, gate 0 first."""
    return "".join(str(int(on)) for on in gates)


def open_subject(text: str, bias: int = 0, force: str | None = None) -> Subject:
    """A shipped name, a checkpoint with its graph beside it, or a graph alone (then without float network).

    ``force``: a word for every frame, see `forced_gates`. Raises ModelFileError when one is missing or
    damaged or the two do not belong together, ConfigError for a graph that is not of 16 kHz, for a bias
    together with forced gates, and for either without gates.
    """
    model, checkpoint = load_model(text), checkpoint_path(text)
    graph = model.graph
    if graph.frontend is not None and not graph.frontend.masks:
        raise ConfigError(f"{model.path}: enhances nothing, so there is nothing to judge (see docs/tasks.md)")
    if graph.frontend is not None and graph.frontend.sample_rate != RATE:
        raise ConfigError(
            f"{model.path}: runs at {graph.frontend.sample_rate} Hz (the metrics need {RATE} Hz)"
        )
    names = tuple(gate_names(graph))
    if checkpoint is not None:
        from tinydsn.models.checkpoint import load_checkpoint, load_scales

        network = load_checkpoint(checkpoint)
        if len(network.gates) != graph.gates:
            raise ModelFileError(
                f"{checkpoint}: {len(network.gates)} gates, and {model.path}: {graph.gates} (quantize the "
                "checkpoint again)"
            )
        names = tuple(network.gates)
        if load_scales(checkpoint):
            checkpoint = None
    if bias and not names:
        raise ConfigError(f"{text}: has no gates, so --bias {bias} has no meaning")
    if bias and force is not None:
        raise ConfigError(f"--bias {bias} and --force {force}: forced gates heed no bias (leave one out)")
    forced = None if force is None else forced_gates(text, force, names, graph)
    return Subject(text, checkpoint, replace(model, graph=with_bias(graph, bias)), names, bias, forced)


def forced_gates(text: str, word: str, names: Sequence[str], graph: Graph) -> tuple[bool, ...]:
    """The gates of a word such as ``110``, one digit for each of ``names``.

    Raises ConfigError for a model without gates, a word of another length or of other characters, and one
    that opens a step of a ladder over a closed one: which of such regions counts is the device's matter
    alone, the network over whole clips knows no such word.
    """
    if not names:
        raise ConfigError(f"{text}: has no gates, so --force {word} has no meaning")
    if len(word) != len(names) or set(word) - {"0", "1"}:
        raise ConfigError(
            f"--force {word!r}: must be {len(names)} digits of 0 or 1, one for each gate of {text} "
            f"({', '.join(names)})"
        )
    forced = tuple(digit == "1" for digit in word)
    for gate, on in enumerate(forced):
        above = [names[k] for k in graph.behind(gate) if forced[k]]
        if above and not on:
            raise ConfigError(
                f"--force {word}: opens {above[0]} over {names[gate]}, which is closed (gates of {text} that "
                "are steps open one after the other)"
            )
    return forced


def cost_patterns(graph: Graph) -> list[tuple[bool, ...]]:
    """All gates on, and each one off alone, of a ladder with those behind it; nothing without gates."""
    gates = graph.gates
    if not gates:
        return []
    closed = [{off, *graph.behind(off)} for off in range(gates)]
    return [(True,) * gates] + [tuple(k not in off for k in range(gates)) for off in closed]


def gate_costs(rows: Sequence[Mapping[str, Any]], subject: Subject) -> tuple[np.ndarray, float | None]:
    """Each gate's share of the gated cost ``[K]``, summing to 1, and the instructions with all gates on.

    In instructions: all on less one off (of a ladder: one step less); where they are not counted, in
    multiply-accumulates.
    """
    costs: dict[tuple[bool, ...], list[float]] = {}
    for row in rows:
        costs.setdefault(tuple(row["forced"]), []).append(row["mean"])
    gates = len(subject.gates)
    if not costs:
        macs = gate_macs(subject.model.graph)
        return macs / max(float(macs.sum()), 1.0), None
    means = {pattern: float(np.mean(values)) for pattern, values in costs.items()}
    all_on = means[(True,) * gates]
    graph = subject.model.graph
    saved = np.array([all_on - means[pattern] for pattern in cost_patterns(graph)[1:]])
    own = np.array([saved[gate] - sum(saved[k] for k in graph.behind(gate)[:1]) for gate in range(gates)])
    return own / own.sum(), all_on


def gate_macs(graph: Graph) -> np.ndarray:
    """Multiply-accumulates that each gate adds ``[K]``: those of its regions, less those that it replaces."""
    macs = np.zeros(graph.gates)
    for branch in graph.branches:
        body = sum(ops.definition(op.kind).macs(op, graph.tensors) for op in branch.body)
        for condition in branch.conditions:
            macs[condition.gate] += body if condition.opened else -body
    return macs
