"""gru_update in TFLite's operators: bit for bit, or in fewer operators with other roundings.

Our products with Q15 gates are rounded once, ``(a * b + 2**14) >> 15``, but TFLite's int16 MUL rounds twice.
int16 BATCH_MATMUL sums in 64 bits and rounds once, by exactly this rule where the product of the scales is
2**-15 of the output's: so an elementwise product is a batch of 1 x 1 matrices. The new state,
``n + ((z * (h - n) + 2**14) >> 15)``, whose difference has 17 bits, is one sum of three products:
``z * h + z * -n + -32768 * -n``, rounded once.
"""

from __future__ import annotations

import numpy as np

from quant.errors import UnsupportedOperator
from quant.graph import Operator, Quantization
from quant.tflite.model import Model, Step

LARGEST_SCALE = 4.0
"""Above it TFLite Micro's int16 LOGISTIC and TANH overflow; ours saturate."""
MINUS_ONE = -32768
Q14 = Quantization((2.0**-14,), 0)
"""Of differences of two Q15 values, and of parts of them."""
ROWS, COLUMNS = {"AdjX": False, "AdjY": False}, {"AdjX": False, "AdjY": True}
NO_ACTIVATION = {"FusedActivationFunction": 0}


def check_gate_scale(name: str, scale: float) -> None:
    """Raise UnsupportedOperator for an int16 argument of LOGISTIC or TANH with a scale above 4."""
    if scale > LARGEST_SCALE:
        raise UnsupportedOperator(
            f"operator {name!r}: its argument has a scale of {scale:g} (TFLite Micro's int16 LOGISTIC and "
            f"TANH take at most {LARGEST_SCALE:g})"
        )


def equal_gru(operator: Operator, model: Model) -> None:
    """Steps with the same bits. Raises UnsupportedOperator for a scale of the gates above 4."""
    steps = _Gru(operator, model)
    reset, update, x_new, h_new = steps.gates()
    new = steps.new(x_new, steps.single_product(reset, h_new))
    steps.mix(update, new)


def close_gru(operator: Operator, model: Model) -> None:
    """Steps with MUL and its two roundings, ``n + z * (h - n)``; the difference has one bit less.

    Raises UnsupportedOperator for a scale of the gates above 4.
    """
    steps = _Gru(operator, model)
    reset, update, x_new, h_new = steps.gates()
    new = steps.new(x_new, steps.binary("MUL", reset, h_new, "rh", steps.scale))
    difference = steps.binary("SUB", steps.state, new, "difference", Q14)
    moved = steps.binary("MUL", update, difference, "moved", Q14)
    model.add("ADD", (new, moved), operator.outputs[0], "AddOptions", NO_ACTIVATION)


class _Gru:
    """The pieces of one update, appended to a model."""

    def __init__(self, operator: Operator, model: Model) -> None:
        self.name, self.model = operator.name, model
        self.gx, self.gh, self.state = operator.inputs
        (self.output,) = operator.outputs
        self.shape, self.count = model.tensors[self.state].shape, model.tensors[self.state].size
        scale, q15 = (model.tensors[name].quantization for name in (self.gx, self.state))
        assert scale is not None and q15 is not None
        check_gate_scale(operator.name, scale.scale[0])
        self.scale, self.q15 = scale, q15

    def tensor(self, name: str, scale: Quantization, shape: tuple[int, ...] | None = None) -> str:
        return self.model.tensor(f"{self.name}.{name}", shape or self.shape, "int16", scale)

    def binary(self, builtin: str, one: str, two: str, result: str, scale: Quantization) -> str:
        options = f"{builtin.title()}Options"
        return self.model.add(builtin, (one, two), self.tensor(result, scale), options, NO_ACTIVATION)

    def split(self, source: str, prefix: str) -> tuple[str, str, str]:
        """The three thirds of the last axis."""
        axis = self.model.constant(f"{self.name}.{prefix}.axis", np.array(len(self.shape) - 1, np.int32))
        r, z, n = (self.tensor(f"{prefix}_{gate}", self.scale) for gate in "rzn")
        self.model.steps.append(Step("SPLIT", (axis, source), (r, z, n), "SplitOptions", {"NumSplits": 3}))
        return r, z, n

    def gates(self) -> tuple[str, str, str, str]:
        """r, z, and both parts of the argument of n."""
        x, h = self.split(self.gx, "x"), self.split(self.gh, "h")
        opened = []
        for gate, one, two in zip("rz", x, h, strict=False):
            total = self.binary("ADD", one, two, f"{gate}.argument", self.scale)
            opened.append(self.model.add("LOGISTIC", (total,), self.tensor(gate, self.q15)))
        return opened[0], opened[1], x[2], h[2]

    def new(self, x_new: str, product: str) -> str:
        """n, from its two parts."""
        argument = self.binary("ADD", x_new, product, "n.argument", self.scale)
        return self.model.add("TANH", (argument,), self.tensor("n", self.q15))

    def singles(self, source: str, name: str) -> str:
        """The elements as matrices of one element."""
        return self.model.reshape(source, f"{self.name}.{name}.singles", (self.count, 1, 1))

    def single_product(self, reset: str, h_new: str) -> str:
        """r * h_n, rounded once."""
        pair = (self.singles(reset, "r"), self.singles(h_new, "h_n"))
        product = self.tensor("rh.singles", self.scale, (self.count, 1, 1))
        self.model.add("BATCH_MATMUL", pair, product, "BatchMatMulOptions", ROWS)
        return self.model.reshape(product, f"{self.name}.rh", self.shape)

    def mix(self, update: str, new: str) -> None:
        """h' as a sum of three products, rounded once."""
        model, axis = self.model, {"Axis": 2, **NO_ACTIVATION}
        zero = model.constant(f"{self.name}.zero", np.zeros(1, np.int16), self.q15)
        minus = self.singles(self.binary("SUB", zero, new, "minus_n", self.q15), "minus_n")
        share, old = self.singles(update, "z"), self.singles(self.state, "h")
        ones = np.full((self.count, 1, 1), MINUS_ONE, np.int16)
        one = model.constant(f"{self.name}.minus_one", ones, self.q15)
        rows = [self.tensor(side, self.q15, (self.count, 1, 3)) for side in ("left", "right")]
        for row, three in zip(rows, ((share, share, one), (old, minus, minus)), strict=True):
            model.add("CONCATENATION", three, row, "ConcatenationOptions", axis)
        moved = self.tensor("moved", self.q15, (self.count, 1, 1))
        model.add("BATCH_MATMUL", rows, moved, "BatchMatMulOptions", COLUMNS)
        model.reshape(moved, self.output, model.tensors[self.output].shape)
