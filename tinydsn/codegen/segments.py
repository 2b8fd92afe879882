"""Tables of segments: interpolation by one word and one SMLAD (``tinydsn_segments.h``)."""

from __future__ import annotations

import numpy as np

SEGMENTS = 512


def pack_segments(points: np.ndarray) -> np.ndarray:
    """uint32 [512] from the 513 values of a function; all slopes and values within int16, none -32768.

    The upper half of word i is the slope ``points[i + 1] - points[i]``, the lower half the negative of the
    value at that end of the segment which has an even index.
    """
    values = points.astype(np.int64)
    slope = values[1:] - values[:-1]
    odd = np.arange(SEGMENTS) % 2
    end = np.where(odd, values[1:], values[:-1])
    if max(np.max(np.abs(slope)), np.max(np.abs(end))) > 32767:
        raise ValueError("a table with steps or values beyond 32767 has no segments")
    return (((slope & 0xFFFF) << 16) | (-end & 0xFFFF)).astype(np.uint32)
