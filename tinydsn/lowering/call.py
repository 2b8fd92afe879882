"""One ATen call as a handler sees it: arguments by their schema's names, and the builder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from quant.errors import UnsupportedOperator
from tinydsn.lowering.builder import Builder, Constant, Ref, Shape, Value
from tinydsn.lowering.hints import refuse

Result = Value | tuple[Value, ...]


@dataclass(frozen=True)
class Call:
    """An ATen call whose tensor arguments are values of the graph.

    ``arguments`` are complete, defaults included. ``shape`` is torch's shape of the (first) result.
    """

    operator: str
    arguments: dict[str, Any]
    shape: Shape
    builder: Builder
    where: str

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def refuse(self, found: str, instead: str = "") -> UnsupportedOperator:
        """The error for a use of this operator that is not supported."""
        return refuse(self.operator, self.where, found, instead)

    def ref(self, name: str) -> Ref:
        """A tensor argument that is not a comparison; constants are put into the graph."""
        return self.to_ref(self.arguments[name])

    def to_ref(self, value: Any) -> Ref:
        """``value`` as a tensor of the graph."""
        if isinstance(value, Ref):
            return value
        if isinstance(value, Constant):
            name = self.builder.constant(value.name, value.array)
            return Ref(name, value.shape)
        raise self.refuse(
            "a comparison can only decide a gate",
            "torch.cond(logits[k] > threshold, taken, skipped, operands)",
        )

    def constant(self, name: str, what: str) -> Constant:
        """A tensor argument that must be a parameter or another constant."""
        value = self.arguments[name]
        if not isinstance(value, Constant):
            raise self.refuse(f"its {what} is computed from the frame (must be a parameter or a constant)")
        return value

    def optional_constant(self, name: str, what: str) -> Constant | None:
        """As ``constant``; None where the argument is absent."""
        return None if self.arguments[name] is None else self.constant(name, what)


Handler = Callable[[Call], Result]


def made(name: str, values: np.ndarray | torch.Tensor | Sequence[float] | float) -> Constant:
    """A constant made by lowering itself, as float32."""
    return Constant(name, torch.as_tensor(values, dtype=torch.float32))


def axis_of(axis: int, rank: int) -> int:
    """A non-negative axis."""
    return axis % rank if rank else 0


def reshape(call: Call, value: Ref, shape: Shape) -> Ref:
    """``value`` in another shape; itself when it has that shape."""
    if value.shape == tuple(shape):
        return value
    return call.builder.emit("reshape", value, shape=tuple(shape))


def transpose(call: Call, value: Ref, permutation: Sequence[int]) -> Ref:
    """``value`` with its axes permuted; itself when nothing moves."""
    if tuple(permutation) == tuple(range(len(permutation))):
        return value
    return call.builder.emit("transpose", value, permutation=tuple(permutation))


def axis_last(rank: int, axes: Sequence[int]) -> tuple[int, ...]:
    """The permutation that moves ``axes``, in their order, behind all others."""
    return (*(axis for axis in range(rank) if axis not in axes), *axes)


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes ``permutation``."""
    return tuple(int(axis) for axis in np.argsort(permutation))


def slice_axis(call: Call, value: Ref, axis: int, begin: int, end: int) -> Ref:
    """``value[begin:end]`` along ``axis``; itself when that is all of it."""
    if begin == 0 and end == value.shape[axis]:
        return value
    return call.builder.emit("slice", value, axis=axis, begin=begin, end=end)


def concat(call: Call, values: Sequence[Value], axis: int) -> Ref:
    """Values put one after another along ``axis``; empty ones are left out."""
    parts = [call.to_ref(value) for value in values if value.shape[axis] > 0]
    return parts[0] if len(parts) == 1 else call.builder.emit("concat", *parts, axis=axis)
