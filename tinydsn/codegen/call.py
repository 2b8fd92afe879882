"""What one operator becomes in C: a template, its values, constant arrays, scratch and kernel files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from quant.graph import IntegerGraph, Operator, Tensor
from tinydsn.codegen.text import Array

Kernels = Literal["auto", "tinydsn", "cmsis-nn"]
"""Whose kernels run where both can: those that were measured to be cheaper, ours, or CMSIS-NN's."""


@dataclass(frozen=True)
class CodeTarget:
    """What of a core decides the generated text, and whose kernels the user asked for.

    dsp: Cortex-M4, M7, M33 (weights laid out for SXTB16). mve: Cortex-M55 (16-byte alignment, larger
    CMSIS-NN scratch). Neither: the host and plain cores. cells: GRU cells become one operator each
    (`tinydsn.codegen.emit_gru`).
    """

    dsp: bool = False
    mve: bool = False
    kernels: Kernels = "auto"
    cells: bool = True

    @property
    def interleaved(self) -> bool:
        """Whether 16x8 weights are laid out for SXTB16."""
        return self.dsp and not self.mve

    @property
    def alignment(self) -> int:
        """Bytes to which buffers are aligned."""
        return 16 if self.mve else 8


@dataclass(frozen=True)
class Call:
    """The C of one operator.

    template: file ``firmware_templates/ops/<template>.c.j2``, rendered with ``values``.
    kernels: files of ``firmware_templates/kernels`` without ``.c``. scratch: bytes, only during the call.
    packed: inputs whose constants the emitter laid out in ``arrays``, so that the text never points at them.
    """

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    arrays: tuple[Array, ...] = ()
    kernels: tuple[str, ...] = ()
    scratch: int = 0
    packed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Request:
    """Everything an emitter may look at. ``prefix`` starts the names of the operator's arrays; ``prefixes``
    has that of each operator of the graph."""

    operator: Operator
    graph: IntegerGraph
    target: CodeTarget
    prefix: str
    prefixes: Mapping[str, str] = field(default_factory=dict)

    def input(self, index: int = 0) -> Tensor:
        """Tensor of an input."""
        return self.graph.tensors[self.operator.inputs[index]]

    @property
    def output(self) -> Tensor:
        """Tensor of the only output."""
        return self.graph.tensors[self.operator.outputs[0]]

    def integer(self, name: str) -> int:
        """An integer attribute."""
        return int(self.operator.attributes[name])  # type: ignore[arg-type]

    def integers(self, name: str) -> tuple[int, ...]:
        """An attribute that is a tuple of integers."""
        return tuple(int(value) for value in self.operator.attributes[name])  # type: ignore[union-attr]


Emitter = Callable[[Request], Call]
