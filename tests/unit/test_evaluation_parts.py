"""Classes of frames, pairs of folders, the store of finished files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.errors import AudioError, ConfigError
from tinydsn.audio.files import write_wav
from tinydsn.evaluation.frames import by_class, classify, decibels, hop_power
from tinydsn.evaluation.pairs import listed, match_folders, spread
from tinydsn.evaluation.recipes import committed_list
from tinydsn.evaluation.store import Store

HOP = 4


def test_classes_of_hops() -> None:
    loud, faint, nothing = [1000] * HOP, [9] * HOP, [0] * HOP
    target = np.array(loud + [11] * HOP + faint + nothing + nothing + nothing, np.int16)
    noise = np.array(nothing * 3 + [40] * HOP + [20] * HOP + nothing, np.int16)
    classes = classify(target, noise, HOP)
    # 11 is within 40 dB of 1000 and 9 is not; -60 dB of full scale is 32.8
    assert classes["speech"].tolist() == [True, True, False, False, False, False]
    assert classes["pause"].tolist() == [False, False, False, True, False, False]
    assert classes["silence"].tolist() == [False, False, True, False, True, True]
    assert not classify(nothing_at_all(), nothing_at_all(), HOP)["speech"].any()


def nothing_at_all() -> np.ndarray:
    return np.zeros(12, np.int16)


def test_levels_and_usage_of_a_class() -> None:
    noisy = np.array([3277] * HOP + [328] * HOP + [0] * 2, np.int16)
    quiet = np.array([328] * HOP + [0] * HOP + [0] * 2, np.int16)
    classes = {"speech": np.array([True, False, False]), "pause": np.array([False, True, True]),
               "silence": np.zeros(3, bool)}  # fmt: skip
    gates = {"firmware": np.array([[1, 0], [1, 1], [0, 1]], bool)}
    found = by_class(classes, {"noisy": noisy, "firmware": quiet}, gates, HOP)
    assert set(found) == {"speech", "pause"} and found["pause"].frames == 2
    assert found["speech"].level["noisy"] - found["speech"].level["firmware"] == pytest.approx(20, abs=0.02)
    assert found["speech"].usage == {"firmware": [1.0, 0.0]}
    assert found["pause"].usage == {"firmware": [0.5, 1.0]}
    assert found["pause"].level["firmware"] == pytest.approx(-101.1, abs=0.01)  # rounding's own power
    assert decibels(32768.0**2) == pytest.approx(0, abs=1e-6)
    assert hop_power(np.array([2, 2, 2, 2, 4], np.int16), HOP).tolist() == [4.0, 4.0]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of three files each."""
    rng = np.random.default_rng(0)
    for folder in ("noisy", "clean"):
        (tmp_path / folder).mkdir()
        for name in ("p1_a", "p1_b", "p2_a"):
            write_wav(tmp_path / folder / f"{name}.wav", rng.integers(-99, 99, 8000).astype(np.int16))
    return tmp_path / "noisy", tmp_path / "clean"


def test_pairs_by_name(folders: tuple[Path, Path]) -> None:
    pairs = match_folders(*folders)
    assert [pair.name for pair in pairs] == ["p1_a", "p1_b", "p2_a"]
    assert [pair.group for pair in pairs] == ["p1_a.wav", "p1_b.wav", "p2_a.wav"]
    assert [pair.group for pair in match_folders(*folders, r"^(p\d)_")] == ["p1", "p1", "p2"]
    audio = pairs[0].load()
    assert np.array_equal(audio.noisy, audio.target + audio.noise)
    before = pairs[0].digest()
    write_wav(folders[1] / "p1_a.wav", np.ones(8000, np.int16))
    assert pairs[0].digest() != before
    assert [pair.name for pair in spread(pairs, 2)] == ["p1_a", "p1_b"]
    assert spread(pairs, 99) == pairs


def refused(folders: tuple[Path, Path], speaker: str | None = None) -> str:
    with pytest.raises((AudioError, ConfigError)) as caught:
        match_folders(*folders, speaker)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folders_that_do_not_match(folders: tuple[Path, Path], tmp_path: Path) -> None:
    noisy, clean = folders
    assert refused((tmp_path / "none", clean)) == (
        f"{tmp_path / 'none'}: no such folder (--noisy takes a folder of WAV files)"
    )
    (tmp_path / "empty").mkdir()
    assert refused((noisy, tmp_path / "empty")) == (
        f"{tmp_path / 'empty'}: holds no WAV files (must be mono, 16 bit, 16 kHz)"
    )
    assert refused(folders, "(") == (
        "--speaker '(': not a regular expression (missing ), unterminated subpattern at position 0)"
    )
    assert refused(folders, "p") == "--speaker 'p': has no group (must be such as '^(p[0-9]+)_')"
    assert refused(folders, "(x)") == "p1_a.wav: --speaker '(x)' is not found in this name"
    write_wav(clean / "p2_a.wav", np.ones(7999, np.int16))
    assert refused(folders) == (
        f"{noisy / 'p2_a.wav'}: 8000 samples, and {clean / 'p2_a.wav'}: 7999 (must be equally long)"
    )
    write_wav(noisy / "p2_a.wav", np.ones(7999, np.int16))
    assert refused(folders) == (f"{noisy / 'p2_a.wav'}: 7999 samples (must be at least 8000, half a second)")
    write_wav(clean / "p2_a.wav", np.ones(8000, np.int16), rate=8000)
    assert refused(folders).startswith(f"{clean / 'p2_a.wav'}: 8000 Hz (must be 16000 Hz); convert it")
    (clean / "p2_a.wav").unlink()
    (clean / "p1_b.wav").unlink()
    assert refused(folders) == (
        f"{clean}: lacks p1_b.wav and 1 more, which {noisy} has (names must be equal)"
    )
    for name in ("p1_b.wav", "p2_a.wav"):
        (noisy / name).unlink()
    write_wav(clean / "p9.wav", np.ones(8000, np.int16))
    assert refused(folders) == f"{noisy}: lacks p9.wav, which {clean} has (names must be equal)"


def test_a_corpus_without_the_lists_files(tmp_path: Path) -> None:
    recipe = committed_list()[0]
    with pytest.raises(AudioError) as caught:
        listed([recipe], tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / recipe.speech[0].file}: no such file (mixture {recipe.name} of the test list needs it; "
        "--corpus takes the corpus the list was made from)"
    )


def test_the_store_survives_a_kill(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("a", {"value": 1.5})
    store.put("b", {"value": None})
    with store.path.open("ab") as file:
        file.write(b'{"key":"c","row":{"val')
    again = Store(tmp_path)
    assert again.get("a") == {"value": 1.5} and again.get("b") == {"value": None}
    assert again.get("c") is None
    again.put("d", {"value": 2})
    last = Store(tmp_path)
    assert last.get("d") == {"value": 2} and last.get("a") == {"value": 1.5}
    assert Store(tmp_path, fresh=True).get("a") is None
