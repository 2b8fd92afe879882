"""reshape: the same elements in the same order in another shape; a view, costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.errors import GraphError
from quant.ops import movement
from quant.ops.base import Arrays, Attributes, Shape
from quant.ops.common import integers


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """The attribute ``shape``."""
    shape = integers(attributes, "shape")
    if np.prod(shape, dtype=np.int64) != np.prod(shapes[0], dtype=np.int64):
        raise GraphError(f"reshape of {shapes[0]} to {shape} (must keep the number of elements)")
    return (shape,)


def move(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Both meanings."""
    (data,) = inputs
    assert data is not None
    return (data.reshape(integers(attributes, "shape")),)


DEFINITION = movement.definition("reshape", "another shape for the same elements (a view)", infer, move)
