"""table in TFLite's operators, bit for bit.

int8: ``table[x + 128]`` as CAST, ADD, GATHER. int16: ``t[i] + (((t[i + 1] - t[i]) * f + 64) >> 7)`` with
``i = 256 + (x >> 7)`` and ``f = x & 127`` in float32, which holds all of these integers exactly (the product
has at most 24 bits); a shift is a multiplication by 1/128 and FLOOR.
"""

from __future__ import annotations

import numpy as np

from quant.graph import Operator
from quant.tflite.model import Model

NO_ACTIVATION = {"FusedActivationFunction": 0}
STEP = 128
"""int16 values between two entries."""


def table(operator: Operator, model: Model) -> None:
    """Steps for one function of one variable."""
    data, values = operator.inputs
    entries = model.constants.pop(values)
    del model.tensors[values]
    if model.tensors[data].dtype == "int8":
        _narrow(operator, model, entries)
    else:
        _wide(operator, model, entries)


def _narrow(operator: Operator, model: Model, entries: np.ndarray) -> None:
    name, (data, _), (output,) = operator.name, operator.inputs, operator.outputs
    shape, target = model.tensors[data].shape, model.tensors[output].quantization
    number = model.add("CAST", (data,), model.tensor(f"{name}.number", shape, "int32"), "CastOptions")
    middle = model.constant(f"{name}.middle", np.array([STEP], np.int32))
    index = model.tensor(f"{name}.index", shape, "int32")
    model.add("ADD", (number, middle), index, "AddOptions", NO_ACTIVATION)
    rows = model.constant(f"{name}.rows", entries, target)
    model.add("GATHER", (rows, index), output, "GatherOptions", {"Axis": 0})


def _wide(operator: Operator, model: Model, entries: np.ndarray) -> None:
    name, (data, _), (output,) = operator.name, operator.inputs, operator.outputs
    shape = model.tensors[data].shape
    wide = entries.astype(np.float32)

    def real(result: str) -> str:
        return model.tensor(f"{name}.{result}", shape, "float32")

    def number(result: str, value: float) -> str:
        return model.constant(f"{name}.{result}", np.array([value], np.float32))

    def binary(builtin: str, one: str, two: str, result: str) -> str:
        return model.add(builtin, (one, two), real(result), f"{builtin.title()}Options", NO_ACTIVATION)

    step, part = number("step", STEP), number("part", 1 / STEP)
    value = model.add("CAST", (data,), real("value"), "CastOptions")
    whole = model.add("FLOOR", (binary("MUL", value, part, "steps"),), real("whole"))
    within = binary("SUB", value, binary("MUL", whole, step, "below"), "within")
    place = binary("ADD", whole, number("middle", 256), "place")
    index = model.add("CAST", (place,), model.tensor(f"{name}.index", shape, "int32"), "CastOptions")
    bases = model.constant(f"{name}.bases", wide[:-1])
    slopes = model.constant(f"{name}.slopes", np.diff(wide))
    base = model.add("GATHER", (bases, index), real("base"), "GatherOptions", {"Axis": 0})
    slope = model.add("GATHER", (slopes, index), real("slope"), "GatherOptions", {"Axis": 0})
    rise = binary("ADD", binary("MUL", slope, within, "product"), number("half", STEP / 2), "raised")
    rounded = model.add("FLOOR", (binary("MUL", rise, part, "quotient"),), real("rise"))
    model.add("CAST", (binary("ADD", base, rounded, "result"),), output, "CastOptions")
