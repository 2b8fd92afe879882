"""concat: tensors one after the other along ``axis``; all have one scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.errors import GraphError
from quant.ops import movement
from quant.ops.base import Arrays, Attributes, Shape
from quant.ops.common import integer


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """The first shape with all lengths of ``axis`` added up."""
    listed, axes, axis = ", ".join(map(str, shapes)), len(shapes[0]), integer(attributes, "axis")
    if not -axes <= axis < axes:
        raise GraphError(f"concat of {listed} on axis {axis} (must be {-axes} to {axes - 1})")
    axis %= axes
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rest) != 1:
        raise GraphError(f"concat of {listed} on axis {axis} (other axes must be equal)")
    shape = list(shapes[0])
    shape[axis] = sum(item[axis] for item in shapes)
    return (tuple(shape),)


def move(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Both meanings."""
    return (np.concatenate([item for item in inputs if item is not None], integer(attributes, "axis")),)


DEFINITION = movement.definition("concat", "tensors joined along an axis (a copy)", infer, move)
