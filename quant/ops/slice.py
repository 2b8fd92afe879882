"""slice: elements ``begin`` to ``end`` (not included) of one axis; a view where that is contiguous."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.errors import GraphError
from quant.ops import movement
from quant.ops.base import Arrays, Attributes, Shape
from quant.ops.common import integer


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """The input's shape with ``end - begin`` elements on ``axis``."""
    axis, begin, end = (integer(attributes, name) for name in ("axis", "begin", "end"))
    shape = list(shapes[0])
    if not -len(shape) <= axis < len(shape) or not 0 <= begin < end <= shape[axis]:
        raise GraphError(f"slice {begin}:{end} of axis {axis} of {shapes[0]} (must lie inside it)")
    shape[axis] = end - begin
    return (tuple(shape),)


def move(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Both meanings."""
    (data,) = inputs
    assert data is not None
    axis, begin, end = (integer(attributes, name) for name in ("axis", "begin", "end"))
    index = [slice(None)] * data.ndim
    index[axis] = slice(begin, end)
    return (np.ascontiguousarray(data[tuple(index)]),)


DEFINITION = movement.definition("slice", "a range of one axis (a view where contiguous)", infer, move)
