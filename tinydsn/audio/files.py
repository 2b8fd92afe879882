"""WAV files in and out: 16-bit PCM, mono, 16 kHz, so that no sample is ever converted."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quant.errors import AudioError
from quant.model_file import write_atomically

RATE = 16000
REMEDY = "convert it: ffmpeg -i IN -ac 1 -ar 16000 -c:a pcm_s16le OUT.wav"
UNKNOWN_SIZE = 0xFFFFFFFF
PCM, EXTENSIBLE = 1, 0xFFFE


class _Format(NamedTuple):
    code: int
    channels: int
    rate: int
    bits: int


def replace_file(path: Path, content: bytes) -> None:
    """Writes ``content`` under a temporary name in the same folder, then renames: all or nothing."""
    write_atomically(path, content)


def _parse_format(body: bytes, path: Path) -> _Format:
    if len(body) < 16:
        raise AudioError(f"{path}: truncated: its format chunk has {len(body)} of at least 16 bytes")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if code == EXTENSIBLE and len(body) >= 26:
        code = struct.unpack_from("<H", body, 24)[0]
    return _Format(code, channels, rate, bits)


def _chunks(content: bytes, path: Path) -> tuple[_Format, bytes]:
    if len(content) < 12 or content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise AudioError(f"{path}: not a WAV file (no RIFF/WAVE header); {REMEDY}")
    position, form = 12, None
    while position + 8 <= len(content):
        name, size = content[position : position + 4], struct.unpack_from("<I", content, position + 4)[0]
        body = content[position + 8 : position + 8 + size]
        if name == b"fmt ":
            form = _parse_format(body, path)
        elif name == b"data":
            if form is None:
                raise AudioError(f"{path}: damaged: its samples come before their format; {REMEDY}")
            if len(body) < size and size != UNKNOWN_SIZE:
                raise AudioError(
                    f"{path}: truncated: its header promises {size} bytes of samples and {len(body)} are "
                    f"there; copy it again"
                )
            return form, body
        position += 8 + size + size % 2
    raise AudioError(f"{path}: truncated: no samples behind its header; copy it again")


def read_wav(path: Path | str, rate: int = RATE) -> np.ndarray:
    """Samples of a WAV file, int16 ``[samples]``, exactly as they are stored.

    Raises AudioError, in one line with a remedy, for a file that is missing, no WAV file, not 16-bit PCM,
    at another rate than ``rate``, not mono, empty, truncated, or silent throughout.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror})") from None
    if not content:
        raise AudioError(f"{path}: empty file (0 bytes)")
    form, body = _chunks(content, path)
    if form.code != PCM or form.bits != 16:
        raise AudioError(f"{path}: format {form.code} with {form.bits} bits (must be 16-bit PCM); {REMEDY}")
    if form.channels != 1:
        raise AudioError(f"{path}: {form.channels} channels (must be 1, mono); {REMEDY}")
    if form.rate != rate:
        raise AudioError(f"{path}: {form.rate} Hz (must be {rate} Hz); {REMEDY.replace('16000', str(rate))}")
    if len(body) % 2:
        raise AudioError(f"{path}: truncated: its last sample has 1 of 2 bytes; copy it again")
    samples = np.frombuffer(body, "<i2").astype(np.int16)
    if not samples.size:
        raise AudioError(f"{path}: empty: a header and no samples")
    if not samples.any():
        raise AudioError(f"{path}: silent: all {samples.size} samples are 0; use a recording with sound")
    return samples


def write_wav(path: Path | str, samples: np.ndarray, rate: int = RATE) -> None:
    """Writes int16 samples ``[samples]`` as a mono WAV file, ``[channels, samples]`` as one with so many
    channels (of two the first is left), replaced as a whole.

    Raises AudioError when ``samples`` is not such an int16 array: rounding and clipping are the caller's (see
    `to_int16`).
    """
    if samples.dtype != np.int16 or samples.ndim not in (1, 2):
        raise AudioError(
            f"{path}: samples are {samples.dtype} of shape {samples.shape} (must be int16, one axis, or "
            "two: channels and samples)"
        )
    channels = 1 if samples.ndim == 1 else len(samples)
    body = samples.T.astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", PCM, channels, rate, 2 * channels * rate, 2 * channels, 16)
    content = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form
    content += b"data" + struct.pack("<I", len(body)) + body
    replace_file(Path(path), b"RIFF" + struct.pack("<I", len(content)) + content)


def to_int16(wave: np.ndarray) -> np.ndarray:
    """Waves in [-1, 1) as int16: times 32768, rounded to nearest (ties to even), saturated."""
    return np.clip(np.rint(np.asarray(wave, np.float64) * 32768), -32768, 32767).astype(np.int16)
