"""Imported operators equal tflite-micro's, with scales such as other converters choose."""

from __future__ import annotations

import pytest

pytest.importorskip("tflite_micro", reason="tinydsn[oracle] is not installed")
pytest.importorskip("tflite", reason="tinydsn[oracle] is not installed")

import numpy as np
from tflite_in_files import CASES, Maker, differing

from quant.graph import Quantization
from quant.ops.softmax_narrow import narrow_factors, narrow_softmax
from quant.reference import Executor
from quant.tflite.incoming import import_graph
from quant.tflite.runtime import Session

SEEDS = 2


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("name", CASES)
def test_an_imported_operator_has_the_bits_of_tflite_micro(name: str, dtype: str) -> None:
    make, dtypes = CASES[name]
    if dtype not in dtypes:
        pytest.skip(f"TFLite Micro has it for {', '.join(dtypes)}")
    most = 0
    for seed in range(SEEDS):
        maker = Maker(seed, dtype)
        make(maker)
        wrong, distinct, _ = differing(maker.content())
        assert wrong == 0, f"seed {seed}"
        most = max(most, distinct)
    assert most > 4


def test_int8_tables_hold_at_every_input() -> None:
    """LOGISTIC and TANH compute in fixed point in TFLite Micro; here they are tables of 256 entries."""
    every = np.arange(-128, 128).astype(np.int8)
    for seed in range(24):
        for builtin, scale, zero in (("LOGISTIC", 2**-8, -128), ("TANH", 2**-7, 0)):
            maker = Maker(seed, "int8")
            data = maker.input((256,))
            maker.output((256,), scale, zero)
            maker.step(builtin, (data,))
            made = import_graph(maker.content(), "one.tflite", "one")
            (found,) = Executor(made.graph).step(every.astype(np.int16)).outputs
            (expected,) = Session(maker.content(), builtin).run([every], 1)
            np.testing.assert_array_equal(found, expected, err_msg=f"{builtin} {seed}")


def test_softmax_of_int8_over_the_range_of_its_scale() -> None:
    """From scales that make everything equal to those where only the largest value counts."""
    for power in range(-20, 6, 2):
        maker = Maker(power + 40, "int8")
        data = maker.input((2, 33), 2.0**power)
        maker.output((2, 33), 2**-8, -128)
        maker.step("SOFTMAX", (data,), "SoftmaxOptions", Beta=1.0)
        assert differing(maker.content(), frames=16)[0] == 0, power


def test_softmax_of_int8_is_near_the_real_one() -> None:
    rng = np.random.default_rng(3)
    data = rng.integers(-128, 128, (50, 12)).astype(np.int8)
    factors = narrow_factors(0.05)
    found = narrow_softmax(data, factors["multiplier"], factors["shift"], factors["diff_min"])
    powers = np.exp(0.05 * data.astype(np.float64))
    real = powers / powers.sum(-1, keepdims=True)
    assert np.max(np.abs((found + 128.0) / 256 - np.minimum(real, 255 / 256))) <= 0.51 / 256


def test_several_inputs_and_outputs_share_a_frame() -> None:
    maker = Maker(5, "int8")
    first, second = maker.input((2, 3)), maker.input((4,))
    scale = maker.model.tensors[first].quantization
    maker.output((2, 3), scale.scale[0], scale.zero_point)  # type: ignore[union-attr]
    maker.step("RELU", (first,))
    maker.model.outputs.append("z")
    maker.model.tensor("z", (4,), "int8", Quantization((2**-8,), -128))
    maker.model.add("LOGISTIC", (second,), "z")
    wrong, _, made = differing(maker.content())
    assert wrong == 0
    assert [(port.name, port.begin) for port in made.inputs] == [("x0", 0), ("x1", 6)]
    assert [(port.name, port.begin) for port in made.outputs] == [("y", 0), ("z", 6)]
    assert made.graph.tensors["frame"].shape == (10,)
