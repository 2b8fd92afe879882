"""The corpus: manifests, decoding at any rate, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quant.errors import AudioError
from tinydsn.audio.corpus import Clip, decode, load_bank, read_manifest

HEADER = "file,type,split,source,licence,speaker,lang,seconds,note\n"


def clips(paths: list[Path]) -> list[Clip]:
    return [Clip(path, "speech", "train", "own", "", 0.1) for path in paths]


def sounds(folder: Path, count: int) -> list[Path]:
    """Files of which file n holds 1,600 times the value n + 1."""
    paths = [folder / f"{index}.wav" for index in range(count)]
    for index, path in enumerate(paths):
        soundfile.write(path, np.full(1600, index + 1, np.int16), 16000)
    return paths


def tone(rate: int, frequency: float = 440.0) -> np.ndarray:
    """One second, half of full scale."""
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)


def test_clips_carry_all_columns(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(HEADER + '/else/b.wav,noise,valid,"a, b",CC0,,,1.5,tram [x:1]\n')
    assert read_manifest(tmp_path) == (
        Clip(Path("/else/b.wav"), "noise", "valid", "a, b", "", 1.5, "CC0", "", "tram [x:1]"),
    )


def test_a_manifest_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER.replace("\n", "\r\n") + "a.wav,speech,test,,,anna,,2,\r\n"
    (tmp_path / "manifest.csv").write_bytes(text.encode())
    (clip,) = read_manifest(tmp_path)
    assert (clip.path, clip.split, clip.speaker, clip.seconds) == (tmp_path / "a.wav", "test", "anna", 2.0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HEADER + "a.wav,speech\n", ", line 2: split is '' (must be one of train, valid, test)"),
        (HEADER + "a.wav,speech,train,,,,\n", ", line 2: seconds is '' (must be a number)"),
        (HEADER + "a.wav,speech,train,,,,,nan,\n", ", line 2: seconds is 'nan' (must be a number)"),
        (HEADER + "a.wav,speech,train,,,,,-1,\n", ", line 2: seconds is '-1' (must be a number)"),
        (HEADER + ",speech,train,,,,,1,\n", ", line 2: names no file"),
        ("", ": column missing: file, seconds, source, speaker, split, type"),
    ],
)
def test_damaged_rows(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(AudioError) as caught:
        read_manifest(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'manifest.csv'}{expected}"


def test_a_manifest_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(HEADER.encode() + b"\xff\xfe.wav,speech,train,,,,,1,\n")
    with pytest.raises(AudioError, match=r"manifest\.csv: not a CSV file in UTF-8 \(.*\)$"):
        read_manifest(tmp_path)


def test_files_at_16_khz_are_not_changed(tmp_path: Path) -> None:
    samples = np.array([-32768, -1, 0, 1, 32767], np.int16)
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, samples, 16000)
        assert np.array_equal(decode(tmp_path / name), samples)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_higher_rates_are_resampled(rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate), rate)
    decoded = decode(tmp_path / "a.wav")
    assert decoded.dtype == np.int16 and len(decoded) == 16000
    assert np.abs(decoded / 32768 - tone(16000))[200:-200].max() < 1e-3


def test_what_16_khz_cannot_hold_is_filtered_out(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(48000, 12000.0), 48000)
    assert np.abs(decode(tmp_path / "a.wav")[200:-200]).max() < 40


@pytest.mark.parametrize("form", ["FLOAT", "DOUBLE", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_other_forms_of_samples(form: str, rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate), rate, subtype=form)
    assert np.abs(decode(tmp_path / "a.wav") / 32768 - tone(16000))[200:-200].max() < 1e-3


def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([-2.0, 0.5, 1.0, 3.0]), 16000, subtype="FLOAT")
    assert decode(tmp_path / "a.wav").tolist() == [-32768, 16384, 32767, 32767]


@pytest.mark.parametrize(
    ("shape", "rate", "value", "expected"),
    [
        ((9, 2), 16000, 0.1, "16000 Hz, 2 channels (must be 16000 Hz or more, mono)"),
        ((9, 1), 8000, 0.1, "8000 Hz, 1 channels (must be 16000 Hz or more, mono)"),
        ((0, 1), 16000, 0.1, "holds no samples"),
        ((9, 1), 16000, np.nan, "holds samples that are no numbers; restore the file"),
    ],
)
def test_what_is_not_decoded(
    shape: tuple[int, int], rate: int, value: float, expected: str, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(shape, value), rate, subtype="FLOAT")
    with pytest.raises(AudioError) as caught:
        decode(tmp_path / "a.wav")
    assert str(caught.value) == f"{tmp_path / 'a.wav'}: {expected}"


def test_a_few_unreadable_files_are_skipped_and_named(tmp_path: Path) -> None:
    paths = sounds(tmp_path, 100)
    paths[7].write_bytes(b"rubbish")
    paths[8].unlink()
    skipped: list[str] = []
    done: list[int] = []
    bank = load_bank(clips(paths), done.append, skipped.append)
    assert skipped == [
        f"{paths[7]}: cannot be decoded (Format not recognised); restore the file",
        f"{paths[8]}: cannot be decoded (System error); restore the file",
    ]
    assert len(bank) == 98 and done == list(range(1, 101))
    assert [int(bank.clip(index)[0]) for index in (6, 7, 97)] == [7, 10, 100]


def test_many_unreadable_files_are_an_error(tmp_path: Path) -> None:
    paths = sounds(tmp_path, 100)
    for path in paths[5:8]:
        path.write_bytes(b"rubbish")
    with pytest.raises(AudioError) as caught:
        load_bank(clips(paths))
    assert str(caught.value) == (
        "3 of 100 files cannot be used (`tinydsn data` lists them); the first: "
        f"{paths[5]}: cannot be decoded (Format not recognised); restore the file"
    )


def test_a_bank_of_nothing_is_empty() -> None:
    bank = load_bank([])
    assert len(bank) == 0 and bank.seconds == 0
