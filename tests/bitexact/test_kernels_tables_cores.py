"""Tables, norms and softmax on emulated cores equal their NumPy meaning: any size, rims, peaks."""

from __future__ import annotations

import numpy as np
import pytest
from test_kernels_linear_cores import BOARDS, ready

from tinydsn.bench.case import Case, operator_case, tensor
from tinydsn.bench.measure import bench

Q15 = 2.0**-15


def activations(kind: str, exponent: int) -> Case:
    """All int16 values but three: whole pairs and a rest."""
    every = np.arange(-32768, 32768 - 3).astype(np.int16)
    x, y = tensor("x", every.shape, "int16", 2.0**exponent), tensor("y", every.shape, "int16", Q15)
    return operator_case(kind, f"2^{exponent}", kind, (x,), y, change=lambda values: every)


def softmax(columns: int, scale: float) -> Case:
    """Rows with sums from 1 to the number of columns: of equal values, of one peak, of any values."""

    def rows(values: np.ndarray) -> np.ndarray:
        values[0], values[1] = 7, -32768
        values[1, -1] = 32767
        values[2:4] >>= np.arange(2, 4)[:, None] * 3
        return values

    shape = (9, columns)
    x, y = tensor("x", shape, "int16", scale), tensor("y", shape, "int16", Q15)
    return operator_case("softmax", f"{columns} of {scale:.3g}", "softmax", (x,), y, change=rows)


def layer_norm(columns: int, gain: float) -> Case:
    """Rows of any values, of small ones, and of equal ones."""

    def rows(values: np.ndarray) -> np.ndarray:
        values[0], values[1] = 32767, values[1] >> 12
        return values

    x, y = tensor("x", (5, columns), "int16", 2.0**-12), tensor("y", (5, columns), "int16", 2.0**-12)
    constants = {1: np.linspace(gain / 2, gain, columns), 2: np.linspace(-1, 1, columns)}
    operands = tuple(tensor(name, (columns,), "int32", 1.0) for name in ("gamma", "beta"))
    attributes = {"epsilon": 1e-5}
    shape = f"{columns}, gain {gain}"
    return operator_case(
        "layer_norm", shape, "layer_norm", (x, *operands), y, attributes, constants, change=rows
    )


def cases() -> list[Case]:
    made = [activations(kind, exponent) for kind in ("sigmoid", "tanh") for exponent in (-12, -6)]
    made += [activations("sigmoid", -11), activations("tanh", -5)]
    made += [softmax(columns, scale) for columns in (1, 5, 31) for scale in (2.0**-12, 2.0**-15)]
    made += [softmax(16, 2.0**-9), softmax(1200, 2.0**-11)]
    return made + [layer_norm(columns, gain) for columns in (7, 24) for gain in (1.0, 40.0)]


@pytest.mark.parametrize("name", BOARDS)
def test_tables_and_norms_on_emulated_cores(name: str) -> None:
    assert len(bench(cases(), [ready(name)])) == len(cases())
