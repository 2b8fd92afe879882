"""Whole steps as TFLite models: images among other tensors, states that are inputs, missing packages."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from convert_example import FRAME, Builder, audio

from quant.convert import quantize
from quant.errors import ConfigError
from quant.graph import IntegerGraph
from quant.reference import Executor
from quant.tflite.flatbuffer import to_flatbuffer
from quant.tflite.model import module
from quant.tflite.runtime import Session, input_details
from quant.tflite.step import images, step_model

pytest.importorskip("tflite_micro", reason="tinydsn[oracle] is not installed")
pytest.importorskip("tflite", reason="tinydsn[oracle] is not installed")


def moving(precision: str) -> IntegerGraph:
    """A convolution among operators that move data along its axes, and a delay of two frames."""
    made = Builder()
    older, old = made.state("older", (FRAME,)), made.state("old", (FRAME,))
    image = made.add("reshape", "image", ("x",), shape=(1, 4, 2))
    weight = made.constant("conv.w", made.rng.normal(size=(3, 1, 3, 2)))
    bias = made.constant("conv.b", made.rng.normal(size=3))
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 1, 1)}
    found = made.add("conv2d", "conv", (image, weight, bias), activation="relu", **window)
    twice = made.add("concat", "twice", (found, found), axis=-2)
    part = made.add("slice", "part", (twice,), axis=1, begin=2, end=6)
    turned = made.add("transpose", "turned", (part,), permutation=(1, 0, 2))
    around = made.add("pad", "around", (turned,), before=(0, 1, 0), after=(0, 0, 1))
    flat = made.add("reshape", "flat", (around,), shape=(1, 32))
    mixed = made.add("reshape", "mixed", (made.linear("mix", flat, FRAME),), shape=(FRAME,))
    total = made.add("add", "total", (mixed, older))
    made.update(older, old)
    made.update(old, "x")
    return quantize(made.graph(total), [audio()], precision)


@pytest.mark.parametrize("precision", ["w8a16", "w8a8"])
def test_a_step_equals_the_reference_over_many_frames(precision: str) -> None:
    graph = moving(precision)
    file = step_model(graph)
    content = to_flatbuffer(file)
    session, reference = Session(content, "a step"), Executor(graph)
    shapes = [shape for shape, _ in input_details(content)]
    states = [reference.states[state.tensor] for state in graph.states]
    for frame in audio(seed=2).reshape(-1, FRAME)[:40]:
        (expected,) = reference.step(frame).outputs
        given = [item.reshape(shape) for item, shape in zip([frame, *states], shapes, strict=True)]
        found, *states = session.run(given, len(file.outputs))
        np.testing.assert_array_equal(found.reshape(-1), expected)


def test_outputs_have_memory_of_their_own() -> None:
    file = step_model(moving("w8a16"))
    assert len(set(file.outputs)) == len(file.outputs)
    assert not set(file.outputs) & set(file.inputs)


def test_images_and_what_meets_them_get_a_leading_axis() -> None:
    graph = moving("w8a16")
    found = images(graph.operators(), graph)
    assert {"conv", "part", "around"} <= {name.split(".")[0] for name in found}
    assert not {"x", "flat", "mix", "total"} & found


def test_files_of_one_model_are_equal_and_names_can_be_left_out() -> None:
    graph = moving("w8a8")
    content = to_flatbuffer(step_model(graph))
    assert content == to_flatbuffer(step_model(graph))
    short = to_flatbuffer(step_model(graph), named=False)
    assert len(short) < len(content) and b"part" in content and b"part" not in short and b"older" in short


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ConfigError) as caught:
        module("tflite_micro.python.tflite_micro.runtime")
    assert str(caught.value) == "TFLite files need the package 'tflite_micro' (install tinydsn[oracle])"
