"""The memory planner: where every tensor lies, in states that stay and an arena that is used again.

Liveness comes from the order of the steps. A branch's body counts as executed, so a tensor that lives
across it is safe in frames that skip it; tensors of the body die inside it. Offsets are assigned greedily,
the largest buffer first, at the lowest place that is free for the buffer's whole life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from quant.errors import GraphError
from quant.graph import Graph
from tinydsn.codegen.aliasing import Aliases, Group
from tinydsn.codegen.program import Step

Area = Literal["arena", "state", "constant"]


@dataclass(frozen=True)
class Extra:
    """Memory that is not a tensor: kernel scratch, the spectrum. Lives from step ``first`` to ``last``."""

    name: str
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Buffer:
    """A run of the arena: ``size`` bytes at ``offset``, in use from step ``first`` to ``last``."""

    name: str
    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: in the arena or the states area at ``offset`` bytes, or in constant ``owner``."""

    area: Area
    offset: int
    owner: str = ""


@dataclass(frozen=True)
class MemoryPlan:
    """The result of planning. Sizes in bytes; offsets are relative to their area.

    ``extras`` and ``states`` give offsets by name; ``peak`` is the lower bound: the largest sum of the
    buffers in use at one step.
    """

    steps: tuple[Step, ...]
    places: Mapping[str, Place]
    states: Mapping[str, int]
    extras: Mapping[str, int]
    buffers: tuple[Buffer, ...]
    arena_bytes: int
    state_bytes: int
    peak: int
    alignment: int

    def same_place(self, first: str, second: str) -> bool:
        """Whether two tensors start at the same byte, so that nothing has to be copied."""
        return self.places[first] == self.places[second]


def plan(
    graph: Graph,
    extras: Sequence[Extra] = (),
    alignment: int = 8,
    reserved: Sequence[tuple[str, int]] = (),
) -> MemoryPlan:
    """Place all tensors of ``graph`` and ``extras`` in the arena, its states and ``reserved`` (name, bytes)
    in the states area. Every buffer starts at a multiple of ``alignment``.
    """
    aliases = Aliases(graph)
    groups = list({id(group): group for group in aliases.groups.values()}.values())
    waiting = [_lifetime(aliases, group) for group in groups if not group.owner]
    waiting += [Extra(extra.name, extra.size, extra.first, extra.last) for extra in extras]
    buffers = _assign(waiting, alignment)
    offsets = {buffer.name: buffer.offset for buffer in buffers}
    sizes = [(state.tensor, aliases.groups[state.tensor].size) for state in graph.states]
    state_offsets, state_bytes = _stack([*reserved, *sizes], alignment)
    places = {}
    for name in aliases.groups:
        group, offset = aliases.location(name)
        places[name] = _place(group, offset, offsets, state_offsets)
    made = MemoryPlan(
        steps=aliases.usage.program,
        places=places,
        states=state_offsets,
        extras={extra.name: offsets[extra.name] for extra in extras},
        buffers=buffers,
        arena_bytes=_align(max((b.offset + b.size for b in buffers), default=0), alignment),
        state_bytes=state_bytes,
        peak=_peak(buffers, len(aliases.usage.program), alignment),
        alignment=alignment,
    )
    check_plan(made)
    return made


def check_plan(made: MemoryPlan) -> None:
    """Raise GraphError if two buffers that are in use at one step share a byte, or one is misaligned."""
    for index, one in enumerate(made.buffers):
        if one.offset % made.alignment or one.offset + one.size > made.arena_bytes:
            raise GraphError(f"memory plan: buffer {one.name!r} is misaligned or outside the arena")
        for other in made.buffers[index + 1 :]:
            together = one.first <= other.last and other.first <= one.last
            shared = one.offset < other.offset + other.size and other.offset < one.offset + one.size
            if together and shared and one.size and other.size:
                raise GraphError(f"memory plan: buffers {one.name!r} and {other.name!r} overlap")


def state_copies(graph: Graph, made: MemoryPlan) -> tuple[tuple[str, str], ...]:
    """(state, its next value) to copy at the end of a frame, in an order that reads before it overwrites.

    Raises GraphError where states exchange their values in a ring, which would need a copy more.
    """
    waiting = [(s.tensor, s.next) for s in graph.states if not made.same_place(s.tensor, s.next)]
    ordered = []
    while waiting:
        for pair in waiting:
            rest = [other for other in waiting if other is not pair]
            if not any(_inside(graph, made, source, pair[0]) for _, source in rest):
                break
        else:
            names = ", ".join(state for state, _ in waiting)
            raise GraphError(f"states {names} exchange their values in a ring (must form a chain)")
        ordered.append(pair)
        waiting = rest
    return tuple(ordered)


def _inside(graph: Graph, made: MemoryPlan, tensor: str, state: str) -> bool:
    """Whether a tensor shares bytes with a state's memory."""
    a, b = made.places[tensor], made.places[state]
    a_size, b_size = graph.tensors[tensor].nbytes, graph.tensors[state].nbytes
    return a.area == b.area and a.offset < b.offset + b_size and b.offset < a.offset + a_size


def _lifetime(aliases: Aliases, group: Group) -> Extra:
    """A group as a buffer, named after its first tensor in the graph's order."""
    first = aliases.first_write(group)
    last = max(aliases.last_read(group), *(aliases.usage.defined[name] for name in group.offsets))
    return Extra(next(iter(group.offsets)), group.size, first, last)


def _assign(waiting: Sequence[Extra], alignment: int) -> tuple[Buffer, ...]:
    placed: list[Buffer] = []
    for extra in sorted(waiting, key=lambda e: (-e.size, e.first, e.name)):
        rivals = [b for b in placed if b.first <= extra.last and extra.first <= b.last]
        offset = 0
        for rival in sorted(rivals, key=lambda b: b.offset):
            if offset + extra.size <= rival.offset:
                break
            offset = max(offset, _align(rival.offset + rival.size, alignment))
        placed.append(Buffer(extra.name, offset, extra.size, extra.first, extra.last))
    return tuple(sorted(placed, key=lambda b: (b.first, b.offset, b.name)))


def _stack(items: Sequence[tuple[str, int]], alignment: int) -> tuple[dict[str, int], int]:
    offsets, top = {}, 0
    for name, size in items:
        offsets[name] = top
        top = _align(top + size, alignment)
    return offsets, top


def _place(group: Group, offset: int, arena: Mapping[str, int], states: Mapping[str, int]) -> Place:
    if group.owner in states:
        return Place("state", states[group.owner] + offset)
    if group.owner:
        return Place("constant", offset, group.owner)
    return Place("arena", arena[next(iter(group.offsets))] + offset)


def _peak(buffers: Sequence[Buffer], count: int, alignment: int) -> int:
    return max(
        (sum(_align(b.size, alignment) for b in buffers if b.first <= i <= b.last) for i in range(count)),
        default=0,
    )


def _align(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
