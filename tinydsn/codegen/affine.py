"""Sums and changes of scale of int8 in one product an input: a line, tried on all inputs.

TFLite rounds int8 sums three times and changes of scale twice. What comes out is nearly always what one
rounding of a line in 32 bits gives as well,

    result = (constant + sum of (factor * input >> 8) over the inputs) >> shift

An int8 input has 256 values, a pair 65,536: few enough to try. The kernels round as TFLite does where no line
gives the same for all (``tinydsn_affine.h``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from quant.graph import INTEGER_RANGE, Attribute
from quant.ops.elementwise import sum_reference
from quant.ops.requantize import reference
from tinydsn.codegen.call import Request

FRACTION = {"int8": 21, "int16": 14}
"""Bits below the point of a line's value, for each type of the result: the ``shift``."""
LIMIT = 2**31
SUM = ("line", "factor1", "factor2", "constant")
SCALE = ("line", "factor", "constant")


def sum_line(request: Request, sign: int) -> Mapping[str, int]:
    """Members ``line``, ``factor1``, ``factor2`` and ``constant`` of ``tinydsn_sum_s8``, before the clamp;
    ``sign``: of the second input. All 0 where there is no line, or the core has no use for one."""
    names = [f"{name}{number}" for number in (1, 2) for name in ("offset", "multiplier", "shift")]
    names += ["left_shift", "output_offset", "output_multiplier", "output_shift"]
    if not request.target.interleaved:
        return dict.fromkeys(SUM, 0)
    return _sum_line(tuple((name, request.integer(name)) for name in names), sign)


def scale_line(request: Request) -> Mapping[str, int]:
    """Members ``line``, ``factor`` and ``constant`` of ``tinydsn_scale`` for int8 inputs, likewise. The many
    int16 inputs have no line with their coarser first rounding: there ``line`` says whether both roundings of
    an int8 result can be made from one 32-bit product each."""
    names = ("input_offset", "output_offset", "multiplier", "shift")
    if not request.target.interleaved:
        return dict.fromkeys(SCALE, 0)
    if request.input().dtype == "int16":
        fits = request.integer("input_offset") == 0 and -31 <= request.integer("shift") <= -1
        return {**dict.fromkeys(SCALE, 0), "line": int(fits and request.output.dtype == "int8")}
    return _scale_line(tuple((name, request.integer(name)) for name in names), request.output.dtype)


@lru_cache(maxsize=1024)
def _sum_line(attributes: tuple[tuple[str, int], ...], sign: int) -> Mapping[str, int]:
    values = dict(attributes)
    low, high = INTEGER_RANGE["int8"]
    wide: dict[str, Attribute] = {**values, "activation_min": low, "activation_max": high}
    every = np.arange(low, high + 1, dtype=np.int8)
    pairs = (np.repeat(every, every.size), np.tile(every, every.size))
    output = _factor(values["output_multiplier"], values["output_shift"] + values["left_shift"])
    first = output * _factor(values["multiplier1"], values["shift1"])
    second = sign * output * _factor(values["multiplier2"], values["shift2"])
    found = _line((first, second), pairs, sum_reference(sign)(wide, pairs)[0])
    return dict(zip(SUM, found or (0,) * len(SUM), strict=True))


@lru_cache(maxsize=1024)
def _scale_line(attributes: tuple[tuple[str, int], ...], target: str) -> Mapping[str, int]:
    scale = dict(attributes)
    every = np.arange(-(2**7), 2**7, dtype=np.int8)
    wide: dict[str, Attribute] = {**scale, "dtype": target}
    found = _line((_factor(scale["multiplier"], scale["shift"]),), (every,), reference(wide, (every,))[0])
    return dict(zip(SCALE, found or (0,) * len(SCALE), strict=True))


def _factor(multiplier: int, shift: int) -> Fraction:
    return Fraction(multiplier, 2**31) * Fraction(2) ** shift


def _line(
    factors: Sequence[Fraction], inputs: Sequence[np.ndarray], expected: np.ndarray
) -> tuple[int, ...] | None:
    """1, factors and constant of the line whose results are ``expected`` [n] for all int8 ``inputs`` [n], or
    None. A result at an end of its type's range may be any beyond."""
    low, high = INTEGER_RANGE[expected.dtype.name]
    fraction = FRACTION[expected.dtype.name]
    whole = [round(factor * 2 ** (fraction + 8)) for factor in factors]
    if max(abs(value) for value in whole) >= LIMIT:
        return None
    total = sum((factor * data.astype(np.int64)) >> 8 for factor, data in zip(whole, inputs, strict=True))
    wanted = expected.astype(np.int64) << fraction
    above = (wanted - total)[expected > low]
    below = (wanted + (1 << fraction) - 1 - total)[expected < high]
    least = int(above.max()) if above.size else int(below.min())
    most = int(below.min()) if below.size else least
    constant = (least + most) // 2
    if least > most or int(np.max(np.abs(total))) + abs(constant) >= LIMIT:
        return None
    return (1, *whole, constant)
