"""A second witness: TensorFlow Lite's own reference kernels give the same integers as ours.

tflite-runtime needs numpy 1 and must not share a process with other builds of TFLite, so it lives in an
environment of its own: ``TINYDSN_TFLITE_PYTHON`` names its python, else ``.venv-tflite`` in the checkout
(``python3.11 -m venv .venv-tflite && .venv-tflite/bin/pip install 'numpy<2' tflite-runtime==2.14.0``).
Left out is int16 MUL, for which it has a float32 multiplier. Operators are written as a converter would.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from kernel_harness import one_operator, random_integers, reference
from oracle_harness import real, tensor, weights

from quant.graph import IntegerGraph
from quant.oracle import translate
from quant.tflite.flatbuffer import to_flatbuffer

ROOT = Path(__file__).resolve().parents[2]
RUNS = 8
Q15 = 2.0**-15


@dataclass(frozen=True)
class Case:
    """A graph of one operator, and its inputs in ``RUNS`` runs."""

    name: str
    graph: IntegerGraph
    inputs: tuple[Mapping[str, np.ndarray], ...]


def python() -> str:
    """The python that has tflite-runtime; skips without one."""
    found = os.environ.get("TINYDSN_TFLITE_PYTHON") or str(ROOT / ".venv-tflite" / "bin" / "python")
    probe = [found, "-c", "import tflite_runtime.interpreter"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no tflite-runtime: {found} ({error.strerror})")
    if done.returncode != 0:
        pytest.skip(f"no tflite-runtime in {found}")
    return found


def case(name: str, graph: IntegerGraph) -> Case:
    rng = np.random.default_rng(len(name))
    inputs = tuple(
        {key: random_integers(graph.tensors[key], rng, run) for key in graph.inputs} for run in range(RUNS)
    )
    return Case(name, graph, inputs)


def linear(dtype: str) -> Iterator[Case]:
    """fully_connected, conv2d and depthwise_conv2d."""
    rng = np.random.default_rng(5)
    scale_in, scale_out = (0.02, 0.11) if dtype == "int8" else (1e-3, 2e-3)
    zeros = (-3, 11)

    def layer(kind: str, shape: tuple, weight: np.ndarray, output: tuple, attributes: dict) -> Case:
        channels = output[-1]
        operands = {1: weight, 2: rng.normal(size=channels)}
        inputs = [
            tensor("x", shape, dtype, scale_in, zeros[0]),
            real("w", weight.shape),
            real("b", (channels,)),
        ]
        result = tensor("y", output, dtype, scale_out, zeros[1])
        name = f"{kind}.{dtype}.{attributes['activation']}"
        return case(name, one_operator(kind, inputs, result, attributes, operands))

    for activation in ("none", "relu", "relu6"):
        chosen = {"activation": activation}
        yield layer("fully_connected", (3, 40), weights(rng, (7, 40), 0, 0.01), (3, 7), chosen)
        chosen |= {"stride": (2, 1), "dilation": (1, 2), "padding": (1, 1, 2, 2)}
        yield layer("conv2d", (5, 6, 3), weights(rng, (4, 3, 3, 3), 0, 0.01), (3, 6, 4), chosen)
        chosen |= {"stride": (1, 2), "dilation": (1, 1), "padding": (1, 1, 0, 0)}
        yield layer("depthwise_conv2d", (5, 7, 3), weights(rng, (3, 3, 3), 2, 0.01), (5, 3, 3), chosen)


def pointwise(dtype: str) -> Iterator[Case]:
    """Sums, products and activations."""
    one, two, out = (0.04, 0.011, 0.03) if dtype == "int8" else (Q15, Q15, Q15)
    # scales that are powers of two choose a kernel that does not broadcast
    row = (5,) if dtype == "int8" else (3, 5)
    pair = [tensor("a", (3, 5), dtype, one, -128), tensor("b", row, dtype, two, 127)]
    for kind in ("add", "sub", "mul") if dtype == "int8" else ("add", "sub"):
        graph = one_operator(kind, pair, tensor("y", (3, 5), dtype, out, 5), {"activation": "none"})
        yield case(f"{kind}.{dtype}", graph)
    fixed = {"sigmoid": (1 / 256, -128), "tanh": (1 / 128, 0)}
    for kind, (scale, zero) in fixed.items():
        for source in (0.05,) if dtype == "int8" else (2.0**-15, 2.0**-12, 2.0**-9):
            x = tensor("x", (200,), dtype, source, 3)
            y = tensor("y", (200,), dtype, scale if dtype == "int8" else Q15, zero)
            yield case(f"{kind}.{dtype}.{source}", one_operator(kind, [x], y, {}))
    x, y = tensor("x", (200,), dtype, 0.02, 9), tensor("y", (200,), dtype, 0.013, -9)
    yield case(f"leaky_relu.{dtype}", one_operator("leaky_relu", [x], y, {"alpha": 0.125}))
    yield case(f"requantize.{dtype}", one_operator("requantize", [x], y, {}))
    if dtype == "int16":
        for source in (2.0**-12, 0.003):
            x, y = tensor("x", (4, 16), dtype, source), tensor("y", (4, 16), dtype, Q15)
            yield case(f"softmax.{dtype}.{source}", one_operator("softmax", [x], y, {}))


def matrices(dtype: str) -> Iterator[Case]:
    """Products of two activations."""
    scale, out = (0.02, 0.05) if dtype == "int8" else (1e-3, 2e-2)
    a = tensor("a", (2, 3, 6), dtype, scale, 30)
    for transposed, shape in ((True, (2, 4, 6)), (False, (2, 6, 4))):
        b = tensor("b", shape, dtype, scale, -30)
        y = tensor("y", (2, 3, 4), dtype, out, 7)
        yield case(
            f"matmul.{dtype}.{transposed}",
            one_operator("batch_matmul", [a, b], y, {"transpose_b": transposed}),
        )


CASES = {
    item.name: item
    for dtype in ("int8", "int16")
    for make in (linear, pointwise, matrices)
    for item in make(dtype)
}


@pytest.fixture(scope="module")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what tflite-runtime gave: ``NAME.RUN.out.npy``."""
    chosen, folder = python(), tmp_path_factory.mktemp("tflite")
    for item in CASES.values():
        (operator,) = item.graph.operators()
        model = translate(operator, item.graph, close=True)
        content = to_flatbuffer(model)
        for run, values in enumerate(item.inputs):
            stem = folder / f"{item.name}.{run}.tflite"
            stem.write_bytes(content)
            for index, name in enumerate(model.inputs):
                np.save(stem.with_suffix(f".in{index}.npy"), values[name])
    worker = Path(__file__).parent / "tflite_runtime_worker.py"
    done = subprocess.run([chosen, str(worker), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", CASES)
def test_the_reference_kernels_of_tflite_agree(name: str, witnessed: Path) -> None:
    item = CASES[name]
    for run, values in enumerate(item.inputs):
        (expected,) = reference(item.graph, values)
        found = np.load(witnessed / f"{name}.{run}.out.npy")
        np.testing.assert_array_equal(found.reshape(expected.shape), expected, err_msg=f"run {run}")
        assert found.dtype == expected.dtype
