"""layer_norm in TFLite's operators: the same function, not the same bits.

Ours sums squares in 64 bits and finds the reciprocal root by three Newton steps on 64-bit products. TFLite
Micro has no operator with a result of more than 32 bits, and float32 holds 24; carried out in limbs of 8 bits
it would take hundreds of operators a norm. What is written here is what a converter would write: back to
float32, normalise, and quantize again. It gives another integer where the exact result lies near the middle
between two.
"""

from __future__ import annotations

import math

import numpy as np

from quant.graph import Operator
from quant.tflite.model import Model

NO_ACTIVATION = {"FusedActivationFunction": 0}
KEEP = {"KeepDims": True}


def layer_norm(operator: Operator, model: Model) -> None:
    """Steps in float32 for one norm, from the integer operator's constants."""
    data, gamma, beta = operator.inputs
    name, (output,) = operator.name, operator.outputs
    source, target = model.tensors[data], model.tensors[output]
    assert source.quantization is not None and target.quantization is not None
    columns = source.shape[-1]
    one = (*source.shape[:-1], 1)
    scale, step = source.quantization.scale[0], target.quantization.scale[0]
    factor = step / math.sqrt(columns) * 2.0 ** (30 - int(operator.attributes["shift"]))  # type: ignore[arg-type]
    epsilon = int(operator.attributes["epsilon"]) * scale**2 / columns**3  # type: ignore[arg-type]

    def real(result: str, shape: tuple[int, ...]) -> str:
        return model.tensor(f"{name}.{result}", shape, "float32")

    def constant(result: str, values: np.ndarray) -> str:
        return model.constant(f"{name}.{result}", values.astype(np.float32))

    def binary(builtin: str, a: str, b: str, result: str, shape: tuple[int, ...]) -> str:
        return model.add(builtin, (a, b), real(result, shape), f"{builtin.title()}Options", NO_ACTIVATION)

    last = model.constant(f"{name}.axis", (len(source.shape) - 1,))
    gains = constant("gain", model.constants.pop(gamma) * factor)
    shifts = constant("offset", model.constants.pop(beta) * step)
    del model.tensors[gamma], model.tensors[beta]
    value = model.add("DEQUANTIZE", (data,), real("value", source.shape), "DequantizeOptions")
    mean = model.add("MEAN", (value, last), real("mean", one), "ReducerOptions", KEEP)
    centred = binary("SUB", value, mean, "centred", source.shape)
    squares = binary("MUL", centred, centred, "squares", source.shape)
    variance = model.add("MEAN", (squares, last), real("variance", one), "ReducerOptions", KEEP)
    raised = binary("ADD", variance, constant("epsilon", np.array([epsilon])), "raised", one)
    root = model.add("RSQRT", (raised,), real("root", one))
    normal = binary("MUL", centred, root, "normal", source.shape)
    scaled = binary("MUL", normal, gains, "scaled", source.shape)
    moved = binary("ADD", scaled, shifts, "moved", source.shape)
    model.add("QUANTIZE", (moved,), output, "QuantizeOptions")
