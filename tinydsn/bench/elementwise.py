"""Cases of the operators that do not multiply matrices, for the costs that ``tinydsn ops`` shows."""

from __future__ import annotations

import numpy as np

from quant.graph import Tensor
from tinydsn.bench.case import Case, operator_case, tensor

ROWS, COLUMNS = 16, 24
Q15 = 2.0**-15
SCALE = {"int16": 2.0**-12, "int8": 0.031}
FIXED = {"sigmoid": (1 / 256, -128), "tanh": (1 / 128, 0)}
"""Scale and zero point of int8 results that may have no other."""


def elementwise_cases() -> list[Case]:
    """One case for each kind and activation type, named such as ``add_int16``."""
    both = [
        case
        for dtype in ("int16", "int8")
        for case in (
            *(binary(kind, dtype) for kind in ("add", "sub", "mul")),
            *(unary(kind, dtype) for kind in ("sigmoid", "tanh")),
            unary("table", dtype, {"function": "silu"}),
            unary("leaky_relu", dtype, {"alpha": 0.125}),
            unary("relu", dtype),
            requantize(dtype),
            copy("transpose", dtype, (COLUMNS, ROWS), {"permutation": (1, 0)}),
            copy("pad", dtype, (ROWS + 1, COLUMNS), {"before": (1, 0), "after": (0, 0)}),
            product(dtype),
        )
    ]
    return [*both, softmax(), layer_norm()]


def data(name: str, dtype: str, shape: tuple[int, ...] = (ROWS, COLUMNS), scale: float = 0.0) -> Tensor:
    """An activation."""
    return tensor(name, shape, dtype, scale or SCALE[dtype])


def binary(kind: str, dtype: str) -> Case:
    """A sum or a product of two tensors; the product's scale keeps 32 bits."""
    scale = 2.0**-8 if (kind, dtype) == ("mul", "int16") else 0.0
    inputs = (data("a", dtype), data("b", dtype))
    return _case(kind, dtype, inputs, data("y", dtype, scale=scale))


def unary(kind: str, dtype: str, attributes: dict[str, object] | None = None) -> Case:
    """A function of one variable."""
    scale, zero = (Q15, 0) if dtype == "int16" else FIXED.get(kind, (SCALE[dtype], 0))
    free = kind in ("table", "leaky_relu", "relu")
    output = data("y", dtype) if free else tensor("y", (ROWS, COLUMNS), dtype, scale, zero)
    return _case(kind, dtype, (data("x", dtype),), output, attributes)


def requantize(dtype: str) -> Case:
    """From a type to the same with another scale."""
    return _case("requantize", dtype, (data("x", dtype),), data("y", dtype, scale=0.7 * SCALE[dtype]))


def copy(kind: str, dtype: str, shape: tuple[int, ...], attributes: dict[str, object]) -> Case:
    """An operator that only moves data."""
    return _case(kind, dtype, (data("x", dtype),), data("y", dtype, shape), attributes)


def product(dtype: str) -> Case:
    """The products of queries and keys of two small heads."""
    inputs = (data("a", dtype, (2, 16, 4)), data("b", dtype, (2, 16, 4)))
    output = data("y", dtype, (2, 16, 16), 2.0**-4 if dtype == "int16" else 0.5)
    return _case("batch_matmul", dtype, inputs, output, {"transpose_b": True})


def softmax() -> Case:
    """Over the positions of two small heads."""
    inputs = (data("x", "int16", (2, 16, 16)),)
    return _case("softmax", "int16", inputs, data("y", "int16", (2, 16, 16), Q15))


def layer_norm() -> Case:
    """Over channels."""
    constants = {1: np.linspace(0.5, 1.5, COLUMNS), 2: np.linspace(-1, 1, COLUMNS)}
    weights = (tensor("g", (COLUMNS,), "int32", 1.0), tensor("b", (COLUMNS,), "int32", 1.0))
    inputs = (data("x", "int16"), *weights)
    return _case("layer_norm", "int16", inputs, data("y", "int16"), {"epsilon": 1e-5}, constants)


def _case(
    kind: str,
    dtype: str,
    inputs: tuple[Tensor, ...],
    output: Tensor,
    attributes: dict[str, object] | None = None,
    constants: dict[int, np.ndarray] | None = None,
) -> Case:
    shape = "x".join(map(str, output.shape))
    return operator_case(f"{kind}_{dtype}", shape, kind, inputs, output, attributes, constants)
