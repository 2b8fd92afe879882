"""What goes into a ``.tflite`` file, and the small steps that several translations share."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quant.errors import ConfigError
from quant.graph import DType, Quantization, Tensor

Fields = Mapping[str, int | float | bool]


@dataclass(frozen=True)
class Step:
    """One TFLite operator: its builtin's name, tensors, and options as (table, field -> value)."""

    builtin: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: str = ""
    fields: Fields = field(default_factory=dict)


@dataclass
class Model:
    """What goes into the file: tensors in order, constant values, steps, the model's inputs and outputs.

    batched: tensors that have one more axis than in the graph, a leading one, which TFLite's convolutions
    demand of images.
    """

    tensors: dict[str, Tensor]
    constants: dict[str, np.ndarray]
    steps: list[Step]
    inputs: list[str]
    outputs: list[str]
    batched: frozenset[str] = frozenset()

    def add(
        self,
        builtin: str,
        inputs: Sequence[str],
        output: str,
        options: str = "",
        fields: Fields | None = None,
    ) -> str:
        """Append a step with one output, whose tensor must be there; returns the output."""
        self.steps.append(Step(builtin, tuple(inputs), (output,), options, fields or {}))
        return output

    def tensor(
        self, name: str, shape: Sequence[int], dtype: DType, quantization: Quantization | None = None
    ) -> str:
        """Declare a tensor and return its name."""
        self.tensors[name] = Tensor(name, tuple(shape), dtype, quantization)
        return name

    def constant(self, name: str, values: Any, quantization: Quantization | None = None) -> str:
        """Add a constant (int32 when ``values`` is no array) and return its name."""
        array = values if isinstance(values, np.ndarray) else np.array(values, np.int32)
        self.constants[name] = array
        return self.tensor(name, array.shape, str(array.dtype), quantization)  # type: ignore[arg-type]

    def leading(self, name: str) -> int:
        """Axes that the tensor has in front of the graph's: 1 for an image, else 0."""
        return int(name in self.batched)

    def rank(self, name: str) -> int:
        """Number of axes that the tensor has in the graph."""
        return len(self.tensors[name].shape) - self.leading(name)

    def reshape(self, source: str, name: str, shape: Sequence[int]) -> str:
        """``source`` in another shape, as tensor ``name``, which is declared where it is not yet there."""
        if name not in self.tensors:
            found = self.tensors[source]
            self.tensor(name, shape, found.dtype, found.quantization)
        wanted = self.constant(f"{name}.shape", tuple(shape))
        return self.add("RESHAPE", (source, wanted), name, "ReshapeOptions")


def module(name: str) -> Any:
    """A package of ``tinydsn[oracle]``. Raises ConfigError without it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"TFLite files need the package {name.partition('.')[0]!r} (install tinydsn[oracle])"
        ) from error
