"""transpose: axes in another order; output axis i is input axis ``permutation[i]``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.errors import GraphError
from quant.ops import movement
from quant.ops.base import Arrays, Attributes, Shape
from quant.ops.common import integers


def infer(shapes: Sequence[Shape], attributes: Attributes) -> tuple[Shape, ...]:
    """The input's axes in the attribute ``permutation``'s order."""
    permutation = integers(attributes, "permutation")
    if sorted(permutation) != list(range(len(shapes[0]))):
        raise GraphError(f"transpose of {shapes[0]} by {permutation} (must name each axis once)")
    return (tuple(shapes[0][axis] for axis in permutation),)


def move(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Both meanings."""
    (data,) = inputs
    assert data is not None
    return (np.ascontiguousarray(data.transpose(integers(attributes, "permutation"))),)


DEFINITION = movement.definition("transpose", "axes in another order (a copy)", infer, move)
