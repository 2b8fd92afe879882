"""Resource variables of a ``.tflite`` file as states: READ gives the value, ASSIGN the next one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.errors import UnsupportedOperator
from quant.graph import State, Tensor
from quant.tflite.file import FileOperator, Subgraph
from quant.tflite.incoming import Incoming, unique

Key = tuple[str, str]


def _key(operator: FileOperator) -> Key:
    container, shared = (operator.options.get(field) or b"" for field in ("Container", "SharedName"))
    return container.decode("utf-8", "replace"), shared.decode("utf-8", "replace")


class Variables:
    """The variables of a file with their first values, and what they hold in the course of a frame.

    Raises UnsupportedOperator for subgraphs other than one that gives variables constant first values.
    """

    def __init__(self, graphs: Sequence[Subgraph], made: Incoming) -> None:
        self._made = made
        self._handles: dict[int, Key] = {}
        self._state: dict[Key, str] = {}
        self._now: dict[Key, str] = {}
        calls = [op for op in graphs[0].operators if op.builtin == "CALL_ONCE"]
        first = {int(op.options.get("InitSubgraphIndex", 0)) for op in calls}
        if first != set(range(1, len(graphs))):
            raise UnsupportedOperator(
                f"{len(graphs)} subgraphs (must be one, with others only to initialise variables)"
            )
        self._first: dict[Key, np.ndarray] = {}
        for number in sorted(first):
            self._initial(graphs[number], number)

    def _initial(self, graph: Subgraph, number: int) -> None:
        handles: dict[int, Key] = {}
        for operator in graph.operators:
            if operator.builtin == "VAR_HANDLE":
                handles[operator.outputs[0]] = _key(operator)
                continue
            data = graph.tensors[operator.inputs[1]].data if operator.builtin == "ASSIGN_VARIABLE" else None
            if data is None or operator.inputs[0] not in handles:
                raise UnsupportedOperator(
                    f"subgraph {number}, {operator.title}: must give a variable a constant first value"
                )
            self._first[handles[operator.inputs[0]]] = data

    def step(self, operator: FileOperator) -> None:
        """VAR_HANDLE, READ_VARIABLE or ASSIGN_VARIABLE of the frame; CALL_ONCE was done before."""
        if operator.builtin == "VAR_HANDLE":
            self._handles[operator.outputs[0]] = _key(operator)
        elif operator.builtin == "READ_VARIABLE":
            (output,) = operator.outputs
            self._made.names[output] = self._value(operator, self._made.wanted(output))
        elif operator.builtin == "ASSIGN_VARIABLE":
            key, value = self._handle(operator), self._made.tensor(operator.inputs[1])
            if key not in self._state:
                self._value(operator, value)
            self._agree(key, value)
            self._now[key] = value.name

    def _handle(self, operator: FileOperator) -> Key:
        key = self._handles.get(operator.inputs[0])
        if key is None:
            raise UnsupportedOperator("its resource is no variable of this graph")
        return key

    def _value(self, operator: FileOperator, like: Tensor) -> str:
        key = self._handle(operator)
        if key not in self._state:
            made = self._made
            label = "/".join(part for part in key if part) or "variable"
            state = Tensor(unique(f"state {label}", made.tensors), like.shape, like.dtype, like.quantization)
            made.tensors[state.name] = state
            # an interpreter that was given no first value begins with integer zeros
            first = self._first.get(key, np.zeros(like.shape, like.dtype))
            if (first.shape, str(first.dtype)) != (state.shape, state.dtype):
                raise UnsupportedOperator(
                    f"variable {label!r} is {state.dtype} {state.shape}, its first value "
                    f"{first.dtype} {first.shape}"
                )
            assert state.quantization is not None
            if np.any(first != state.quantization.zero_point):
                made.constants[state.name] = first
            self._state[key] = self._now[key] = state.name
        self._agree(key, like)
        return self._now[key]

    def _agree(self, key: Key, tensor: Tensor) -> None:
        state = self._made.tensors[self._state[key]]
        if (state.shape, state.dtype, state.quantization) != (
            tensor.shape,
            tensor.dtype,
            tensor.quantization,
        ):
            raise UnsupportedOperator(
                f"{tensor.name!r} has another type, shape or scale than its variable {state.name!r}"
            )

    def states(self) -> tuple[State, ...]:
        """A state a variable."""
        return tuple(State(state, self._now[key]) for key, state in self._state.items())
