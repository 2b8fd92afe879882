"""Recordings as data URIs."""

from __future__ import annotations

import base64
import struct

import numpy as np


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """A WAV file: int16 ``[samples]``, mono, ``rate`` samples a second."""
    body = samples.astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    content = b"WAVE" + form + struct.pack("<4sI", b"data", len(body)) + body
    return struct.pack("<4sI", b"RIFF", len(content)) + content


def data_uri(content: bytes, kind: str) -> str:
    """``content`` as a data URI of media type ``kind``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def level(samples: np.ndarray) -> float:
    """Root mean square of int16 samples in dB relative to full scale; -inf for silence."""
    power = float(np.mean((samples / 32768.0) ** 2)) if len(samples) else 0.0
    return 10 * float(np.log10(power)) if power else float("-inf")
