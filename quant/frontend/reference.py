"""The front end in NumPy integers, equal bit for bit to ``tinydsn_frontend.c``.

All is int64 arithmetic that fits int32 or int64 in C. Numbers have fixed places: samples of 16 bits leave
enough of a word's 32 bits that no sum can overflow and that all rounding lies far below the last bit of the
output. Of a window of 512 samples, windowed samples have ten fraction bits (in units of one int16 step), the
spectrum seven, the masked spectrum six, and output samples eleven, then ten.
"""

from __future__ import annotations

import numpy as np

from quant.errors import ConfigError
from quant.frontend.config import FrontEnd
from quant.frontend.fft import ComplexFft, reversed_order, turned
from quant.frontend.tables import (
    POWER_BITS,
    SEGMENT_BITS,
    FrontEndTables,
    front_end_numbers,
    front_end_tables,
)

_POWERS_OF_TWO = np.uint64(1) << np.arange(64, dtype=np.uint64)


class FrontEndReference:
    """A streaming front end with its state: analysis of a hop, then synthesis of its masked spectrum.

    With several channels the same spectrum is masked and synthesised once for each.
    """

    def __init__(self, config: FrontEnd) -> None:
        self.config = config
        self.tables: FrontEndTables = front_end_tables(config)
        self.numbers = front_end_numbers(config)
        self._fft = ComplexFft(self.numbers.fft_bits, self.tables.turns)
        self._analysis = _whole(self.tables.analysis_weights)
        self._synthesis = _whole(self.tables.synthesis_weights)
        self._line_turns = _in_order(self.tables.line_turns, config.window)
        self._curve = self.tables.curve.astype(np.int64).reshape(-1, 2).T
        self._gains = self.tables.gains.astype(np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget all past samples."""
        self.history = np.zeros(self.config.past, dtype=np.int16)
        self._half = 1 << (self.numbers.accumulator_bits - 1)
        self.overlap = np.full((self.config.channels, self.config.past), self._half, dtype=np.int64)
        self.spectrum = np.zeros((2, self.config.window // 2), dtype=np.int64)

    def analysis(self, pcm_hop: np.ndarray) -> np.ndarray:
        """Features of the window that ends with ``pcm_hop``: int16 [bins], scale 2 ** -feature_fraction_bits.

        pcm_hop: int16 [hop]. Keeps the spectrum for ``synthesis``: real and imaginary parts of the lines,
        with the Nyquist line in place of the imaginary part of line 0. Raises ConfigError on another shape or
        type.
        """
        _check_array("pcm_hop", pcm_hop, self.config.hop)
        frame = np.concatenate([self.history, pcm_hop])
        self.history = frame[self.config.hop :]
        windowed = (frame * self._analysis) >> 16
        self.spectrum = self._split(self._fft.forward(windowed.reshape(-1, 2).T))
        return self._features()

    def synthesis(self, mask: np.ndarray) -> np.ndarray:
        """The next output samples, int16 [hop], ``window - hop`` samples behind the input.

        mask: int16 [bins], Q15. Several channels, [channels * hop] and [channels * bins], lie one behind the
        other. Raises ConfigError on another shape or type.
        """
        _check_array("mask", mask, self.config.channels * self.config.bins)
        masks = mask.reshape(self.config.channels, -1)
        return np.concatenate([self._channel(index, own) for index, own in enumerate(masks)])

    def _channel(self, index: int, mask: np.ndarray) -> np.ndarray:
        """The next hop of one channel."""
        gains = np.stack([mask[: self.config.window // 2]] * 2)
        gains[1, 0] = mask[-1] if self.config.bins > self.config.window // 2 else 0
        samples = self._fft.inverse(self._join((self.spectrum * gains) >> 16)).T.reshape(-1)
        return self._overlap_add(index, (samples * self._synthesis + (1 << 31)) >> 32)

    def _overlap_add(self, index: int, windowed: np.ndarray) -> np.ndarray:
        """Add a window of output to the earlier ones and half a step; return the finished hop, int16."""
        hop = self.config.hop
        total = windowed + np.concatenate([self.overlap[index], np.full(hop, self._half)])
        self.overlap[index] = total[hop:]
        return np.clip(total[:hop] >> self.numbers.accumulator_bits, -32768, 32767).astype(np.int16)

    def _split(self, z: np.ndarray) -> np.ndarray:
        """Spectrum of the real frame from the complex FFT of its even and odd samples, both [2, lines].

        The middle line is the conjugate of the FFT's own.
        """
        (re, im), half = z, z.shape[1] // 2
        lines = np.empty_like(z)
        lines[:, 0] = re[0] + im[0], re[0] - im[0]
        lines[:, half] = re[half], -im[half]
        (a_re, a_im), (b_re, b_im) = z[:, 1:half], z[:, :half:-1]
        even_re, even_im = (a_re + b_re) >> 1, (a_im - b_im) >> 1
        odd_re, odd_im = turned(a_im + b_im, b_re - a_re, self._line_turns, back=False)
        lines[0, 1:half], lines[1, 1:half] = even_re + odd_re, odd_im + even_im
        lines[0, :half:-1], lines[1, :half:-1] = even_re - odd_re, odd_im - even_im
        return lines

    def _join(self, lines: np.ndarray) -> np.ndarray:
        """The inverse of ``_split``: what the inverse complex FFT takes."""
        (re, im), half = lines, lines.shape[1] // 2
        z = np.empty_like(lines)
        z[:, 0] = (re[0] + im[0]) >> 1, (re[0] - im[0]) >> 1
        z[:, half] = re[half], -im[half]
        (a_re, a_im), (b_re, b_im) = lines[:, 1:half], lines[:, :half:-1]
        even_re, even_im = (a_re + b_re) >> 1, (a_im - b_im) >> 1
        odd_re, odd_im = turned(a_re - b_re, a_im + b_im, self._line_turns, back=True)
        z[0, 1:half], z[1, 1:half] = even_re - odd_im, odd_re + even_im
        z[0, :half:-1], z[1, :half:-1] = even_re + odd_im, odd_re - even_im
        return z

    def _features(self) -> np.ndarray:
        """|X| ** compression of the kept spectrum, int16 [bins]: a mantissa's curve times a gain."""
        squares = (self.spectrum * self.spectrum).astype(np.uint64)
        power = squares[0] + squares[1]
        power[0] = squares[0, 0]
        if self.config.bins > len(power):
            power = np.append(power, squares[1, 0])
        zeros = POWER_BITS - np.searchsorted(_POWERS_OF_TWO, power, side="right")
        # The mantissa has its leading one at bit 31; the bits behind it choose the segment.
        mantissa = ((power << np.minimum(zeros, 63).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)
        start, slope = self._curve[:, (mantissa >> (31 - SEGMENT_BITS)) & (2**SEGMENT_BITS - 1)]
        value = start + ((mantissa - 2**32) * slope >> 32)
        return np.minimum((value * self._gains[zeros] + (1 << 31)) >> 32, 32767).astype(np.int16)


def _whole(rise: np.ndarray) -> np.ndarray:
    """A symmetric periodic window from its rising half, int64."""
    return np.concatenate([rise, rise[-2:0:-1]]).astype(np.int64)


def _in_order(line_turns: np.ndarray, window: int) -> np.ndarray:
    """Cosines and sines [2, window / 4 - 1] by the line's number."""
    by_place = line_turns.astype(np.int64).reshape(-1, 2)
    places = reversed_order((window // 2).bit_length() - 1)[1 : window // 4]
    return by_place[places // 2 - 1].T


def _check_array(name: str, values: np.ndarray, length: int) -> None:
    """Raise ConfigError unless ``values`` is int16 [length]."""
    if values.dtype != np.int16 or values.shape != (length,):
        raise ConfigError(
            f"front end: {name} is {values.dtype} {list(values.shape)} (must be int16 [{length}]); "
            "convert it or cut it into hops"
        )
