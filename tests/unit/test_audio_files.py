"""WAV reading and writing: exact samples, and one clear line for each kind of bad file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from quant.errors import AudioError
from tinydsn.audio.files import REMEDY, read_wav, to_int16, write_wav

TONE = np.array([0, 1, -1, 32767, -32768, 500], np.int16)


def wav_bytes(
    body: bytes, code: int = 1, channels: int = 1, rate: int = 16000, bits: int = 16, size: int | None = None
) -> bytes:
    form = struct.pack("<HHIIHH", code, channels, rate, rate * 2, 2, bits)
    content = b"WAVEfmt " + struct.pack("<I", 16) + form
    content += b"data" + struct.pack("<I", len(body) if size is None else size) + body
    return b"RIFF" + struct.pack("<I", len(content)) + content


def message(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        read_wav(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tone.wav"
    write_wav(path, TONE)
    assert path.read_bytes() == wav_bytes(TONE.tobytes())
    samples = read_wav(path)
    assert samples.dtype == np.int16
    assert np.array_equal(samples, TONE)
    assert [item.name for item in path.parent.iterdir()] == ["tone.wav"]


def test_other_libraries_agree(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    ours, theirs = tmp_path / "ours.wav", tmp_path / "theirs.wav"
    write_wav(ours, TONE)
    assert np.array_equal(soundfile.read(ours, dtype="int16")[0], TONE)
    soundfile.write(theirs, TONE, 16000, subtype="PCM_16", format="WAVEX")
    assert np.array_equal(read_wav(theirs), TONE)


def test_chunks_before_the_samples_are_passed_over(tmp_path: Path) -> None:
    plain = wav_bytes(TONE.tobytes())
    path = tmp_path / "tagged.wav"
    path.write_bytes(plain[:36] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + plain[36:])
    assert np.array_equal(read_wav(path), TONE)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty file (0 bytes)"),
        (b"fLaC" + bytes(40), f"not a WAV file (no RIFF/WAVE header); {REMEDY}"),
        (wav_bytes(TONE.tobytes(), rate=44100), f"44100 Hz (must be 16000 Hz); {REMEDY}"),
        (wav_bytes(TONE.tobytes(), channels=2), f"2 channels (must be 1, mono); {REMEDY}"),
        (wav_bytes(TONE.tobytes(), code=3, bits=32), f"format 3 with 32 bits (must be 16-bit PCM); {REMEDY}"),
        (wav_bytes(TONE.tobytes(), bits=24), f"format 1 with 24 bits (must be 16-bit PCM); {REMEDY}"),
        (wav_bytes(b""), "empty: a header and no samples"),
        (wav_bytes(bytes(8)), "silent: all 4 samples are 0; use a recording with sound"),
        (
            wav_bytes(TONE.tobytes(), size=4000),
            "truncated: its header promises 4000 bytes of samples and 12 are there; copy it again",
        ),
        (wav_bytes(b"\1\0\2"), "truncated: its last sample has 1 of 2 bytes; copy it again"),
        (wav_bytes(TONE.tobytes())[:30], "truncated: its format chunk has 10 of at least 16 bytes"),
        (wav_bytes(TONE.tobytes())[:38], "truncated: no samples behind its header; copy it again"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    assert message(path) == expected


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert message(tmp_path / "none.wav") == "cannot be read (No such file or directory)"
    assert message(tmp_path) == "cannot be read (Is a directory)"


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    whole = wav_bytes(TONE.tobytes())
    path = tmp_path / "cut.wav"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(AudioError):
            read_wav(path)


def test_only_int16_is_written(tmp_path: Path) -> None:
    path = tmp_path / "no.wav"
    with pytest.raises(
        AudioError, match=r"samples are float64 of shape \(3,\) \(must be int16, one axis, or"
    ):
        write_wav(path, np.zeros(3))
    with pytest.raises(
        AudioError, match=r"shape \(1, 1, 1\) \(must be int16, one axis, or two: channels and"
    ):
        write_wav(path, np.zeros((1, 1, 1), np.int16))
    assert list(tmp_path.iterdir()) == []


def test_two_channels_lie_side_by_side(tmp_path: Path) -> None:
    samples = np.array([[1, 2, 3], [-4, -5, -6]], np.int16)
    soundfile = pytest.importorskip("soundfile")
    write_wav(tmp_path / "two.wav", samples)
    found, rate = soundfile.read(tmp_path / "two.wav", dtype="int16")
    assert rate == 16000 and found.T.tolist() == samples.tolist()
    with pytest.raises(AudioError, match=r"2 channels \(must be 1, mono\)"):
        read_wav(tmp_path / "two.wav")


def test_to_int16_rounds_and_saturates() -> None:
    wave = np.array([1.0, -1.0, -2.0, 0.5 / 32768, 1.5 / 32768, -1.5 / 32768])
    assert to_int16(wave).tolist() == [32767, -32768, -32768, 0, 2, -2]
