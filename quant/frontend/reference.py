"""The front end in NumPy integers, equal bit for bit to ``tinydsn_frontend.c``.

Both sides call CMSIS-DSP's ``arm_cfft_q31`` (here through Arm's Python wrapper over the same C); all
else is int64 arithmetic that fits int32 or int64 in C. A frame travels in block floating point: it is
shifted up by its common headroom before the FFT, and again before the inverse FFT, so that quiet speech
keeps the precision of loud speech.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from quant.errors import ConfigError, ToolchainError
from quant.frontend.config import FrontEnd
from quant.frontend.tables import (
    ACCUMULATOR_BITS,
    EXP2_BITS,
    FRAME_BITS,
    LOG2_BITS,
    MASK_SHIFT,
    MASKED_BITS,
    SEGMENT_BITS,
    FrontEndTables,
    front_end_numbers,
    front_end_tables,
)

_FFT_WITNESS = 0xB402F868  # CRC-32 of a 16-point transform by the portable C
_POWERS_OF_TWO = np.uint64(1) << np.arange(64, dtype=np.uint64)


class FrontEndReference:
    """A streaming front end with its state: analysis of a hop, then synthesis of its masked spectrum."""

    def __init__(self, config: FrontEnd) -> None:
        self.config = config
        self.tables: FrontEndTables = front_end_tables(config)
        self.numbers = front_end_numbers(config)
        self._fft = _ComplexFft(config.window // 2)
        sine = self.tables.sine.astype(np.int64)
        self._window = np.concatenate([sine, sine[-2:0:-1]])
        half = config.window // 4
        self._cosine = sine[::-2][1:half]
        self._sine = sine[2::2][: half - 1]
        self.reset()

    def reset(self) -> None:
        """Forget all past samples."""
        self.history = np.zeros(self.config.latency, dtype=np.int16)
        self.overlap = np.zeros(self.config.latency, dtype=np.int64)
        self.spectrum = np.zeros(self.config.window, dtype=np.int64)
        self.headroom = 0

    def analysis(self, pcm_hop: np.ndarray) -> np.ndarray:
        """Features of the window that ends with ``pcm_hop``: int16 [bins], scale 2 ** -feature_fraction_bits.

        pcm_hop: int16 [hop]. Keeps the spectrum for ``synthesis``. Raises ConfigError on another shape
        or type.
        """
        _check_array("pcm_hop", pcm_hop, self.config.hop)
        frame = np.concatenate([self.history, pcm_hop]).astype(np.int64)
        self.history = frame[self.config.hop :].astype(np.int16)
        self.headroom = 15 - _bit_length(frame)
        scaled = frame << (FRAME_BITS - 15 + self.headroom)
        windowed = (scaled * self._window + (1 << 30)) >> 31
        self.spectrum = self._split(self._fft.run(windowed, inverse=False))
        return self._features()

    def synthesis(self, mask: np.ndarray) -> np.ndarray:
        """The next output samples, int16 [hop], ``window - hop`` samples behind the input.

        mask: int16 [bins], Q15. Raises ConfigError on another shape or type.
        """
        _check_array("mask", mask, self.config.bins)
        masked = (self.spectrum * self._line_mask(mask) + (1 << (MASK_SHIFT - 1))) >> MASK_SHIFT
        # More than 26 bits in all would only shift what the output's rounding drops anyway.
        up = min(MASKED_BITS - _bit_length(masked), 26 - self.headroom)
        samples = self._fft.run(self._join(masked << up), inverse=True)
        shift = self.numbers.synthesis_shift + self.headroom + up
        windowed = (samples * self._window + (1 << (shift - 1))) >> shift
        return self._overlap_add(windowed)

    def _overlap_add(self, windowed: np.ndarray) -> np.ndarray:
        """Add a window of output in the accumulator's format; return the finished hop, int16."""
        hop = self.config.hop
        total = windowed.copy()
        total[: self.config.latency] += self.overlap
        self.overlap = total[hop:]
        rounded = (total[:hop] + (1 << (ACCUMULATOR_BITS - 1))) >> ACCUMULATOR_BITS
        return np.clip(rounded, -32768, 32767).astype(np.int16)

    def _line_mask(self, mask: np.ndarray) -> np.ndarray:
        """The mask laid out like the packed spectrum: DC, Nyquist, then pairs of real and imaginary part."""
        lines = np.repeat(mask[: self.config.window // 2].astype(np.int64), 2)
        has_nyquist = self.config.bins > self.config.window // 2
        lines[1] = int(mask[-1]) if has_nyquist else 0
        return lines

    def _split(self, packed: np.ndarray) -> np.ndarray:
        """Spectrum of the real frame from the complex FFT of its even and odd samples.

        Both are [window] interleaved; the result holds DC at 0 and the Nyquist line at 1. The middle
        line is the conjugate of the FFT's own.
        """
        re, im = packed[0::2], packed[1::2]
        half = len(re) // 2
        out_re, out_im = np.empty_like(re), np.empty_like(im)
        out_re[0], out_im[0] = re[0] + im[0], re[0] - im[0]
        out_re[half], out_im[half] = re[half], -im[half]
        a_re, a_im, b_re, b_im = re[1:half], im[1:half], re[:half:-1], im[:half:-1]
        even_re, even_im = (a_re + b_re) << 31, (a_im - b_im) << 31
        odd_re, odd_im = a_im + b_im, b_re - a_re
        turned_re = odd_re * self._cosine + odd_im * self._sine
        turned_im = odd_im * self._cosine - odd_re * self._sine
        out_re[1:half], out_im[1:half] = _high(even_re + turned_re), _high(even_im + turned_im)
        out_re[:half:-1], out_im[:half:-1] = _high(even_re - turned_re), _high(turned_im - even_im)
        return np.stack([out_re, out_im], axis=1).reshape(-1)

    def _join(self, spectrum: np.ndarray) -> np.ndarray:
        """The inverse of ``_split``: what the inverse complex FFT takes."""
        re, im = spectrum[0::2], spectrum[1::2]
        half = len(re) // 2
        out_re, out_im = np.empty_like(re), np.empty_like(im)
        out_re[0], out_im[0] = (re[0] + im[0] + 1) >> 1, (re[0] - im[0] + 1) >> 1
        out_re[half], out_im[half] = re[half], -im[half]
        a_re, a_im, b_re, b_im = re[1:half], im[1:half], re[:half:-1], im[:half:-1]
        even_re, even_im = (a_re + b_re) << 31, (a_im - b_im) << 31
        turned_re, turned_im = a_re - b_re, a_im + b_im
        odd_re = turned_re * self._cosine - turned_im * self._sine
        odd_im = turned_im * self._cosine + turned_re * self._sine
        out_re[1:half], out_im[1:half] = _high(even_re - odd_im), _high(even_im + odd_re)
        out_re[:half:-1], out_im[:half:-1] = _high(even_re + odd_im), _high(odd_re - even_im)
        return np.stack([out_re, out_im], axis=1).reshape(-1)

    def _features(self) -> np.ndarray:
        """|X| ** compression of the kept spectrum, int16 [bins]: log2, a multiplication, exp2."""
        squares = (self.spectrum * self.spectrum).astype(np.uint64)
        power = squares[0::2] + squares[1::2]
        power[0] = squares[0]
        if self.config.bins > len(power):
            power = np.append(power, squares[1])
        scale = 2 * (FRAME_BITS + self.headroom - self.numbers.fft_bits) << LOG2_BITS
        log_amplitude = (_log2(power, self.tables.log2) - scale) * self.numbers.half_compression
        log_feature = ((log_amplitude + (1 << 30)) >> 31) + self.numbers.feature_offset
        return np.where(power == 0, 0, _exp2(log_feature, self.tables.exp2)).astype(np.int16)


class _ComplexFft:
    """CMSIS-DSP's ``arm_cfft_q31`` of one length; both directions divide by the length."""

    def __init__(self, length: int) -> None:
        try:
            import cmsisdsp
        except ImportError as error:
            raise ToolchainError(
                f"front end: CMSIS-DSP's Python wrapper cannot be imported ({error}); "
                "install the package cmsisdsp"
            ) from error
        self._library: Any = cmsisdsp
        self._instance = cmsisdsp.arm_cfft_instance_q31()
        if cmsisdsp.arm_cfft_init_q31(self._instance, length) != 0:
            raise ToolchainError(f"front end: this cmsisdsp has no arm_cfft_q31 of {length} points")
        self._check_build()

    def run(self, interleaved: np.ndarray, inverse: bool) -> np.ndarray:
        """int64 [2 * length] in, int64 [2 * length] out; real and imaginary parts alternate."""
        data = interleaved.astype(np.int32)
        result = self._library.arm_cfft_q31(self._instance, data, int(inverse), 1)
        return np.asarray(result).astype(np.int64)

    def _check_build(self) -> None:
        """Refuse a wrapper compiled to vector intrinsics, whose last bits differ from the scalar C.

        Raises ToolchainError.
        """
        instance = self._library.arm_cfft_instance_q31()
        self._library.arm_cfft_init_q31(instance, 16)
        witness = (np.arange(1, 33, dtype=np.int64) * 0x12345679 % 2**31 - 2**30).astype(np.int32)
        result = np.asarray(self._library.arm_cfft_q31(instance, witness, 0, 1))
        if zlib.crc32(result.astype("<i4").tobytes()) != _FFT_WITNESS:
            raise ToolchainError(
                "front end: cmsisdsp on this machine rounds arm_cfft_q31 differently from its portable C "
                "(a build with vector intrinsics); build it from its source package without them"
            )


def _check_array(name: str, values: np.ndarray, length: int) -> None:
    """Raise ConfigError unless ``values`` is int16 [length]."""
    if values.dtype != np.int16 or values.shape != (length,):
        raise ConfigError(
            f"front end: {name} is {values.dtype} {list(values.shape)} (must be int16 [{length}]); "
            "convert it or cut it into hops"
        )


def _bit_length(values: np.ndarray) -> int:
    """Bits of the widest magnitude, the sign not counted: the smallest b with -2^b <= v < 2^b for all v."""
    return int(np.bitwise_or.reduce(values ^ (values >> 63))).bit_length()


def _high(doubled: np.ndarray) -> np.ndarray:
    """Twice a Q62 value back to Q31, rounded to nearest."""
    return (doubled + (1 << 31)) >> 32


def _log2(power: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Base-2 logarithm of uint64 values, Q20 int64; 0 gives a value without meaning."""
    bits = np.searchsorted(_POWERS_OF_TWO, power, side="right")
    # The mantissa has its leading one at bit 31; seven bits choose the segment, sixteen interpolate.
    mantissa = ((power << np.minimum(64 - bits, 63).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)
    index = (mantissa >> 24) & (2**SEGMENT_BITS - 1)
    start = table[index].astype(np.int64)
    step = table[index + 1] - start
    return ((bits - 1) << LOG2_BITS) + start + (step * ((mantissa >> 8) & 0xFFFF) >> 16)


def _exp2(exponent: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Two to a Q20 exponent, rounded to a whole number and saturated to 0..32767."""
    whole = exponent >> LOG2_BITS
    fraction_bits = LOG2_BITS - SEGMENT_BITS
    index = (exponent >> fraction_bits) & (2**SEGMENT_BITS - 1)
    start = table[index].astype(np.int64)
    step = table[index + 1] - start
    value = start + (step * (exponent & (2**fraction_bits - 1)) >> fraction_bits)
    shift = EXP2_BITS - np.clip(whole, -1, 14)
    rounded = np.minimum((value + (1 << (shift - 1))) >> shift, 32767)
    return np.where(whole < -1, 0, np.where(whole > 14, 32767, rounded))
