"""Everything decided before text is written: names, calls, memory and constant arrays of one project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quant.errors import GraphError
from quant.gates import MAX_GATES
from quant.graph import IntegerGraph, Operator, Tensor, check
from quant.reference import channels_of
from tinydsn.codegen.aliasing import Aliases
from tinydsn.codegen.call import Call, CodeTarget, Request
from tinydsn.codegen.fusion import fuse
from tinydsn.codegen.kernels import SILENT, emitter
from tinydsn.codegen.planner import Extra, MemoryPlan, plan
from tinydsn.codegen.program import steps, view_offset
from tinydsn.codegen.text import Array, comment_safe, unique_identifiers

HEADER_BYTES = 16
"""The four words at the start of the context."""
SPECTRUM = "front end spectrum"
SPECTRUM_COPY = "front end spectrum for a second channel"
FRONTEND_STATE = "front end state"
FRONTEND_SECOND_STATE = "front end state of the second channel"
"""The second channel's unfinished output; the history in it is not used."""


@dataclass(frozen=True)
class Design:
    """One project, ready to be written. ``graph`` is the fused one (`tinydsn.codegen.fusion`).

    tensor_names: C name of each tensor. functions: C function of each operator. calls: of the operators
    that need code. arrays: constant arrays by C name, in the order of the file.
    """

    graph: IntegerGraph
    target: CodeTarget
    tensor_names: Mapping[str, str]
    functions: Mapping[str, str]
    calls: Mapping[str, Call]
    plan: MemoryPlan
    arrays: Mapping[str, Array]

    @property
    def kernels(self) -> tuple[str, ...]:
        """Files of ``firmware_templates/kernels`` that the calls need, sorted."""
        return tuple(sorted({kernel for call in self.calls.values() for kernel in call.kernels}))

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constant arrays."""
        return sum(array.values.nbytes for array in self.arrays.values())

    @property
    def state_array(self) -> int:
        """Bytes of the states area; never empty, which C forbids."""
        return max(self.plan.state_bytes, self.target.alignment)

    @property
    def arena_array(self) -> int:
        """Bytes of the arena."""
        return max(self.plan.arena_bytes, self.target.alignment)

    @property
    def context_bytes(self) -> int:
        """sizeof(tinydsn_t)."""
        return HEADER_BYTES + self.state_array + self.arena_array

    def pointer(self, name: str) -> str:
        """Typed C expression for the start of a tensor; empty for a tensor that has no memory."""
        place = self.plan.places.get(name)
        if place is None:
            return ""
        if place.area != "constant":
            return f"tensor_{self.tensor_names[name]}(ctx)"
        owner = constant_name(self.tensor_names[place.owner])
        offset = place.offset // np.dtype(self.graph.tensors[name].dtype).itemsize
        return f"({owner} + {offset})" if offset else owner

    def scratch(self, operator: Operator) -> str:
        """Name of the macro that gives an operator's scratch."""
        return self.functions[operator.name].replace("tinydsn_op_", "scratch_", 1)


def design(graph: IntegerGraph, target: CodeTarget) -> Design:
    """Choose kernels, plan memory, lay out constants.

    Raises GraphError for a broken graph, UnsupportedOperator for a missing kernel.
    """
    check(graph)
    graph = fuse(graph, target)
    operators = list(graph.operators())
    short = unique_identifiers(operator.name for operator in operators)
    functions = {op.name: f"tinydsn_op_{index:03d}_{short[op.name]}" for index, op in enumerate(operators)}
    calls = _calls(graph, target, short)
    made = plan(graph, _extras(graph, calls), target.alignment, _reserved(graph))
    tensor_names = unique_identifiers(graph.tensors)
    owners = {name: place.owner for name, place in made.places.items()}
    arrays = {array.name: array for _, array in _arrays(graph, calls, owners, tensor_names)}
    return Design(graph, target, tensor_names, functions, calls, made, arrays)


def constant_arrays(graph: IntegerGraph, target: CodeTarget) -> list[tuple[str, Array]]:
    """(operator, array) of every constant array in the order of the file, without planning the memory; the
    name is empty for constants that the text points at."""
    graph = fuse(graph, target)
    short = unique_identifiers(operator.name for operator in graph.operators())
    aliases = Aliases(graph)
    owners = {name: group.owner for name, group in aliases.groups.items()}
    tensor_names = unique_identifiers(graph.tensors)
    return _arrays(graph, _calls(graph, target, short), owners, tensor_names)


def _calls(graph: IntegerGraph, target: CodeTarget, short: Mapping[str, str]) -> dict[str, Call]:
    calls = {}
    prefixes = {operator.name: f"tinydsn_{short[operator.name]}" for operator in graph.operators()}
    for operator in graph.operators():
        if operator.kind not in SILENT and view_offset(operator, graph) is None:
            request = Request(operator, graph, target, prefixes[operator.name], prefixes)
            calls[operator.name] = emitter(request)(request)
    return calls


def _arrays(
    graph: IntegerGraph, calls: Mapping[str, Call], owners: Mapping[str, str], tensor_names: Mapping[str, str]
) -> list[tuple[str, Array]]:
    """Every constant array once, with the first operator that needs it."""
    found: dict[str, tuple[str, Array]] = {}
    for operator, call in calls.items():
        for array in call.arrays:
            found.setdefault(array.name, (operator, array))
    for name in _pointed_constants(graph, calls, owners):
        array = Array(constant_name(tensor_names[name]), graph.constants[name], describe(graph.tensors[name]))
        found[array.name] = ("", array)
    return list(found.values())


def constant_name(tensor_name: str) -> str:
    """C name of a constant that the text points at."""
    return f"tinydsn_constant_{tensor_name}"


def describe(tensor: Tensor) -> str:
    """Such as ``gru.hidden: int16 [16, 48], scale 0.00024414``, safe inside a comment."""
    text = f"{tensor.name}: {tensor.dtype} [{', '.join(map(str, tensor.shape))}]"
    quantization = tensor.quantization
    if quantization and len(quantization.scale) == 1:
        text += f", scale {quantization.scale[0]:.8g}"
        text += f", zero point {quantization.zero_point}" if quantization.zero_point else ""
    return comment_safe(text)


def _extras(graph: IntegerGraph, calls: Mapping[str, Call]) -> list[Extra]:
    program = steps(graph)
    extras = []
    for step in program:
        if step.operator is not None and step.operator.name in calls:
            scratch = calls[step.operator.name].scratch
            if scratch:
                extras.append(Extra(f"scratch {step.operator.name}", scratch, step.index, step.index))
    if graph.frontend:
        from quant.frontend.tables import front_end_memory

        output = next(step.index for step in program if step.kind == "output")
        extras.append(Extra(SPECTRUM, front_end_memory(graph.frontend).spectrum, 0, output))
        if graph.frontend.channels > 1:
            # Synthesis spoils the spectrum that it is given.
            extras.append(Extra(SPECTRUM_COPY, front_end_memory(graph.frontend).spectrum, output, output))
    return extras


def _reserved(graph: IntegerGraph) -> list[tuple[str, int]]:
    if not graph.frontend:
        return []
    from quant.frontend.tables import front_end_memory

    state = front_end_memory(graph.frontend).state
    second = [(FRONTEND_SECOND_STATE, state)] if graph.frontend.channels > 1 else []
    return [(FRONTEND_STATE, state), *second]


def _pointed_constants(graph: IntegerGraph, calls: Mapping[str, Call], owner: Mapping[str, str]) -> list[str]:
    """Constants that the text takes by address, in the graph's order."""
    read = {state.next for state in graph.states} | set(graph.outputs)
    read |= {name for b in graph.branches for o in b.outputs for name in (o.taken, o.held) if name}
    for operator in graph.operators():
        packed = calls[operator.name].packed if operator.name in calls else ()
        read |= {name for index, name in enumerate(operator.inputs) if name and index not in packed}
    owners = {owner[name] for name in read if name in owner}
    owners |= {state.tensor for state in graph.states}
    return [name for name in graph.constants if name in owners]


def check_interface(graph: IntegerGraph) -> None:
    """Raise GraphError unless the graph has one int16 input, one int16 output of a hop, and <= 32 gates.

    Behind a front end without a mask the output may be shorter than a hop; with several channels it holds
    their masks one after the other.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise GraphError(
            f"graph {graph.name!r} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs "
            "(must be one each)"
        )
    frontend = graph.frontend
    source, result = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    wanted = frontend.bins if frontend else source.size
    checked = [(source, wanted)]
    masks = wanted * channels_of(graph)
    checked.append((result, masks if frontend is None or frontend.masks else min(result.size, frontend.hop)))
    for tensor, wanted in checked:
        if tensor.dtype != "int16" or tensor.size != wanted:
            raise GraphError(
                f"graph {graph.name!r}: tensor {tensor.name!r} is {tensor.dtype} of {tensor.size} elements "
                f"(must be int16 of {wanted})"
            )
    numbers = sorted({item.gate for branch in graph.branches for item in branch.conditions})
    if numbers and (numbers[-1] >= MAX_GATES or numbers != list(range(len(numbers)))):
        raise GraphError(f"graph {graph.name!r} has gates {numbers} (must be 0, 1, ..., below {MAX_GATES})")
