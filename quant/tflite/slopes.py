"""leaky_relu in TFLite's operators.

TFLite computes the factors of LEAKY_RELU from the scales in float32, and so do we; TFLite Micro does it in
float64, and gives another integer once in some 10,000. Bit for bit, the parts above and below zero go
through QUANTIZE instead, on tensors whose scales are just our factors and 1: MAXIMUM and MINIMUM look at no
scale, so they may give a value another one.
"""

from __future__ import annotations

import numpy as np

from quant.graph import INTEGER_RANGE, Operator, Quantization
from quant.tflite.model import Model

NO_ACTIVATION = {"FusedActivationFunction": 0}


def close_leaky_relu(operator: Operator, model: Model) -> None:
    """LEAKY_RELU itself."""
    fields = {"Alpha": float(operator.attributes["alpha"])}  # type: ignore[arg-type]
    model.add("LEAKY_RELU", operator.inputs[:1], operator.outputs[0], "LeakyReluOptions", fields)


def equal_leaky_relu(operator: Operator, model: Model) -> None:
    """Both parts with factors of their own, and their sum, of which one part is always zero."""
    name, data, (output,) = operator.name, operator.inputs[0], operator.outputs
    source, target = model.tensors[data], model.tensors[output]
    assert source.quantization is not None and target.quantization is not None
    zero, offset, dtype = source.quantization.zero_point, target.quantization.zero_point, source.dtype
    before, after = (np.float32(item.scale[0]) for item in (source.quantization, target.quantization))
    alpha = np.float32(operator.attributes["alpha"])  # type: ignore[arg-type]
    factors = {"above": before / after, "below": before * alpha / after}
    unit = Quantization((1.0,), offset)

    def tensor(part: str, scale: Quantization) -> str:
        return model.tensor(f"{name}.{part}", source.shape, dtype, scale)

    def limit(builtin: str, values: str, bound: int, result: str) -> str:
        bounds = model.constant(f"{result}.bound", np.array([bound], dtype), source.quantization)
        return model.add(builtin, (values, bounds), result, "MaximumMinimumOptions")

    parts = []
    for part, builtin in (("above", "MAXIMUM"), ("below", "MINIMUM")):
        if factors[part] > 0:
            scaled = Quantization((float(factors[part]),), zero)
            half = limit(builtin, data, zero, tensor(part, scaled))
            parts.append(model.add("QUANTIZE", (half,), tensor(f"{part}.q", unit), "QuantizeOptions"))
    if len(parts) == 2:
        parts = [model.add("ADD", parts, tensor("sum", unit), "AddOptions", NO_ACTIVATION)]
    limit("MAXIMUM", parts[0], INTEGER_RANGE[dtype][0], output)
