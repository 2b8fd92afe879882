"""The constant tables and sizes of the fixed-point front end, for the reference and for generated C.

Every entry is rounded once from a real number. No entry lies so near to a tie that two C libraries
could round it differently (a unit test measures the distance), so each machine gets the same integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from quant.frontend.config import FrontEnd

SEGMENT_BITS = 6  # log2 of the number of interpolated segments of the compression curve
CURVE_BITS = 24  # fraction bits of the curve's values in (0, 1]
POWER_BITS = 64  # a line's power is a word of this width; its leading zeros choose the gain
Q31_MAX = 2**31 - 1
STATE_ALIGNMENT = 4


@dataclass(frozen=True)
class FrontEndTables:
    """Constant arrays; all are int32 and read-only.

    analysis_weights, synthesis_weights: [window / 2 + 1], the rising half of the square-root Hann window,
    sin(pi n / window), in Q(``window_bits``) and, divided by overlap / 2, in Q31. turns: [6 points / 4] Q31,
    all even: the FFT's factors for passes over four points (points = window / 2): (cosine, sine) of one, two
    and three times 2 pi j / points. line_turns: [2 (window / 4 - 1)] Q31, (cosine, sine) of 2 pi k / window,
    which make lines of a real signal from those of a complex one, by the line's place. gains: [65], what a
    line's compressed mantissa is multiplied by, by the leading zeros of its power. curve: [2 * 64], values
    Q24 and slopes of (mantissa / 2^32) ** (compression / 2), where a mantissa in [2^31, 2^32) is taken as a
    signed word.
    """

    analysis_weights: np.ndarray
    synthesis_weights: np.ndarray
    turns: np.ndarray
    line_turns: np.ndarray
    gains: np.ndarray
    curve: np.ndarray


@dataclass(frozen=True)
class FrontEndNumbers:
    """Scalar constants derived from a configuration.

    fft_bits: log2 of the complex FFT's points. halvings: its passes that divide by two, all but the first.
    window_bits: fraction bits of the analysis window; a spectrum line in which all samples add up stays
    below 2^30.4. accumulator_bits: fraction bits of the overlap-add, in units of one int16 step.
    can_saturate: 1 where a feature may come out above 32767, else 0.
    """

    fft_bits: int
    halvings: int
    window_bits: int
    accumulator_bits: int
    can_saturate: int


@dataclass(frozen=True)
class FrontEndMemory:
    """Bytes that generated C needs.

    state lives as long as the context; spectrum is written by analysis, must survive the network, and
    is destroyed by synthesis; scratch is free between the calls (none is needed: both transforms work
    in place in the spectrum). alignment holds for all three.
    """

    state: int
    spectrum: int
    scratch: int
    alignment: int


def front_end_numbers(config: FrontEnd) -> FrontEndNumbers:
    """The scalar constants of ``config``."""
    fft_bits = (config.window // 2).bit_length() - 1
    halvings = (fft_bits - 1) // 2
    return FrontEndNumbers(
        fft_bits=fft_bits,
        halvings=halvings,
        window_bits=31 + halvings - fft_bits,
        accumulator_bits=13 - halvings,
        can_saturate=int(config.window**config.compression * 2**config.feature_fraction_bits >= 32767),
    )


def exact_tables(config: FrontEnd) -> dict[str, list[float]]:
    """The real values behind the tables, by name: those of ``turns`` halved, of ``curve`` its knots."""
    window, numbers = config.window, front_end_numbers(config)
    points, half = window // 2, config.compression / 2
    sine = [math.sin(math.pi * n / window) for n in range(points + 1)]
    angles = [(factor * j, points) for j in range(points // 4) for factor in (1, 2, 3)]
    lines = [(_reversed(place, numbers.fft_bits), window) for place in range(2, points, 2)]
    # A line stands 2 ** (31 - log2 window) above its real value; its power is mantissa * 2 ** (32 - zeros).
    exponents = [(2 * numbers.fft_bits + 4 - zeros) * half for zeros in range(POWER_BITS)]
    scale = config.feature_fraction_bits + 32 - CURVE_BITS
    segments = 2**SEGMENT_BITS
    return {
        "analysis_weights": [2.0**numbers.window_bits * value for value in sine],
        "synthesis_weights": [2.0**32 / config.overlap * value for value in sine],
        "turns": [2.0**30 * part for angle in angles for part in _turn(*angle)],
        "line_turns": [2.0**31 * part for angle in lines for part in _turn(*angle)],
        "gains": [2.0 ** (scale + exponent) for exponent in exponents] + [0.0],
        "curve": [2.0**CURVE_BITS * (0.5 + i / segments / 2) ** half for i in range(segments + 1)],
    }


def _turn(index: int, points: int) -> tuple[float, float]:
    """Cosine and sine of ``index`` parts of a circle of ``points``, exact on the axes."""
    quarters, rest = divmod(4 * index, points)
    if rest == 0:
        return ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters % 4]
    angle = 2 * math.pi * index / points
    return math.cos(angle), math.sin(angle)


def _reversed(number: int, bits: int) -> int:
    """The lower ``bits`` bits in reverse order."""
    return sum((number >> bit & 1) << (bits - 1 - bit) for bit in range(bits))


@lru_cache(maxsize=16)
def front_end_tables(config: FrontEnd) -> FrontEndTables:
    """The tables of ``config``."""
    arrays = {
        name: np.array([min(round(value), Q31_MAX) for value in values], dtype=np.int64)
        for name, values in exact_tables(config).items()
    }
    arrays["turns"] = 2 * np.minimum(arrays["turns"], 2**30 - 1)
    arrays["curve"] = _curve(arrays["curve"])
    words = {name: array.astype(np.int32) for name, array in arrays.items()}
    for array in words.values():
        array.flags.writeable = False
    return FrontEndTables(**words)


def _curve(knots: np.ndarray) -> np.ndarray:
    """What gives ``value + (slope * mantissa >> 32)`` between neighbouring knots, value and slope in turn.

    The mantissa is signed: 2^32 less than it is. The lines meet at the knots, so that the curve never falls.
    """
    segments = len(knots) - 1
    slopes = np.diff(knots) << (SEGMENT_BITS + 1)
    starts = -(2**31) + (np.arange(segments) << (31 - SEGMENT_BITS))
    return np.stack([knots[:-1] - (starts * slopes >> 32), slopes], axis=1).reshape(-1)


def front_end_memory(config: FrontEnd) -> FrontEndMemory:
    """Bytes of state, spectrum and scratch in generated C for ``config``."""
    state = 2 * config.past + 4 * config.past
    return FrontEndMemory(state=state, spectrum=4 * config.window, scratch=0, alignment=STATE_ALIGNMENT)


def c_tables(config: FrontEnd) -> dict[str, Any]:
    """The context of ``tinydsn_frontend_tables.{c,h}.j2``.

    Holds ``frontend`` (the FrontEnd), ``numbers``, ``memory``, and ``tables``: for each table its
    ``name``, ``comment``, ``length`` and ``rows`` (lines of C literals, at most 100 characters).
    """
    tables, numbers = front_end_tables(config), front_end_numbers(config)
    comments = {
        "analysis_weights": f"Q{numbers.window_bits}, sin(pi n / {config.window}): half the window",
        "synthesis_weights": f"Q31, the same times {2 / config.overlap:g}",
        "turns": "Q31, cosine and sine of one, two and three times an angle: FFT passes over four points",
        "line_turns": "Q31, cosine and sine for making the lines of a real signal, by the line's place",
        "gains": "what a compressed mantissa is multiplied by, by the leading zeros of the power",
        "curve": f"Q{CURVE_BITS} values and slopes of mantissa ** {config.compression / 2:g}",
    }
    return {
        "frontend": config,
        "numbers": numbers,
        "memory": front_end_memory(config),
        "tables": [
            {"name": name, "comment": comment, "length": len(values), "rows": _rows(values)}
            for name, comment in comments.items()
            for values in [getattr(tables, name).tolist()]
        ],
    }


def _rows(values: list[int], per_row: int = 8) -> list[str]:
    """``values`` as lines of comma-separated C literals."""
    literals = [str(value) for value in values]
    return [", ".join(literals[i : i + per_row]) for i in range(0, len(literals), per_row)]
