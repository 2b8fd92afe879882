"""Compares the integer meaning of one operator with tflite-micro, on shapes and values from hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from kernel_harness import one_operator, random_integers, reference

from quant.graph import Quantization, Tensor
from quant.oracle import run_operator

pytest.importorskip("tflite_micro", reason="tinydsn[oracle] is not installed")
pytest.importorskip("tflite", reason="tinydsn[oracle] is not installed")

DTYPES = ("int8", "int16")
WIDE_AND_NARROW = pytest.mark.parametrize("dtype", DTYPES)
ZEROS = st.sampled_from([-128, -127, -1, 0, 1, 13, 126, 127]) | st.integers(-128, 127)
SEEDS = st.integers(0, 2**32 - 1)
RUNS = st.integers(0, 7)
"""Which values ``random_integers`` draws: rims, zeros, small ones, or the full range."""


def small(examples: int) -> Callable[..., Callable[..., None]]:
    """Settings: the interpreter is built anew for each example, so there are few, and no deadline."""
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )


def scales(low: float = 1e-4, high: float = 1.0) -> st.SearchStrategy[float]:
    """float32 scales, spread evenly over their exponents."""
    return st.floats(np.log2(low), np.log2(high)).map(lambda power: float(np.float32(2.0**power)))


def tensor(name: str, shape: tuple[int, ...], dtype: str, scale: float, zero: int = 0) -> Tensor:
    """An activation; int16 has no zero point."""
    zero_point = zero if dtype == "int8" else 0
    return Tensor(name, shape, dtype, Quantization((float(np.float32(scale)),), zero_point))  # type: ignore[arg-type]


def real(name: str, shape: tuple[int, ...]) -> Tensor:
    """A float operand."""
    return Tensor(name, shape)


def weights(rng: np.random.Generator, shape: tuple[int, ...], axis: int, size: float) -> np.ndarray:
    """Random real weights whose channel scales are float32 numbers around ``size``; some at both rims."""
    integers = rng.integers(-127, 128, shape).astype(np.float64)
    moved = np.moveaxis(integers, axis, 0)
    flat = moved.reshape(moved.shape[0], -1)
    flat[:, 0] = rng.choice([-127, 127], len(flat))
    channel = (size * rng.uniform(0.3, 1.7, len(flat))).astype(np.float32).astype(np.float64)
    return np.moveaxis((flat * channel[:, None]).reshape(moved.shape), 0, axis)


def assert_equal(
    kind: str,
    inputs: list[Tensor],
    output: Tensor,
    attributes: Mapping[str, object],
    seed: int,
    run: int,
    constants: Mapping[int, np.ndarray] | None = None,
) -> None:
    """Our reference and tflite-micro give the same integers."""
    graph = one_operator(kind, inputs, output, attributes, constants)
    rng = np.random.default_rng(seed)
    values = {name: random_integers(graph.tensors[name], rng, run) for name in graph.inputs}
    (operator,) = graph.operators()
    (expected,) = run_operator(operator, graph, values)
    (found,) = reference(graph, values)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
