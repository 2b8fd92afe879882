"""How constant matrices lie in flash for each core: the one place that packs weights and scales.

The kernels that read them: ``tinydsn_dot_s16.h`` (interleaved: cores with SXTB16 and SMLAD),
``tinydsn_rows_mve.h``, ``tinydsn_rows_c.h``.

=============  ========================================================================================
interleaved    8 bits: fours of columns, those of two channels alternating, [N/2][K/4][2][4]; an odd last
               channel alone. A four is in the order 0 2 1 3 for int16 activations (SXTB16 takes bytes 0
               and 2) and in natural order for int8 ones, which are widened in the order 0 2 1 3. 4 bits:
               words of eight columns in the same places; nibbles j and j + 4 are the columns of pair j.
MVE            8 bits: natural order. 4 bits: blocks of 16 columns (int16) or 32 (int8), the first half in
               the lower nibbles.
plain          8 bits: natural order. 4 bits: columns 2j and 2j + 1 in byte j, the even one lower.
=============  ========================================================================================

A 4-bit weight w is stored as w + 8, without sign.
"""

from __future__ import annotations

import numpy as np

from tinydsn.codegen.call import CodeTarget

ORDERS = {True: [0, 2, 1, 3], False: [0, 1, 2, 3]}
"""Columns of a stored four, for int16 activations and for int8 ones."""
PAIRS = {
    True: [(0, 1), (2, 3), (4, 5), (6, 7)],
    False: [(0, 2), (1, 3), (4, 6), (5, 7)],
}
"""Columns that meet one pair of activations, in the order of the pairs."""
NIBBLE_BIAS = 8


def whole_columns(columns: int, bits: int, target: CodeTarget) -> int:
    """``columns`` rounded up to the words that interleaved kernels read; as they are for other cores."""
    word = 32 // bits
    return -(-columns // word) * word if target.interleaved else columns


def pack_weights(rows: np.ndarray, bits: int, wide: bool, target: CodeTarget) -> np.ndarray:
    """Weights [N, K] of 8 or 4 ``bits`` as int8 [bytes]; ``wide``: for int16 activations."""
    if bits == 8:
        packed = _interleaved_fours(rows, wide) if target.interleaved else rows.reshape(-1)
        return packed.astype(np.int8)
    biased = rows + NIBBLE_BIAS
    if target.interleaved:
        words = _interleaved_eights(biased, wide)
    elif target.mve:
        words = _halves(biased, 16 if wide else 32)
    else:
        words = _halves(biased, 2)
    return words.astype(np.uint8).view(np.int8)


def pack_depthwise(taps: np.ndarray, wide: bool, target: CodeTarget) -> np.ndarray:
    """Weights [taps, N] of a depthwise convolution as int8 [bytes]: by four channels, [N/4][taps][4], then
    [taps][N % 4]. Interleaved: int16 elements, for int8 activations doubled (as their bias must be) and four
    channels in the order 0 2 1 3.
    """
    count, channels = taps.shape
    whole = channels // 4 * 4
    fours = taps[:, :whole].reshape(count, -1, 4).swapaxes(0, 1)
    if target.interleaved and not wide:
        fours = fours[:, :, [0, 2, 1, 3]]
    flat = np.concatenate([fours.reshape(-1), taps[:, whole:].reshape(-1)])
    flat = 2 * flat if target.interleaved and not wide else flat
    return flat.astype("<i2").view(np.int8) if target.interleaved else flat.astype(np.int8)


def pack_scales(
    bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, narrow: bool, target: CodeTarget
) -> np.ndarray:
    """int32 [3 N]: bias, multiplier and shift of each channel; by fours with MVE, [N/4][3][4], where the
    shift is negative and complete (``narrow``, int8 results: ``shift`` leaves out the last bit)."""
    triples = np.stack([bias, multiplier, shift], axis=1)
    if not target.mve:
        return triples.reshape(-1).astype(np.int32)
    whole = len(triples) // 4 * 4
    fours = triples[:whole].copy()
    fours[:, 2] = -(fours[:, 2] + int(narrow))
    fours = fours.reshape(-1, 4, 3).transpose(0, 2, 1)
    return np.concatenate([fours.reshape(-1), triples[whole:].reshape(-1)]).astype(np.int32)


def _alternate(words: np.ndarray) -> np.ndarray:
    """[N, words, ...] with the words of two channels alternating; an odd last channel at the end."""
    even = len(words) // 2 * 2
    pairs = words[:even].reshape(even // 2, 2, *words.shape[1:]).swapaxes(1, 2)
    return np.concatenate([pairs.reshape(-1), words[even:].reshape(-1)])


def _padded(rows: np.ndarray, multiple: int, value: int) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % multiple)), constant_values=value)


def _interleaved_fours(rows: np.ndarray, wide: bool) -> np.ndarray:
    fours = _padded(rows, 4, 0).reshape(len(rows), -1, 4)
    return _alternate(fours[:, :, ORDERS[wide]])


def _interleaved_eights(biased: np.ndarray, wide: bool) -> np.ndarray:
    """Bytes of little-endian words; nibbles j and j + 4 of a word are the columns of pair j."""
    eights = _padded(biased, 8, NIBBLE_BIAS).reshape(len(biased), -1, 8)
    order = [first for first, _ in PAIRS[wide]] + [second for _, second in PAIRS[wide]]
    nibbles = eights[:, :, order]
    return _alternate(nibbles[..., 0::2] + 16 * nibbles[..., 1::2])


def _halves(biased: np.ndarray, block: int) -> np.ndarray:
    """Bytes of blocks of columns, the first half of a block in the lower nibbles."""
    blocks = _padded(biased, block, NIBBLE_BIAS).reshape(len(biased), -1, 2, block // 2)
    return (blocks[:, :, 0] + 16 * blocks[:, :, 1]).reshape(-1)
