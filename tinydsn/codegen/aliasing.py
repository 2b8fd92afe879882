"""Which tensors share memory: views, concatenations written in place, branches, states, in-place operators.

A *group* is a set of tensors that lie in one buffer, each at an offset. Groups grow by rules that keep
this invariant: no step writes a byte of a group while an older value there is still to be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quant.graph import Graph, Operator
from tinydsn.codegen.program import IN_PLACE, Step, branch_entries, steps, view_offset

NEVER = -1


@dataclass
class Group:
    """Tensors in one buffer of ``size`` bytes; ``offsets`` by tensor name, in bytes.

    ``owner`` names the constant or state that the buffer is or begins with a place for; it is empty for a
    buffer of the arena.
    """

    size: int
    offsets: dict[str, int]
    owner: str = ""


@dataclass
class Usage:
    """When each tensor is written, read, and held by a join.

    ``entries`` gives the first step of the branch that a join ends.
    """

    program: tuple[Step, ...]
    defined: dict[str, int] = field(default_factory=dict)
    reads: dict[str, list[int]] = field(default_factory=dict)
    holds: dict[str, list[int]] = field(default_factory=dict)
    entries: dict[int, int] = field(default_factory=dict)


class Aliases:
    """Groups of a graph's tensors, built by the rules below in a fixed order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.usage = _usage(graph)
        self.groups: dict[str, Group] = {}
        self.views: set[str] = set()
        states = {state.tensor for state in graph.states}
        for name, tensor in graph.tensors.items():
            constant = name in graph.constants and name not in states
            if constant or name in self.usage.defined or name in states:
                owner = name if constant or name in states else ""
                self.groups[name] = Group(tensor.nbytes, {name: 0}, owner)
        self._constants = {name for name in graph.constants if name not in states}
        self._states = states
        self._make_views()
        self._place_taken()
        self._place_states()
        self._place_held()
        self._place_in_place()
        self._place_concats()

    def location(self, name: str) -> tuple[Group, int]:
        """The group of a tensor and its offset in bytes."""
        group = self.groups[name]
        return group, group.offsets[name]

    def same_place(self, first: str, second: str) -> bool:
        """Whether two tensors start at the same byte."""
        a, b = self.location(first), self.location(second)
        return a[0] is b[0] and a[1] == b[1]

    # -- facts about a group ------------------------------------------------------------------------

    def first_write(self, group: Group) -> int:
        """Index of the first step that writes the group; NEVER for what is there from the start."""
        return min(self.usage.defined.get(name, NEVER) for name in group.offsets)

    def last_read(self, group: Group, free_joins: frozenset[int] = frozenset()) -> int:
        """Index of the last step that reads the group; reads by the holds of ``free_joins`` do not count."""
        last = NEVER
        for name in group.offsets:
            last = max([last, *self.usage.reads.get(name, [])])
            last = max([last, *(at for at in self.usage.holds.get(name, []) if at not in free_joins)])
        return last

    # -- rules --------------------------------------------------------------------------------------

    def _embed(self, inner: Group, outer: Group, at: int) -> None:
        for name, offset in inner.offsets.items():
            outer.offsets[name] = at + offset
            self.groups[name] = outer

    def _make_views(self) -> None:
        for operator in self.graph.operators():
            offset = view_offset(operator, self.graph)
            if offset is None:
                continue
            source, target = operator.inputs[0], operator.outputs[0]
            group, start = self.location(source)
            item = self.graph.tensors[source].nbytes // max(1, self.graph.tensors[source].size)
            self._embed(self.groups[target], group, start + offset * item)
            self.views.add(target)

    def _place_taken(self) -> None:
        """A branch's output is what its body computed, when the body made all of that buffer."""
        for step in self.usage.program:
            if step.kind != "join" or step.branch is None:
                continue
            inside = {name for operator in step.branch.body for name in operator.outputs}
            for output in step.branch.outputs:
                taken, target = self.groups[output.taken], self.groups[output.tensor]
                if not taken.owner and taken is not target and set(taken.offsets) <= inside:
                    self._embed(target, taken, taken.offsets[output.taken])

    def _place_states(self) -> None:
        """A state's next value is written over the state when nobody reads the old value afterwards."""
        for state in self.graph.states:
            if state.next not in self._states:
                self._overwrite(state.tensor, state.next)

    def _place_held(self) -> None:
        """Skipping is free when the output lies where the held tensor lies."""
        for step in self.usage.program:
            if step.kind == "join" and step.branch is not None:
                for output in step.branch.outputs:
                    if output.skip == "hold":
                        self._overwrite(output.held, output.tensor)

    def _place_in_place(self) -> None:
        for operator in self.graph.operators():
            if operator.kind in IN_PLACE:
                for name in operator.inputs:
                    if name and self._overwrite(name, operator.outputs[0]):
                        break

    def _overwrite(self, old: str, new: str) -> bool:
        """Let ``new`` share the buffer of ``old`` if every read of the old group is over by then."""
        old_group, new_group = self.groups[old], self.groups[new]
        size = self.graph.tensors[old].nbytes
        if old_group is new_group or new_group.owner or old_group.owner in self._constants:
            return False
        if old_group.owner and not self._is_next(old_group.owner, new_group):
            return False
        whole = old_group.offsets[old] == 0 and old_group.size == size
        if not whole or new_group.size != size or new_group.offsets[new] != 0:
            return False
        begin = self.first_write(new_group)
        last = self.last_read(old_group, self._free_joins(old_group, new_group, begin))
        if last > begin or (last == begin and not self._may_overlap(begin, old_group, new_group)):
            return False
        self._embed(new_group, old_group, 0)
        return True

    def _is_next(self, state: str, group: Group) -> bool:
        return any(s.tensor == state and s.next in group.offsets for s in self.graph.states)

    def _free_joins(self, old: Group, new: Group, begin: int) -> frozenset[int]:
        """Joins that hold the old group for outputs in the new one, of a branch that starts the new one.

        In a frame that skips the branch nothing was written yet, so the held value is still there.
        """
        free = set()
        for join, entry in self.usage.entries.items():
            branch = self.usage.program[join].branch
            assert branch is not None
            pairs = [(o.held, o.tensor) for o in branch.outputs if o.skip == "hold" and o.held in old.offsets]
            stay = all(t in new.offsets and old.offsets[h] == new.offsets[t] for h, t in pairs)
            if pairs and stay and entry <= begin <= join:
                free.add(join)
        return frozenset(free)

    def _may_overlap(self, index: int, old: Group, new: Group) -> bool:
        """Whether the step may write the new group element by element over the old one it reads."""
        operator = self.usage.program[index].operator
        if operator is None or operator.kind not in IN_PLACE:
            return False
        output = self.graph.tensors[operator.outputs[0]]
        if new.offsets.get(operator.outputs[0]) != 0:
            return False
        inputs = [name for name in operator.inputs if name and name in old.offsets]
        return all(
            old.offsets[name] == 0
            and self.graph.tensors[name].size == output.size
            and self.graph.tensors[name].nbytes == output.nbytes
            for name in inputs
        )

    def _place_concats(self) -> None:
        """Inputs of a contiguous concatenation are computed in their place, when they fill their buffer.

        One of them may be a state that nothing else lies over: then the result lies with the states. What a
        frame adds to a delay line is so written behind it, and only the update at the frame's end moves it.
        """
        for operator in self.graph.operators():
            if operator.kind != "concat" or not concat_is_contiguous(operator, self.graph):
                continue
            at, target = self.usage.defined[operator.outputs[0]], operator.outputs[0]
            outer, start = self.location(target)
            written = [name for name in outer.offsets if name != target and name not in self.views]
            others = [self.usage.defined.get(name, NEVER) for name in written]
            if outer.owner or any(index < at for index in others):
                continue
            rewritten = min((index for index in others if index > at), default=len(self.usage.program))
            for name in operator.inputs:
                inner = self.groups[name]
                fills = inner.size == self.graph.tensors[name].nbytes and inner.offsets[name] == 0
                latest = max(self.usage.defined.get(member, NEVER) for member in inner.offsets)
                state = name in self._states and len(inner.offsets) == 1 and not outer.owner
                free = inner is not outer and operator.inputs.count(name) == 1
                free = free and (state or not inner.owner)
                if free and fills and latest < at and self.last_read(inner) < rewritten:
                    outer.owner = inner.owner or outer.owner
                    self._embed(inner, outer, start)
                start += self.graph.tensors[name].nbytes


def concat_is_contiguous(operator: Operator, graph: Graph) -> bool:
    """Whether each input of a concat is one run of its output."""
    shape = graph.tensors[operator.outputs[0]].shape
    axis = int(operator.attributes["axis"]) % len(shape)  # type: ignore[arg-type]
    return all(size == 1 for size in shape[:axis])


def _usage(graph: Graph) -> Usage:
    program = steps(graph)
    usage = Usage(program)
    for step in program:
        for name in step.reads:
            usage.reads.setdefault(name, []).append(step.index)
        for name in step.holds:
            usage.holds.setdefault(name, []).append(step.index)
        if step.kind != "update":
            for name in step.writes:
                usage.defined.setdefault(name, step.index)
    for index, branch in branch_entries(program):
        for condition in branch.conditions:
            usage.reads.setdefault(condition.predicate, []).append(index)
        join = next(s.index for s in program if s.kind == "join" and s.branch is branch)
        usage.entries[join] = index
    return usage
