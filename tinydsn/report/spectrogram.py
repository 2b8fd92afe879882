"""Spectrograms as PNG pictures, with numpy and zlib alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np

WINDOW = 512
SMALLEST_HOP = 64
COLUMNS = 1000
ROWS = 128
RANGE_DB = 75.0
FLOOR_DB = -100.0
# Few levels: the eye sees no more in a picture of this size, and noise compresses to half the bytes.
LEVELS = 64
ANCHORS = ((10, 12, 34), (60, 26, 110), (150, 40, 120), (226, 84, 76), (250, 164, 74), (253, 240, 190))
"""Colours from quiet to loud; their lightness rises all the way, so that they also read in grey."""


def power(samples: np.ndarray) -> np.ndarray:
    """Power in dB relative to full scale, ``[ROWS, columns]``, low frequencies first.

    int16 ``[samples]``; Hann windows of 512 samples, at most about `COLUMNS` of them, evenly spaced.
    """
    hop = max(SMALLEST_HOP, -(-len(samples) // COLUMNS))
    columns = -(-len(samples) // hop)
    # The centre of column c lies at (c + 1/2) * hop, so that the picture spans just the recording.
    before = max(0, WINDOW // 2 - hop // 2)
    padded = np.zeros(before + columns * hop + WINDOW)
    padded[before : before + len(samples)] = samples / 32768.0
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop][:columns]
    window = np.hanning(WINDOW + 1)[:-1]
    spectrum = np.abs(np.fft.rfft(frames * window, axis=1)[:, : WINDOW // 2]) ** 2
    pooled = spectrum.reshape(columns, ROWS, -1).mean(axis=2).T
    reference = (np.sum(window) / 2) ** 2
    return 10 * np.log10(np.maximum(pooled / reference, 10 ** (FLOOR_DB / 10)))


def loudest(levels: np.ndarray) -> float:
    """The top of a colour scale that suits ``levels`` (dB): all but its loudest thousandth lies below."""
    return float(np.ceil(np.quantile(levels, 0.999) / 5) * 5)


def picture(levels: np.ndarray, top: float) -> bytes:
    """A PNG of power levels (dB, low frequencies first), from ``top - RANGE_DB`` to ``top`` dB."""
    scaled = (levels - (top - RANGE_DB)) / RANGE_DB * (LEVELS - 1)
    indices = np.clip(np.rint(scaled), 0, LEVELS - 1).astype(np.uint8)
    return png(indices[::-1], colours())


def colours() -> np.ndarray:
    """The palette, uint8 ``[LEVELS, 3]``."""
    places = np.linspace(0, len(ANCHORS) - 1, LEVELS)
    channels = [np.interp(places, np.arange(len(ANCHORS)), channel) for channel in zip(*ANCHORS, strict=True)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def scale() -> bytes:
    """A PNG of one row with all colours, the quietest first."""
    return png(np.arange(LEVELS, dtype=np.uint8)[None, :], colours())


def png(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file of uint8 ``[height, width]`` indices into uint8 ``[colours, 3]`` (PNG specification)."""
    height, width = indices.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices], axis=1)
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(rows.tobytes(), 9)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
