"""Chooses the integer type and scale of every tensor.

Every activation input and output of every operator is a *slot*. Slots that must agree (an operator's own
rules, a held branch output, a state and its update, a producer and its reader) are joined into groups; each
group gets one type and one scale. Where a reader cannot join its producer, because the width or a fixed scale
differs, a ``requantize`` operator is inserted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from quant import bits, ops
from quant.calibrate import Range
from quant.errors import QuantizationError
from quant.graph import INTEGER_RANGE, Branch, BranchOutput, DType, Graph, Node, Operator, Quantization, State
from quant.ops.base import Slot
from quant.precision import Precision
from quant.widths import activation_types, narrowed, unused_name

# int16 scales leave a quarter of headroom above the calibrated peak: 14.7 of 16 bits stay in use, and audio
# that is somewhat louder than the calibration set does not saturate.
INT16_HEADROOM = 1.25
SMALLEST_SCALE = 2.0**-60
# A fixed scale also holds values that lie less than this factor outside it: the 1.0 of a sigmoid in Q15, or
# audio that overshoots a little.
OVERSHOOT = 1 + 2.0**-8


@dataclass(frozen=True)
class Group:
    """Demands on a set of joined slots."""

    dtype: DType
    fixed: Quantization | None = None
    power_of_two: bool = False
    smallest: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def join(self, other: Group, saturate: bool = False) -> Group | None:
        """The demands of both together, or None when they contradict.

        A fixed scale contradicts values that it cannot hold, unless they may ``saturate``.
        """
        if self.dtype != other.dtype:
            return None
        fixed = self.fixed or other.fixed
        if self.fixed and other.fixed and self.fixed != other.fixed:
            return None
        power_of_two = self.power_of_two or other.power_of_two
        if fixed and power_of_two and math.frexp(fixed.scale[0])[0] != 0.5:
            return None
        low, high = min(self.low, other.low), max(self.high, other.high)
        if fixed:
            bottom, top = (
                OVERSHOOT * fixed.scale[0] * (limit - fixed.zero_point) for limit in INTEGER_RANGE[self.dtype]
            )
            if not saturate and (low < bottom or high > top):
                return None
            low, high = max(low, bottom), min(high, top)
        smallest = max(self.smallest, other.smallest)
        if fixed and fixed.scale[0] < smallest:
            return None
        return Group(self.dtype, fixed, power_of_two, smallest, low, high)

    def quantization(self) -> Quantization | None:
        """Scale and zero point, or None when no value was ever seen."""
        if self.fixed:
            return self.fixed
        if self.low > self.high:
            return None
        chosen = choose(self.dtype, self.low, self.high, self.power_of_two)
        return replace(chosen, scale=(max(chosen.scale[0], self.smallest),))


def single(scale: float) -> float:
    """The nearest float32 number, as which TFLite keeps scales."""
    return max(float(np.float32(scale)), SMALLEST_SCALE)


def choose(dtype: DType, low: float, high: float, power_of_two: bool) -> Quantization:
    """Scale and zero point for a range: int8 asymmetric over the range, int16 symmetric with headroom."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0
    if dtype == "int16":
        scale = single(max(-low, high) * INT16_HEADROOM / 32767)
        if power_of_two:
            scale = 2.0 ** math.ceil(math.log2(scale))
        return Quantization((scale,), 0)
    scale = single((high - low) / 255)
    zero_point = int(np.clip(round(-128 - low / scale), *INTEGER_RANGE["int8"]))
    return Quantization((scale,), zero_point)


class Groups:
    """Union-find over slot names."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}
        self._group: dict[str, Group] = {}
        self._members: dict[str, int] = {}

    def add(self, key: str, group: Group) -> None:
        """A new slot."""
        self._parent[key] = key
        self._group[key] = group
        self._members[key] = 1

    def root(self, key: str) -> str:
        """Representative of the slot's group."""
        while self._parent[key] != key:
            self._parent[key] = self._parent[self._parent[key]]
            key = self._parent[key]
        return key

    def of(self, key: str) -> Group:
        """The slot's group."""
        return self._group[self.root(key)]

    def alone(self, key: str) -> bool:
        """Whether the slot was joined with no other."""
        return self._members[self.root(key)] == 1

    def join(self, one: str, two: str, saturate: bool = False) -> bool:
        """Join two groups; False (and no change) when their demands contradict."""
        first, second = self.root(one), self.root(two)
        if first == second:
            return True
        joined = self._group[first].join(self._group[second], saturate)
        if joined is None:
            return False
        self._parent[second] = first
        self._group[first] = joined
        self._members[first] += self._members[second]
        return True


@dataclass(frozen=True)
class Assignment:
    """The graph with requantize operators inserted, and type and scale of every activation tensor.

    ``operands`` holds those of constant operands by (operator, input index).
    """

    graph: Graph
    types: Mapping[str, tuple[DType, Quantization]]
    operands: Mapping[tuple[str, int], tuple[DType, Quantization]]


def assign(graph: Graph, ranges: Mapping[str, Range], precision: Precision) -> Assignment:
    """Type and scale of every tensor of a float graph. Raises QuantizationError on contradictions."""
    groups = Groups()
    graph, ranges = narrowed(graph, ranges, precision)
    ranges = {**ranges, **_state_ranges(graph, ranges)}
    dtypes = activation_types(graph, precision)
    state_names = {state.tensor for state in graph.states}
    _add_sources(groups, graph, ranges, precision)
    for operator in graph.operators():
        _add_operator(groups, graph, operator, dtypes[operator.name], ranges, state_names)
    _join_logits(groups, graph)
    graph = _join_branches_and_states(groups, graph)
    graph = _join_readers(groups, graph, state_names)
    return _collect(groups, graph, state_names)


def _bits() -> Group:
    return Group(bits.DTYPE, bits.UNIT)


def _add_sources(groups: Groups, graph: Graph, ranges: Mapping[str, Range], precision: Precision) -> None:
    for name in graph.inputs:
        fraction = graph.frontend.feature_fraction_bits if graph.frontend else 15
        groups.add(name, Group("int16", Quantization((2.0**-fraction,), 0)))
    packed = bits.bit_tensors(graph)
    for state in graph.states:
        width, seen = precision.width("states", state.tensor), ranges[state.tensor]
        group = Group("int8" if width == 8 else "int16", low=seen.low, high=seen.high)
        groups.add(state.tensor, _bits() if state.tensor in packed else group)


def _state_ranges(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Range of every state: of its updates, its first value and zero."""
    found = {}
    for state in graph.states:
        initial = graph.constants.get(state.tensor)
        seen = ranges.get(state.next, Range(0.0, 0.0)).join(Range(0.0, 0.0))
        if initial is not None:
            seen = seen.join(Range(float(initial.min()), float(initial.max())))
        found[state.tensor] = seen
    return found


def _slot_key(operator: Operator, side: str, index: int) -> str:
    return f"{operator.name}:{side}:{index}"


def _add_operator(
    groups: Groups,
    graph: Graph,
    operator: Operator,
    dtype: DType,
    ranges: Mapping[str, Range],
    state_names: set[str],
) -> None:
    slots = ops.definition(operator.kind).slots(operator, dtype)
    for index, (name, slot) in enumerate(zip(operator.inputs, slots.inputs, strict=False)):
        if slot is not None and name:
            group = _slot_group(slot, dtype)
            if name in graph.constants and name not in state_names:
                values = graph.constants[name]
                group = replace(group, low=float(values.min()), high=float(values.max()))
            elif name in ranges and not slot.fixed:
                group = replace(group, low=ranges[name].low, high=ranges[name].high)
            groups.add(_slot_key(operator, "in", index), group)
    for name, slot in zip(operator.outputs, slots.outputs, strict=True):
        if slot is None:
            continue
        group = _slot_group(slot, dtype)
        if name in ranges and not slot.fixed:
            group = replace(group, low=ranges[name].low, high=ranges[name].high)
        groups.add(name, group)
    for same in slots.same:
        keys = [
            operator.outputs[index] if side == "out" else _slot_key(operator, "in", index)
            for side, index in same
        ]
        for key in keys[1:]:
            if not groups.join(keys[0], key):
                raise QuantizationError(
                    f"operator {operator.name!r}: its inputs and outputs cannot share a scale"
                )


def _slot_group(slot: Slot, dtype: DType) -> Group:
    if (slot.dtype or dtype) == bits.DTYPE:
        return _bits()
    return Group(slot.dtype or dtype, slot.fixed, slot.power_of_two, slot.smallest)


def _join_logits(groups: Groups, graph: Graph) -> None:
    """One scale for all logits, where nothing contradicts that: the run-time bias is in its steps."""
    keys = [_slot_key(operator, "in", 0) for operator in graph.operators() if operator.kind == "gate"]
    for key in keys[1:]:
        groups.join(keys[0], key)


def _join_branches_and_states(groups: Groups, graph: Graph) -> Graph:
    """Join held branch outputs and state updates, inserting a requantize where that contradicts."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if not isinstance(node, Branch):
            nodes.append(node)
            continue
        body, outputs = list(node.body), []
        for output in node.outputs:
            anchor = output.held if output.skip == "hold" else output.taken
            groups.add(output.tensor, replace(groups.of(anchor), low=math.inf, high=-math.inf))
            groups.join(anchor, output.tensor)
            if not groups.join(output.tensor, output.taken):
                graph, operator = _requantize(groups, graph, output.taken, output.tensor)
                body.append(operator)
                output = BranchOutput(output.tensor, operator.outputs[0], output.skip, output.held)
            outputs.append(output)
        nodes.append(replace(node, body=tuple(body), outputs=tuple(outputs)))
    states = []
    for state in graph.states:
        if not groups.join(state.tensor, state.next):
            graph, operator = _requantize(groups, graph, state.next, state.tensor)
            nodes.append(operator)
            state = State(state.tensor, operator.outputs[0])
        states.append(state)
    for name in graph.outputs:
        wanted = Group("int16", Quantization((2.0**-15,), 0))
        key = f"output:{name}"
        groups.add(key, wanted)
        # a requantize behind the only use would saturate in the same way
        read = any(name in operator.inputs for operator in graph.operators())
        if not groups.join(key, name, saturate=not read and groups.alone(name)):
            graph, operator = _requantize(groups, graph, name, key)
            nodes.append(operator)
            outputs_now = tuple(operator.outputs[0] if item == name else item for item in graph.outputs)
            graph = graph.replace(outputs=outputs_now)
    return graph.replace(nodes=tuple(nodes), states=tuple(states))


def _requantize(groups: Groups, graph: Graph, source: str, target: str) -> tuple[Graph, Operator]:
    """A requantize operator from ``source`` into the group of ``target``; its output joins that group. Bits
    are unpacked instead. Raises QuantizationError where numbers would have to become bits."""
    kind = "unpack" if groups.of(source).dtype == bits.DTYPE else "requantize"
    if groups.of(target).dtype == bits.DTYPE:
        raise QuantizationError(f"tensor {source!r} does not hold the bits that {target!r} takes")
    name = unused_name(f"{source}.{kind}", graph)
    tensors = {**graph.tensors, name: replace(graph.tensors[source], name=name)}
    groups.add(name, replace(groups.of(target), low=math.inf, high=-math.inf))
    groups.join(target, name)
    return graph.replace(tensors=tensors), Operator(name, kind, (source,), (name,))


def _join_readers(groups: Groups, graph: Graph, state_names: set[str]) -> Graph:
    """Join each reader's slot with its producer, or put a requantize in front of the reader.

    Readers of one tensor that agree among themselves share one requantize; one that was made inside a
    gated region is not seen outside, where it may not have run.
    """
    made: dict[str, list[str]] = {}
    nodes: list[Node] = []
    readers = Counter(name for operator in graph.operators() for name in operator.inputs)

    def rewire(operator: Operator, into: list[Operator], visible: dict[str, list[str]]) -> Operator:
        nonlocal graph
        slots = ops.definition(operator.kind).slots(operator, "int16").inputs
        inputs = list(operator.inputs)
        for index, (name, slot) in enumerate(zip(operator.inputs, slots, strict=False)):
            if slot is None or not name or (name in graph.constants and name not in state_names):
                continue
            key = _slot_key(operator, "in", index)
            candidates = (name, *visible.get(name, ()))
            # a requantize in front of the only reader would saturate in the same way
            saturate = readers[name] == 1 and groups.alone(name) and groups.alone(key)
            found = next((item for item in candidates if groups.join(item, key, saturate)), None)
            if found is None:
                graph, requantize = _requantize(groups, graph, name, key)
                into.append(requantize)
                found = requantize.outputs[0]
                visible.setdefault(name, []).append(found)
            inputs[index] = found
        return replace(operator, inputs=tuple(inputs))

    for node in graph.nodes:
        if isinstance(node, Branch):
            inside = {name: list(copies) for name, copies in made.items()}
            body: list[Operator] = []
            for operator in node.body:
                changed = rewire(operator, body, inside)
                body.append(changed)
            nodes.append(replace(node, body=tuple(body)))
        else:
            top: list[Operator] = []
            changed = rewire(node, top, made)
            nodes += [*top, changed]
    return graph.replace(nodes=tuple(nodes))


def _collect(groups: Groups, graph: Graph, state_names: set[str]) -> Assignment:
    types: dict[str, tuple[DType, Quantization]] = {}
    operands: dict[tuple[str, int], tuple[DType, Quantization]] = {}
    names = [*graph.inputs, *(state.tensor for state in graph.states)]
    names += [name for operator in graph.operators() for name in operator.outputs]
    names += [output.tensor for branch in graph.branches for output in branch.outputs]
    for name in names:
        if name not in groups._parent:
            continue  # a bool predicate
        types[name] = _settled(groups.of(name), name)
    for operator in graph.operators():
        for index, name in enumerate(operator.inputs):
            key = _slot_key(operator, "in", index)
            if key in groups._parent and name in graph.constants and name not in state_names:
                operands[(operator.name, index)] = _settled(groups.of(key), name)
    return Assignment(graph, types, operands)


def _settled(group: Group, name: str) -> tuple[DType, Quantization]:
    quantization = group.quantization()
    if quantization is None:
        raise QuantizationError(f"tensor {name!r} was never computed during calibration: give it more audio")
    return group.dtype, quantization
