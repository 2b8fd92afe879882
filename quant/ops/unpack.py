"""unpack: bits as numbers, for operators that take none (inserted by the converter).

Integer meaning: ``one`` where the bit is set, else ``zero``, of the output's scale.
"""

from __future__ import annotations

import numpy as np

from quant import bits
from quant.graph import INTEGER_RANGE, DType, Operator
from quant.ops.base import Arrays, Attributes, OperatorDefinition, Quantized, QuantizeRequest, Slot, Slots
from quant.ops.common import integer, no_accumulator, no_macs, quantization, remake, same_shape


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning: nothing changes."""
    (data,) = inputs
    assert data is not None
    return (data,)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Bits to anything; the converter sets both sides itself."""
    return Slots((None,), (Slot(),))


def quantize(request: QuantizeRequest) -> Quantized:
    """Attributes zero, one, channels, dtype of the output."""
    output = request.outputs[0]
    scale = quantization(output)
    one = np.clip(np.round(1.0 / scale.scale[0]) + scale.zero_point, *INTEGER_RANGE[output.dtype])
    values = {"zero": scale.zero_point, "one": int(one)}
    return remake(request, {**values, "channels": output.shape[-1], "dtype": output.dtype})


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    (data,) = inputs
    assert data is not None
    taken = bits.unpack(data, integer(attributes, "channels")) != 0
    values = np.where(taken, integer(attributes, "one"), integer(attributes, "zero"))
    return (values.astype(str(attributes["dtype"])),)


DEFINITION = OperatorDefinition(
    kind="unpack",
    summary="bits as numbers (inserted by the converter)",
    infer=same_shape,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
)
