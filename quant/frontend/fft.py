"""The front end's complex FFT in NumPy integers.

Passes over four points, behind a first one over two where the number of points is no power of four; points
are turned before they are added (decimation in time). The first pass only adds. In all others a turn halves
(each product of Q31 keeps its upper word, rounded), and the point that is not turned is shifted right by one.
"""

from __future__ import annotations

import numpy as np


class ComplexFft:
    """The FFT of ``2 ** bits`` points, either way divided by two in each pass but the first.

    turns: [6 points / 4], see ``FrontEndTables``. Points are int64 [2, points], real and imaginary parts.
    """

    def __init__(self, bits: int, turns: np.ndarray) -> None:
        self.points = 1 << bits
        self._order = reversed_order(bits)
        self._first = 2 if bits % 2 else 4
        # [cosine or sine, angle, of one to three times the angle]
        angles = turns.astype(np.int64).reshape(-1, 3, 2).transpose(2, 0, 1)
        reverse = reversed_order(bits - 2)
        sizes = [self._first * 4**i for i in range((bits - 1) // 2)]
        # A block's turn forth; a place's turn back.
        self._forth = [angles[:, reverse[:blocks], :, None].copy() for blocks in sizes]
        self._back = [
            angles[:, :: self.points // 4 // length, [1, 0, 2]].transpose(0, 2, 1)[:, None].copy()
            for length in sizes
        ]

    def forward(self, samples: np.ndarray) -> np.ndarray:
        """Lines from samples, both in their order."""
        x = _added(samples.reshape(2, 1, self._first, -1), back=False)
        for turns in self._forth:
            x = _added(_turned(x.reshape(2, turns.shape[1], 4, -1), turns, back=False), back=False)
        return x.reshape(2, -1)[:, self._order]

    def inverse(self, lines: np.ndarray) -> np.ndarray:
        """Samples from lines, both in their order."""
        x = _added(lines[:, self._order].reshape(2, -1, self._first, 1), back=True)
        for turns in self._back:
            x = _added(_turned(x.reshape(2, -1, 4, turns.shape[-1]), turns, back=True), back=True)
        return x.reshape(2, -1)


def reversed_order(bits: int) -> np.ndarray:
    """The numbers below ``2 ** bits`` whose bits are 0, 1, 2, ... in reverse order."""
    order = np.zeros(1, dtype=np.int64)
    for _ in range(bits):
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def turned(re: np.ndarray, im: np.ndarray, turn: np.ndarray, back: bool) -> tuple[np.ndarray, np.ndarray]:
    """Half of points turned by Q31 (cosine, sine), clockwise unless ``back``; each product is rounded."""
    cosine, sine = turn
    a, b, c, d = re * cosine, im * sine, im * cosine, re * sine
    if back:
        np.negative(b, out=b)
    else:
        np.negative(d, out=d)
    for product in (a, b, c, d):
        product += 1 << 31
        product >>= 32
    a += b
    c += d
    return a, c


def _turned(x: np.ndarray, turns: np.ndarray, back: bool) -> np.ndarray:
    """Half of four points [2, blocks, 4, places], all but the first turned."""
    y = np.empty_like(x)
    y[:, :, 0] = x[:, :, 0] >> 1
    y[0, :, 1:], y[1, :, 1:] = turned(x[0, :, 1:], x[1, :, 1:], turns, back)
    return y


def _added(x: np.ndarray, back: bool) -> np.ndarray:
    """The FFT of two or four points [2, blocks, 2 or 4, places].

    Forth, points are in their order and the sums in that of their reversed bits; back, the other way round.
    """
    y = np.empty_like(x)
    if x.shape[2] == 2:
        np.add(x[:, :, 0], x[:, :, 1], out=y[:, :, 0])
        np.subtract(x[:, :, 0], x[:, :, 1], out=y[:, :, 1])
        return y
    b, c = (2, 1) if back else (1, 2)
    ac, a_c = x[:, :, 0] + x[:, :, c], x[:, :, 0] - x[:, :, c]
    bd, b_d = x[:, :, b] + x[:, :, 3], x[:, :, b] - x[:, :, 3]
    np.add(ac, bd, out=y[:, :, 0])
    np.subtract(ac, bd, out=y[:, :, b])
    # A quarter of a turn more, and one less.
    plus, minus = (1, 3) if back else (3, 2)
    np.subtract(a_c[0], b_d[1], out=y[0, :, plus])
    np.add(a_c[1], b_d[0], out=y[1, :, plus])
    np.add(a_c[0], b_d[1], out=y[0, :, minus])
    np.subtract(a_c[1], b_d[0], out=y[1, :, minus])
    return y
