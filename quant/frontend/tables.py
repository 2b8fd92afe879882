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
    window and, read at even places, the quarter wave of the twiddle factors.
    log2: [129] Q20, log2(1 + i / 128). exp2: [129] Q24, 2 ** (i / 128).
    """

    sine: np.ndarray
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
    """The real values of the three tables, scaled but not rounded, by name."""
    segments = 2**SEGMENT_BITS
    return {
        "sine": [2.0**31 * math.sin(math.pi * n / window) for n in range(window // 2 + 1)],
        "log2": [2.0**LOG2_BITS * math.log2(1 + i / segments) for i in range(segments + 1)],
        "exp2": [2.0**EXP2_BITS * 2.0 ** (i / segments) for i in range(segments + 1)],
    }


@lru_cache(maxsize=16)
def front_end_tables(config: FrontEnd) -> FrontEndTables:
    """The tables of ``config``. The value 1.0 in Q31 is cut to 2^31 - 1."""
    arrays = {}
    for name, values in exact_tables(config.window).items():
        arrays[name] = np.array([min(round(value), Q31_MAX) for value in values], dtype=np.int32)
        arrays[name].flags.writeable = False
    return FrontEndTables(**arrays)


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
    state = 2 * config.latency + 4 * config.latency + 4
    return FrontEndMemory(state=state, spectrum=4 * config.window, scratch=0, alignment=STATE_ALIGNMENT)


def c_tables(config: FrontEnd) -> dict[str, Any]:
    """The context of ``tinydsn_frontend_tables.{c,h}.j2``.

    Holds ``frontend`` (the FrontEnd), ``numbers``, ``memory``, and ``tables``: for each table its
    ``name``, ``comment``, ``length`` and ``rows`` (lines of C literals, at most 100 characters).
    """
    tables = front_end_tables(config)
    comments = {
        "sine": f"Q31, sin(pi n / {config.window}): half the window; even entries are the twiddles",
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
        ],
    }


def _rows(values: list[int], per_row: int = 8) -> list[str]:
    """``values`` as lines of comma-separated C literals."""
    literals = [str(value) for value in values]
    return [", ".join(literals[i : i + per_row]) for i in range(0, len(literals), per_row)]
