"""Rewriting one operator at a time: what a rule sees, what it answers, and the loop that applies it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from quant.graph import Attribute, Branch, Graph, Node, Operator, State, Tensor, check

_MOVE_NAMES = re.compile(r"(\.(reshape|transpose)(_\d+)?)+$")


@dataclass(frozen=True)
class Replacement:
    """What stands instead of an operator.

    Either ``operators``, the last of which writes the old output, or nothing and ``alias``, a tensor that
    takes the old output's place everywhere. ``tensors`` and ``constants`` are new. ``absorbed`` names an
    operator before that goes too, because ``operators`` do its work.
    """

    operators: tuple[Operator, ...] = ()
    alias: str = ""
    tensors: tuple[Tensor, ...] = ()
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    absorbed: str = ""


@dataclass(frozen=True)
class Facts:
    """A graph and what rules ask about it."""

    graph: Graph

    @cached_property
    def producers(self) -> dict[str, Operator]:
        """Tensor -> the operator that writes it."""
        return {name: operator for operator in self.graph.operators() for name in operator.outputs}

    @cached_property
    def regions(self) -> dict[str, Branch | None]:
        """Operator name -> gated region or None."""
        return self.graph.region_of()

    @cached_property
    def readers(self) -> Counter[str]:
        """Tensor -> how often it is read, by operators, regions, outputs and states."""
        count: Counter[str] = Counter(self.graph.outputs)
        count.update(state.next for state in self.graph.states)
        for operator in self.graph.operators():
            count.update(name for name in operator.inputs if name)
        for branch in self.graph.branches:
            count.update(condition.predicate for condition in branch.conditions)
            for output in branch.outputs:
                count.update([output.taken, *([output.held] if output.held else [])])
        return count

    @cached_property
    def state_tensors(self) -> frozenset[str]:
        """Tensors that change between frames although they may have a constant as initial value."""
        return frozenset(state.tensor for state in self.graph.states)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.graph.tensors[name].shape

    def constant(self, name: str) -> np.ndarray | None:
        """Value of a constant that is not the start of a state."""
        return None if name in self.state_tensors else self.graph.constants.get(name)

    def producer(self, name: str, kind: str | tuple[str, ...] = ()) -> Operator | None:
        """The operator that writes ``name``, if it is of the given kind(s)."""
        found = self.producers.get(name)
        kinds = (kind,) if isinstance(kind, str) else kind
        return found if found is not None and (not kinds or found.kind in kinds) else None

    def only_reader_here(self, producer: Operator, reader: Operator) -> bool:
        """Whether ``reader`` alone reads what ``producer`` writes, and stands in the same region."""
        return (
            self.readers[producer.outputs[0]] == 1
            and self.regions[producer.name] is self.regions[reader.name]
        )

    def fresh(self, wanted: str, *taken: str) -> str:
        """``wanted``, or ``wanted`` with a number: neither a tensor nor an operator has it."""
        known = {*self.graph.tensors, *self.regions, *taken}
        name, number = wanted, 0
        while name in known:
            number += 1
            name = f"{wanted}_{number}"
        return name


Rule = Callable[[Operator, Facts], Replacement | None]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Apply ``rule`` until it has nothing more to say."""
    while True:
        facts = Facts(graph)
        for operator in graph.operators():
            answer = rule(operator, facts)
            if answer is not None:
                graph = substitute(graph, operator, answer)
                break
        else:
            check(graph)
            return graph


def substitute(graph: Graph, operator: Operator, answer: Replacement) -> Graph:
    """The graph with one operator replaced."""
    nodes = _replaced(graph.nodes, {operator.name: answer.operators, answer.absorbed: ()})
    tensors = {**graph.tensors, **{tensor.name: tensor for tensor in answer.tensors}}
    constants = {**graph.constants, **answer.constants}
    changed = graph.replace(nodes=nodes, tensors=tensors, constants=constants)
    return rename(changed, {operator.outputs[0]: answer.alias}) if answer.alias else changed


def _replaced(nodes: tuple[Node, ...], new: Mapping[str, tuple[Operator, ...]]) -> tuple[Node, ...]:
    """The nodes with the operators that ``new`` names replaced, here and in bodies."""
    result: list[Node] = []
    for node in nodes:
        if isinstance(node, Operator):
            result.extend(new.get(node.name, (node,)))
        else:
            body = [part for item in node.body for part in new.get(item.name, (item,))]
            result.append(replace(node, body=tuple(body)))
    return tuple(result)


def rename(graph: Graph, names: Mapping[str, str]) -> Graph:
    """Every reader of a key reads its value instead (writers stay)."""

    def new(name: str) -> str:
        return names.get(name, name)

    def operator(item: Operator) -> Operator:
        return replace(item, inputs=tuple(new(name) for name in item.inputs))

    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Operator):
            nodes.append(operator(node))
            continue
        outputs = tuple(replace(out, taken=new(out.taken), held=new(out.held)) for out in node.outputs)
        body = tuple(operator(item) for item in node.body)
        nodes.append(replace(node, predicate=new(node.predicate), body=body, outputs=outputs))
    return graph.replace(
        nodes=tuple(nodes),
        outputs=tuple(new(name) for name in graph.outputs),
        states=tuple(State(state.tensor, new(state.next)) for state in graph.states),
    )


def move_name(base: str, kind: str) -> str:
    """Name for a move made near the operator ``base``: names of earlier moves do not pile up."""
    return f"{_MOVE_NAMES.sub('', base)}.{kind}"


def changed(operator: Operator, **attributes: Attribute) -> Operator:
    """The operator with some attributes changed."""
    return replace(operator, attributes={**operator.attributes, **attributes})
