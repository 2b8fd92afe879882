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

LOG2_BITS = 20  # fraction bits of base-2 logarithms
EXP2_BITS = 24  # fraction bits of the exp2 table's values in [1, 2]
SEGMENT_BITS = 7  # log2 of the number of interpolated segments in either table
ACCUMULATOR_BITS = 8  # fraction bits of overlap-add, in units of one int16 step
FRAME_BITS = 30  # the normalised frame has magnitudes up to 2 ** FRAME_BITS, one guard bit for the FFT
MASK_SHIFT = 17  # Q31 * Q15 goes back to Q31 with two guard bits for the inverse split and FFT
MASKED_BITS = 29  # masked lines are shifted up to magnitudes below 2 ** 29
Q31_MAX = 2**31 - 1
STATE_ALIGNMENT = 4


@dataclass(frozen=True)
class FrontEndTables:
    """Constant arrays; all are int32 and read-only.

    sine: [window / 2 + 1] Q31, sin(pi n / window). It is the rising half of the square-root Hann
    window and, read at even places, the quarter wave of the twiddle factors that make lines of a real
    signal from those of a complex one. line_turns: [2 (window / 4 - 1)] these factors, (cosine, sine), in the
    order in which C needs them. turns: [6 points / 4] Q31, the FFT's own factors for passes over four
    points (points = window / 2, or window / 4 where that is no power of four): (cosine, sine) of one, two and
    three times 2 pi j / points. half_turns: [window / 2], those of the first pass over two points, where
    there is one, else empty. log2: [129] Q20, log2(1 + i / 128). exp2: [129] Q24, 2 ** (i / 128).
    """

    sine: np.ndarray
    line_turns: np.ndarray
    turns: np.ndarray
    half_turns: np.ndarray
    log2: np.ndarray
    exp2: np.ndarray


@dataclass(frozen=True)
class FrontEndNumbers:
    """Scalar constants derived from a configuration.

    fft_bits: log2 of the complex FFT's length, by which CMSIS-DSP scales its result down.
    half_compression: Q31, compression / 2 (the half turns power into amplitude).
    feature_offset: Q20, log2 of the feature scale. synthesis_shift: right shift that brings a windowed
    output sample (Q31 * Q31) of a frame with no headroom to the accumulator's format.
    """

    fft_bits: int
    half_compression: int
    feature_offset: int
    synthesis_shift: int


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


def exact_tables(window: int) -> dict[str, list[float]]:
    """The real values of the tables, scaled but not rounded, by name; those of `line_turns` are in `sine`."""
    segments = 2**SEGMENT_BITS
    points = window // 2
    odd = points.bit_length() % 2 == 0
    block = points // 2 if odd else points
    fourths = [(factor * j, block) for j in range(block // 4) for factor in (1, 2, 3)]
    halves = [(j, points) for j in range(points // 2)] if odd else []
    return {
        "sine": [2.0**31 * math.sin(math.pi * n / window) for n in range(window // 2 + 1)],
        "turns": [value for turn in fourths for value in _turn(*turn)],
        "half_turns": [value for turn in halves for value in _turn(*turn)],
        "log2": [2.0**LOG2_BITS * math.log2(1 + i / segments) for i in range(segments + 1)],
        "exp2": [2.0**EXP2_BITS * 2.0 ** (i / segments) for i in range(segments + 1)],
    }


def _turn(index: int, points: int) -> tuple[float, float]:
    """Cosine and sine of ``index`` parts of a circle of ``points``, scaled to 2^31, exact on the axes."""
    eighths, rest = divmod(8 * index, points)
    if rest == 0 and eighths % 2 == 0:
        cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[eighths // 2 % 4]
        return 2.0**31 * cosine, 2.0**31 * sine
    angle = 2 * math.pi * index / points
    return 2.0**31 * math.cos(angle), 2.0**31 * math.sin(angle)


def rounded(name: str, value: float) -> int:
    """An entry of a table as an integer. The value 1.0 in Q31 is cut to 2^31 - 1.

    CMSIS-DSP's factors (``twiddleCoef_*_q31``) were rounded down after an addition of 0.05.
    """
    fft = name in ("turns", "half_turns")
    return min(math.floor(value + 0.05) if fft else round(value), Q31_MAX)


@lru_cache(maxsize=16)
def front_end_tables(config: FrontEnd) -> FrontEndTables:
    """The tables of ``config``."""
    arrays = {
        name: np.array([rounded(name, value) for value in values], dtype=np.int32)
        for name, values in exact_tables(config.window).items()
    }
    arrays["line_turns"] = _line_turns(arrays["sine"])
    for array in arrays.values():
        array.flags.writeable = False
    return FrontEndTables(**arrays)


def _line_turns(sine: np.ndarray) -> np.ndarray:
    """(cosine, sine) of lines 1 to lines / 2 - 1 by the line's place: its bits in reverse order."""
    lines = len(sine) - 1
    bits = lines.bit_length() - 1
    places = np.arange(2, lines, 2)
    line = sum((places >> bit & 1) << (bits - 1 - bit) for bit in range(bits))
    return np.stack([sine[lines - 2 * line], sine[2 * line]], axis=1).reshape(-1)


def front_end_numbers(config: FrontEnd) -> FrontEndNumbers:
    """The scalar constants of ``config``."""
    fft_bits = (config.window // 2).bit_length() - 1
    overlap_bits = config.overlap.bit_length() - 1
    # A masked line stands 2 ** (FRAME_BITS - 2) / length above its real value, a window sample 2 ** 31,
    # the accumulator 2 ** (15 + ACCUMULATOR_BITS); overlap / 2 is what the windows sum to.
    masked_scale = FRAME_BITS - (MASK_SHIFT - 15) - fft_bits
    return FrontEndNumbers(
        fft_bits=fft_bits,
        half_compression=round(config.compression * 2**30),
        feature_offset=config.feature_fraction_bits << LOG2_BITS,
        synthesis_shift=31 + masked_scale - (15 + ACCUMULATOR_BITS) + overlap_bits - 1,
    )


def front_end_memory(config: FrontEnd) -> FrontEndMemory:
    """Bytes of state, spectrum and scratch in generated C for ``config``."""
    state = 2 * config.latency + 4 * config.latency + 4 * (config.overlap - 1) + 4
    return FrontEndMemory(state=state, spectrum=4 * config.window, scratch=0, alignment=STATE_ALIGNMENT)


def c_tables(config: FrontEnd) -> dict[str, Any]:
    """The context of ``tinydsn_frontend_tables.{c,h}.j2``.

    Holds ``frontend`` (the FrontEnd), ``numbers``, ``memory``, and ``tables``: for each table its
    ``name``, ``comment``, ``length`` and ``rows`` (lines of C literals, at most 100 characters).
    """
    tables = front_end_tables(config)
    comments = {
        "sine": f"Q31, sin(pi n / {config.window}): half the window",
        "line_turns": "Q31, cosine and sine for making the lines of a real signal, by the line's place",
        "turns": "Q31, cosine and sine of one, two and three times an angle: FFT passes over four points",
        "half_turns": "Q31, cosine and sine: the FFT's pass over two points",
        "log2": f"Q{LOG2_BITS}, log2(1 + i / {2**SEGMENT_BITS})",
        "exp2": f"Q{EXP2_BITS}, 2 ** (i / {2**SEGMENT_BITS})",
    }
    return {
        "frontend": config,
        "numbers": front_end_numbers(config),
        "memory": front_end_memory(config),
        "tables": [
            {"name": name, "comment": comment, "length": len(values), "rows": _rows(values)}
            for name, comment in comments.items()
            for values in [getattr(tables, name).tolist()]
            if values
        ],
    }


def _rows(values: list[int], per_row: int = 8) -> list[str]:
    """``values`` as lines of comma-separated C literals."""
    literals = [str(value) for value in values]
    return [", ".join(literals[i : i + per_row]) for i in range(0, len(literals), per_row)]
