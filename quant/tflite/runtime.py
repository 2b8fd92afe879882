"""Runs ``.tflite`` files in tflite-micro."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from quant.errors import UnsupportedOperator
from quant.tflite.flatbuffer import TYPES
from quant.tflite.model import module

ARENA_BYTES = 1 << 22


class Session:
    """One interpreter of TensorFlow Lite for Microcontrollers.

    Raises ConfigError without the packages, UnsupportedOperator where it refuses the model.
    """

    def __init__(self, content: bytes, what: str, arena_bytes: int = ARENA_BYTES) -> None:
        self._what = what
        runtime = module("tflite_micro.python.tflite_micro.runtime")
        try:
            self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
        except (RuntimeError, struct.error) as error:
            raise self._refused() from error

    def run(self, inputs: Sequence[np.ndarray], outputs: int) -> list[np.ndarray]:
        """One call; ``inputs`` in the file's order, types and shapes."""
        try:
            for index, values in enumerate(inputs):
                self._interpreter.set_input(np.ascontiguousarray(values), index)
            self._interpreter.invoke()
        except RuntimeError as error:
            raise self._refused() from error
        return [np.array(self._interpreter.get_output(index)) for index in range(outputs)]

    def print_allocations(self) -> None:
        """Write what the arena holds to standard error, as tflite-micro does it."""
        self._interpreter.print_allocations()

    def _refused(self) -> UnsupportedOperator:
        return UnsupportedOperator(f"{self._what}: refused by TFLite Micro")


def input_details(content: bytes) -> list[tuple[tuple[int, ...], str]]:
    """Shape and NumPy type of each input of a file."""
    tflite = module("tflite")
    graph = tflite.Model.GetRootAsModel(content, 0).Subgraphs(0)
    names = {getattr(tflite.TensorType, code): dtype for dtype, code in TYPES.items()}
    tensors = [graph.Tensors(graph.Inputs(index)) for index in range(graph.InputsLength())]
    return [(tuple(int(n) for n in item.ShapeAsNumpy()), names[item.Type()]) for item in tensors]
