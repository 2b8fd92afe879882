"""What an operator's file has to say: signature, constraints, meaning in floats and integers, and cost.

Each file of this folder holds one operator and ends with ``DEFINITION``. The integer meaning written here
is the one meaning: the converter fills in the attributes it needs, the NumPy reference runs it, and the
generated C must equal it bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quant.graph import Attribute, DType, Graph, Operator, Quantization, Tensor

Shape = tuple[int, ...]
Attributes = Mapping[str, Attribute]
Arrays = tuple[np.ndarray | None, ...]


@dataclass(frozen=True)
class Slot:
    """What one activation input or output of an operator demands of its tensor's integer type.

    ``dtype`` None: the operator's own activation width (8 or 16, from the precision table).
    ``fixed``: the only quantization allowed. ``power_of_two``: the scale must be a power of two, at least
    ``smallest``.
    """

    dtype: DType | None = None
    fixed: Quantization | None = None
    power_of_two: bool = False
    smallest: float = 0.0


@dataclass(frozen=True)
class Slots:
    """Demands on all inputs and outputs.

    ``inputs`` has None where the input is not an activation (weights, biases, absent, bool predicates).
    ``same`` lists groups of slots, as ("in", 0) or ("out", 0), that must share type, scale and zero point.
    """

    inputs: tuple[Slot | None, ...]
    outputs: tuple[Slot | None, ...]
    same: tuple[tuple[tuple[str, int], ...], ...] = ()


@dataclass(frozen=True)
class Quantized:
    """Result of making one operator integer: its new form, and the integer constants it reads.

    ``constants`` maps tensor name to (tensor, integer values); names start with the operator's name.
    """

    operator: Operator
    constants: Mapping[str, tuple[Tensor, np.ndarray]]


@dataclass(frozen=True)
class QuantizeRequest:
    """Everything ``quantize`` may look at.

    ``inputs``/``outputs``: the tensors after type and scale were chosen (float constants still float32).
    ``constants``: float values of the inputs that are constants, by input index.
    ``whole``: the operator and the float weight whose leading part this one's weight is, see
    `quant.ops.linear.LEADING_OF`; its scales are that one's.
    """

    operator: Operator
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    constants: Mapping[int, np.ndarray]
    weight_bits: int
    whole: tuple[Operator, np.ndarray] | None = None


@dataclass(frozen=True)
class Accumulator:
    """Proof material: the largest absolute value an accumulator can reach, and the bits it has."""

    bound: int
    bits: int


Constraint = Callable[[Operator, Mapping[str, Tensor]], tuple[bool, str]]


@dataclass(frozen=True)
class OperatorDefinition:
    """One operator of the table.

    - infer: (input shapes, attributes) -> output shapes; raises GraphError on a wrong shape.
    - evaluate: (attributes, float inputs) -> float outputs.
    - slots: (float operator, activation dtype "int8" | "int16") -> Slots.
    - quantize: QuantizeRequest -> Quantized.
    - reference: (integer attributes, integer inputs) -> integer outputs; the meaning.
    - accumulator: (integer operator, graph) -> Accumulator, or None when nothing accumulates.
    - macs: (operator, tensors) -> multiply-accumulates of one run.
    - constraints: each function's docstring is the sentence users read in ``tinydsn ops`` and in errors; it
      returns (holds, what was found).
    """

    kind: str
    summary: str
    infer: Callable[[Sequence[Shape], Attributes], tuple[Shape, ...]]
    evaluate: Callable[[Attributes, Arrays], tuple[np.ndarray, ...]]
    slots: Callable[[Operator, DType], Slots]
    quantize: Callable[[QuantizeRequest], Quantized]
    reference: Callable[[Attributes, Arrays], tuple[np.ndarray, ...]]
    accumulator: Callable[[Operator, Graph], Accumulator | None]
    macs: Callable[[Operator, Mapping[str, Tensor]], int]
    constraints: tuple[Constraint, ...] = ()
