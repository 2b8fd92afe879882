"""Runs one integer operator in TensorFlow Lite for Microcontrollers, as an independent second opinion.

Each operator of an integer graph that TFLite has too is written as a small ``.tflite`` model with the same
types, scales and constants, and run by the ``tflite-micro`` interpreter. Scales are float32 there, so both
agree on the multipliers only where ours are float32 numbers (those that the converter chooses are).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quant.graph import Graph, Operator
from quant.tflite.flatbuffer import to_flatbuffer
from quant.tflite.model import Model
from quant.tflite.operators import EQUAL
from quant.tflite.runtime import Session
from quant.tflite.step import build


def run_operator(
    operator: Operator, graph: Graph, inputs: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, ...]:
    """Outputs of one operator of an integer graph, by tflite-micro; shapes and types are the graph's.

    ``inputs`` holds the operator's activations by tensor name. Raises ConfigError without the packages,
    UnsupportedOperator for an operator or type that TFLite Micro does not have.
    """
    model = translate(operator, graph)
    session = Session(to_flatbuffer(model), f"operator {operator.name!r} ({operator.kind})")
    values = []
    for name in model.inputs:
        tensor = model.tensors[name]
        values.append(inputs[name].reshape(tensor.shape).astype(tensor.dtype, casting="no"))
    found = session.run(values, len(model.outputs))
    return tuple(
        item.reshape(graph.tensors[name].shape) for name, item in zip(operator.outputs, found, strict=True)
    )


def supports(operator: Operator) -> bool:
    """Whether TFLite's operators give the same bits for this kind of operator."""
    return operator.kind in EQUAL


def translate(operator: Operator, graph: Graph, close: bool = False) -> Model:
    """The operator as TFLite operators that give the same bits in TFLite Micro, or (``close``) as a converter
    would write it. Raises UnsupportedOperator where there are none."""
    free = [name for name in dict.fromkeys(operator.inputs) if name and name not in graph.constants]
    return build([operator], graph, free, operator.outputs, close)
