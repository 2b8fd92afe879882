"""The graph of a streaming step: tensors, operators, states and gated regions.

One set of frozen dataclasses serves two stages. A *float graph* is what lowering makes: every tensor is
``float32``. An *integer graph* is what the converter makes: every tensor has an integer type, and every
operator carries the integer parameters (multipliers, shifts, tables) that its reference, the generated C
and the emulated cores all use. Passes are functions from graph to graph.

Layouts: tensors have no batch dimension. Images are ``[height (time), width (frequency), channels]``,
convolution weights ``[out, kernel height, kernel width, in]``, depthwise weights ``[kh, kw, channels]``,
fully connected weights ``[out, in]`` (TFLite's layouts without the batch of one).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from quant.errors import GraphError
from quant.frontend import FrontEnd

Attribute = int | float | str | bool | tuple[int, ...] | tuple[float, ...]
DType = Literal["float32", "int8", "int16", "int32", "int64", "bool"]
Skip = Literal["zero", "hold"]

INTEGER_RANGE: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "int8": (-128, 127),
        "int16": (-32768, 32767),
        "int32": (-(2**31), 2**31 - 1),
        "int64": (-(2**63), 2**63 - 1),
    }
)
ITEM_BYTES: Mapping[str, int] = MappingProxyType(
    {"float32": 4, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "bool": 1}
)


@dataclass(frozen=True)
class Quantization:
    """``real = scale * (integer - zero_point)``.

    ``scale`` has one entry, or one for each index of ``axis`` (per-channel weights).
    """

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int | None = None


@dataclass(frozen=True)
class Tensor:
    """A named value: shape without batch, element type, and scale when it is an integer."""

    name: str
    shape: tuple[int, ...]
    dtype: DType = "float32"
    quantization: Quantization | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.size * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Operator:
    """One operator of the table (``kind`` names the file in ``quant/ops``).

    ``name`` comes from the module path (``bottleneck.gru.hidden``), ``source`` is the model's line that
    made it ("dsn.py:120"). Optional trailing inputs that are absent are the empty string.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))


@dataclass(frozen=True)
class BranchOutput:
    """What leaves a gated region: ``taken`` when the body ran; else zeros, or the value of ``held``.

    A held output has the same type and scale as ``held`` and may share its memory, so skipping is free.
    """

    tensor: str
    taken: str
    skip: Skip
    held: str = ""


@dataclass(frozen=True)
class Condition:
    """A gate by its bit and its bool tensor, and whether it must be open."""

    gate: int
    predicate: str
    opened: bool = True


@dataclass(frozen=True)
class Branch:
    """A gated region: the body runs in the frames in which ``predicate`` (a bool tensor) is true.

    ``gate`` is the region's bit in the gate word. Body operators read outer tensors by name; what they
    write is visible outside only through ``outputs``.

    Regions that replace each other are steps of a ladder of gates: one with ``unless`` (gate, bool tensor)
    runs where its own gate is open and that one is closed; an ``inverted`` one where its own is closed.
    """

    name: str
    gate: int
    predicate: str
    body: tuple[Operator, ...]
    outputs: tuple[BranchOutput, ...]
    inverted: bool = False
    unless: tuple[int, str] | None = None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What must hold for the body to run, its own gate first."""
        own = Condition(self.gate, self.predicate, not self.inverted)
        return (own, Condition(*self.unless, opened=False)) if self.unless else (own,)

    @property
    def plain(self) -> bool:
        """Whether the region runs where its gate is open, whatever the others are."""
        return not self.inverted and self.unless is None

    def share(self, usage: Sequence[float]) -> float:
        """The share of frames in which the region runs where gate k is open in ``usage[k]`` of them, and the
        gates of a ladder are nested."""
        own = 1.0 - usage[self.gate] if self.inverted else usage[self.gate]
        return max(0.0, own - usage[self.unless[0]]) if self.unless else own


Node = Operator | Branch


@dataclass(frozen=True)
class State:
    """A tensor that lives from frame to frame: ``tensor`` is read, ``next`` is its value after the frame.

    The value before the first frame is ``graph.constants[tensor]`` where present, else real zero.
    """

    tensor: str
    next: str


@dataclass(frozen=True)
class Graph:
    """A streaming step. ``constants`` holds weights (and non-zero initial states) by tensor name."""

    name: str
    tensors: Mapping[str, Tensor]
    constants: Mapping[str, np.ndarray]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    states: tuple[State, ...]
    nodes: tuple[Node, ...]
    frontend: FrontEnd | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "constants", MappingProxyType(dict(self.constants)))

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The gated regions in order of execution."""
        return tuple(node for node in self.nodes if isinstance(node, Branch))

    @property
    def gates(self) -> int:
        """Number of gates (bits of the gate word)."""
        return len({item.gate for branch in self.branches for item in branch.conditions})

    def behind(self, gate: int) -> tuple[int, ...]:
        """The gates of a ladder that are closed where ``gate`` is, nearest first; empty for other gates."""
        following = {branch.gate: branch.unless[0] for branch in self.branches if branch.unless}
        found: list[int] = []
        while gate in following and following[gate] not in found:
            gate = following[gate]
            found.append(gate)
        return tuple(found)

    def operators(self) -> Iterator[Operator]:
        """Every operator in order of execution, those inside gated regions too."""
        for node in self.nodes:
            if isinstance(node, Branch):
                yield from node.body
            else:
                yield node

    def region_of(self) -> dict[str, Branch | None]:
        """Operator name -> the gated region it stands in, or None."""
        found: dict[str, Branch | None] = {}
        for node in self.nodes:
            if isinstance(node, Branch):
                found.update((operator.name, node) for operator in node.body)
            else:
                found[node.name] = None
        return found

    def replace(self, **changes: object) -> Graph:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


class IntegerGraph(Graph):
    """A graph in which every tensor is an integer: the contract between Python, C and the cores."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for tensor in self.tensors.values():
            if tensor.dtype == "float32":
                raise GraphError(f"tensor {tensor.name!r} of integer graph {self.name!r} is still float32")


def node_reads(node: Node) -> tuple[str, ...]:
    """Tensors that a node reads from outside itself (predicate and held values included)."""
    if isinstance(node, Operator):
        return tuple(name for name in node.inputs if name)
    inside = {name for operator in node.body for name in operator.outputs}
    names = [condition.predicate for condition in node.conditions]
    names += [name for operator in node.body for name in operator.inputs if name and name not in inside]
    names += [output.held for output in node.outputs if output.skip == "hold"]
    names += [output.taken for output in node.outputs if output.taken not in inside]
    return tuple(dict.fromkeys(names))


def check(graph: Graph) -> None:
    """Raise GraphError unless every tensor is defined once, before it is read, and every name is known."""
    defined = set(graph.inputs) | set(graph.constants) | {state.tensor for state in graph.states}

    def read(names: tuple[str, ...], where: str) -> None:
        for name in names:
            if name not in graph.tensors:
                raise GraphError(f"{where} reads unknown tensor {name!r}")
            if name not in defined:
                raise GraphError(f"{where} reads tensor {name!r} before it is defined")

    def write(names: tuple[str, ...], where: str) -> None:
        for name in names:
            if name not in graph.tensors:
                raise GraphError(f"{where} writes unknown tensor {name!r}")
            if name in defined:
                raise GraphError(f"{where} writes tensor {name!r} a second time")
            defined.add(name)

    names: set[str] = set()
    for operator in graph.operators():
        if operator.name in names:
            raise GraphError(f"two operators are named {operator.name!r}")
        names.add(operator.name)
    for node in graph.nodes:
        if isinstance(node, Branch):
            read(tuple(item.predicate for item in node.conditions), f"branch {node.name!r}")
            for operator in node.body:
                read(node_reads(operator), f"operator {operator.name!r}")
                write(operator.outputs, f"operator {operator.name!r}")
            for output in node.outputs:
                read((output.taken,), f"branch {node.name!r}")
                if output.skip == "hold":
                    read((output.held,), f"branch {node.name!r}")
        else:
            read(node_reads(node), f"operator {node.name!r}")
        write(() if isinstance(node, Branch) else node.outputs, f"operator {node.name!r}")
        if isinstance(node, Branch):
            write(tuple(output.tensor for output in node.outputs), f"branch {node.name!r}")
    read(graph.outputs, "the graph's output")
    read(tuple(state.next for state in graph.states), "a state update")
