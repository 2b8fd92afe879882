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

A 4-bit weight w is stored as w + 8, without sign. Weights of 2, 3, 5, 6 and 7 bits (and 4, where there is no
kernel for them or its whole words would waste flash) are packed fields of the bytes for 8 bits, in the order
of that table: a matrix [N][K] takes exactly ceil(N * K * bits / 8) bytes, K rounded up to whole fours where
interleaved. Groups of channels, unpacked one after the other, are multiples of 8 channels: whole bytes.
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


def depthwise_order(taps: np.ndarray, wide: bool, target: CodeTarget) -> np.ndarray:
    """Weights [taps, N] of a depthwise convolution in their order, [taps * N]: by four channels,
    [N/4][taps][4], then [taps][N % 4]; interleaved, four channels for int8 activations in the order 0 2 1 3.
    """
    count, channels = taps.shape
    whole = channels // 4 * 4
    fours = taps[:, :whole].reshape(count, -1, 4).swapaxes(0, 1)
    if target.interleaved and not wide:
        fours = fours[:, :, [0, 2, 1, 3]]
    return np.concatenate([fours.reshape(-1), taps[:, whole:].reshape(-1)])


def pack_depthwise(taps: np.ndarray, wide: bool, target: CodeTarget) -> np.ndarray:
    """Weights [taps, N] of a depthwise convolution as int8 [bytes], in `depthwise_order`. Interleaved: int16
    elements."""
    flat = depthwise_order(taps, wide, target)
    return flat.astype("<i2").view(np.int8) if target.interleaved else flat.astype(np.int8)


def pack_fields(weights: np.ndarray, bits: int) -> np.ndarray:
    """Weights [count] of 2 to 7 ``bits`` as uint8 [ceil(count * bits / 8)].

    Blocks of 32, 8 words of 4 bytes, take ``bits`` words: parts of 4, 2 and 1 bits, the highest first, as
    many as ``bits`` needs. A part of p bits has p words, of which word i holds the block's words i, i + p,
    i + 2p, ... in fields of p bits of every byte from the lowest up (4 bits: from the highest down, so that
    the first needs no shift). The rest is one string of fields, the first in the lowest bits
    (``tinydsn_packed.h``).
    """
    codes = weights.astype(np.int64) & (2**bits - 1)
    whole = len(codes) // 32 * 32
    blocks = codes[:whole].reshape(-1, 8, 4)
    words, left = [], bits
    for part in (part for part in (4, 2, 1) if bits & part):
        left -= part
        fields = (blocks >> left) & (2**part - 1)
        places = np.arange(8) // part * part
        places = 4 - places if part == 4 else places
        moved = fields << places[:, None]
        words.append(moved.reshape(len(blocks), 8 // part, part, 4).sum(axis=1))
    packed = np.concatenate([word.reshape(len(blocks), 4 * word.shape[1]) for word in words], axis=1).reshape(
        -1
    )
    rest = (codes[whole:, None] >> np.arange(bits)) & 1
    return np.concatenate([packed, np.packbits(rest.reshape(-1), bitorder="little")]).astype(np.uint8)


def pack_scales(
    bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, narrow: bool, target: CodeTarget
) -> np.ndarray:
    """int32 [3 N]: bias, multiplier and shift of each channel; by fours with MVE, [N/4][3][4], where the
    shift is negative and complete (``narrow``, int8 results: ``shift`` leaves out the last bit). ``narrow``
    and interleaved: twice the multiplier, less 2**32, and -2**(31 - shift) (``tinydsn_finish.h``)."""
    if narrow and target.interleaved:
        multiplier, shift = 2 * multiplier, -(1 << (31 - shift))
    triples = np.stack([bias, multiplier, shift], axis=1)
    if not target.mve:
        return triples.reshape(-1).astype(np.int32)
    whole = len(triples) // 4 * 4
    fours = triples[:whole].copy()
    fours[:, 2] = -(fours[:, 2] + int(narrow))
    fours = fours.reshape(-1, 4, 3).transpose(0, 2, 1)
    return np.concatenate([fours.reshape(-1), triples[whole:].reshape(-1)]).astype(np.int32)


def pack_brief_scales(
    bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, target: CodeTarget
) -> np.ndarray:
    """int32 [2 N]: bias, and the multiplier of 15 bits above the shift (0 to 31) of each channel; by fours
    with MVE, [N/4][2][4], where the shift is negative (``tinydsn_finish.h``)."""
    pairs = np.stack([bias, multiplier << 16 | shift], axis=1)
    whole = len(pairs) // 4 * 4 if target.mve else 0
    fours = np.stack([bias, multiplier << 16 | -shift & 255], axis=1)[:whole]
    fours = fours.reshape(-1, 4, 2).transpose(0, 2, 1)
    return np.concatenate([fours.reshape(-1), pairs[whole:].reshape(-1)]).astype(np.int32)


def pack_small_scales(scales: np.ndarray, wide: bool, target: CodeTarget) -> np.ndarray:
    """uint8 [7 N] (``wide``, int16 results) or [9 N]: what `pack_scales` made, as ``tinydsn_packed.h`` stores
    it: int32 biases; int16 multipliers and int8 exponents, or int32 multipliers and int8 shifts.

    A wide multiplier is one of 15 bits, shifted left, or has a shift of its own.
    """
    triples = scales.reshape(-1, 3).astype(np.int64)
    if target.mve:
        whole = len(triples) // 4 * 4
        fours = triples[:whole].reshape(-1, 3, 4).transpose(0, 2, 1).reshape(-1, 3).copy()
        fours[:, 2] = -fours[:, 2] - int(not wide)
        triples = np.concatenate([fours, triples[whole:]])
    bias, multiplier, exponent = triples.T
    if target.interleaved and not wide:
        exponent = np.array([32 - int(-power).bit_length() for power in exponent])
    if wide:
        left = np.array([max(0, int(value).bit_length() - 15) for value in multiplier])
        multiplier, exponent = multiplier >> left, np.where(exponent, -exponent, left)
    columns = ((bias, "<i4"), (multiplier, "<i2" if wide else "<i4"), (exponent, "<i1"))
    return np.concatenate([values.astype(kind).view(np.uint8) for values, kind in columns])


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
