"""The committed test list is what the issue asks for, is made the same again, and renders as it says."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quant.errors import AudioError, ConfigError
from tinydsn.audio.mixing import active_power
from tinydsn.evaluation import build_list
from tinydsn.evaluation.build_list import PAUSES, SNR_EDGES, Source
from tinydsn.evaluation.recipes import Piece, Recipe, committed_list, read_list, render, write_list

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
LIST = committed_list()


def snr_bin(recipe: Recipe) -> int:
    return int(np.digitize(recipe.snr, SNR_EDGES)) - 1


def test_180_mixtures_of_9_speakers_and_5_bins() -> None:
    assert len(LIST) == 180 and {recipe.samples for recipe in LIST} == {144160}
    assert len({recipe.name for recipe in LIST}) == 180
    cells = Counter((recipe.speaker, snr_bin(recipe)) for recipe in LIST)
    assert len(cells) == 45 and set(cells.values()) == {4}
    assert {place for _, place in cells} == {0, 1, 2, 3, 4}
    rooms = Counter(recipe.speaker for recipe in LIST if recipe.room)
    assert set(rooms.values()) == {6} and len(rooms) == 9


def test_every_beginning_is_balanced() -> None:
    assert len({recipe.speaker for recipe in LIST[:9]}) == 9
    assert {snr_bin(recipe) for recipe in LIST[:5]} == {0, 1, 2, 3, 4}
    assert len({(recipe.speaker, snr_bin(recipe)) for recipe in LIST[:45]}) == 45


def test_noise_is_of_many_kinds_for_every_speaker() -> None:
    kinds = Counter(recipe.kind for recipe in LIST)
    assert len(kinds) >= 15 and max(kinds.values()) < 15
    for speaker in {recipe.speaker for recipe in LIST}:
        assert len({recipe.kind for recipe in LIST if recipe.speaker == speaker}) >= 15


def test_pieces_fill_the_mixture_with_pauses_between_utterances() -> None:
    for recipe in LIST:
        assert recipe.noise[0].at == 0 and recipe.noise[-1].at + recipe.noise[-1].length == 144160
        for before, after in zip(recipe.noise[:-1], recipe.noise[1:], strict=True):
            assert after.at == before.at + before.length
        for before, after in zip(recipe.speech[:-1], recipe.speech[1:], strict=True):
            assert PAUSES[0] <= after.at - before.at - before.length < PAUSES[1]
        assert recipe.speech[-1].at + recipe.speech[-1].length <= 144160
        files = [piece.file for piece in (*recipe.speech, *recipe.noise)]
        assert all(file.split("/")[1] == "test" for file in [*files, *filter(None, [recipe.room])])


def test_the_list_can_be_made_again(tmp_path: Path) -> None:
    if not (CORPUS / "manifest.csv").is_file():
        pytest.skip("the corpus is not here")
    path = tmp_path / "list.json"
    assert build_list.main(["--corpus", str(CORPUS), "--output", str(path)]) == 0
    assert read_list(path) == LIST
    for recipe in (LIST[0], LIST[1]):
        audio = render(recipe, CORPUS)
        assert audio.noisy.dtype == np.int16 and len(audio.noisy) == 144160
        level = 10 * np.log10(np.mean((audio.noisy / 32768.0) ** 2))
        assert level == pytest.approx(recipe.level, abs=0.05)


def test_another_number_of_speakers_is_refused() -> None:
    with pytest.raises(AudioError, match=r"the test split has 2 speakers \(must be 9\)"):
        build_list.build_list({"a": [], "b": []}, {}, [])
    assert build_list.main(["--corpus", "/nowhere", "--output", "/nowhere/list.json"]) == 2


def test_a_list_depends_on_its_seed_alone() -> None:
    speech = {f"s{k}": [Source(f"s{k}/{n}.flac", 30000 + n) for n in range(5)] for k in range(9)}
    noise = {kind: [Source(f"{kind}.flac", 90000)] for kind in ("rain", "wind", "fan")}
    rooms = [Source("room.flac", 4000)]
    first, second = (build_list.build_list(speech, noise, rooms) for _ in range(2))
    assert first == second != build_list.build_list(speech, noise, rooms, seed=1)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two voices' worth of tone, a noise, and a room of three reflections."""
    rng = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    soundfile.write(tmp_path / "voice.flac", 0.2 * np.sin(2 * np.pi * 300 * time), 16000)
    soundfile.write(tmp_path / "noise.flac", 0.05 * rng.standard_normal(32000), 16000)
    room = np.zeros(4000)
    room[[20, 500, 3000]] = 0.8, 0.4, 0.3
    soundfile.write(tmp_path / "room.flac", room, 16000)
    return tmp_path


RECIPE = Recipe(
    name="000",
    speaker="s",
    kind="hiss",
    snr=7.0,
    level=-30.0,
    room="",
    speech=(Piece("voice.flac", 0, 16000, 2000), Piece("voice.flac", 1000, 8000, 20000)),
    noise=(Piece("noise.flac", 0, 20000, 0), Piece("noise.flac", 500, 12000, 20000)),
    samples=32000,
)


def test_rendering_keeps_snr_level_and_places(corpus: Path) -> None:
    audio = render(RECIPE, corpus)
    speech, noise = audio.target / 32768.0, audio.noise / 32768.0
    snr = 10 * np.log10(active_power(speech) / np.mean(noise**2))
    assert snr == pytest.approx(7.0, abs=0.02)
    assert 10 * np.log10(np.mean((audio.noisy / 32768.0) ** 2)) == pytest.approx(-30, abs=0.01)
    assert np.abs(audio.noisy - (audio.target + audio.noise.astype(int))).max() <= 1
    assert not audio.target[:2000].any() and not audio.target[18000:20000].any()
    assert not audio.target[28000:].any() and np.abs(audio.target[2000:18000]).max() > 500
    again = render(RECIPE, corpus)
    assert np.array_equal(again.noisy, audio.noisy) and np.array_equal(again.target, audio.target)


def test_a_room_leaves_early_reflections_in_the_target(corpus: Path) -> None:
    audio = render(replace(RECIPE, room="room.flac"), corpus)
    late = audio.noisy.astype(int) - audio.target - audio.noise
    # the reflection of 3000 - 20 samples after the direct sound, beyond the 50 ms that count as early
    assert np.abs(late[:4900]).max() <= 2 and np.abs(late[5100:20000]).max() > 100
    assert audio.target[18100:18400].any()  # the early one, 480 samples after the direct sound


def test_the_peak_is_limited(corpus: Path) -> None:
    loud = render(replace(RECIPE, level=0.0), corpus)
    assert np.abs(loud.noisy.astype(int)).max() == pytest.approx(0.99 * 32768, abs=1)


def test_a_corpus_that_lacks_samples(corpus: Path) -> None:
    short = replace(RECIPE, noise=(Piece("noise.flac", 20000, 32000, 0),))
    with pytest.raises(AudioError) as caught:
        render(short, corpus)
    assert str(caught.value) == (
        f"{corpus / 'noise.flac'}: has no 32000 samples from 20000 on (the test list was made from another "
        "version of the corpus; restore it, or make a list of your own)"
    )


def test_lists_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    write_list([RECIPE, replace(RECIPE, name="001", snr=1.0)], path)
    first, second = read_list(path)
    assert first == RECIPE and first.digest() == RECIPE.digest() != second.digest()
    for text, said in (
        ("{", "not a list of mixtures (JSONDecodeError: "),
        ('{"schema":9}', "schema 9 (must be 1)"),
        (
            json.dumps({"schema": 1, "samples": 9, "mixtures": [{"name": "a"}]}),
            "not a list of mixtures (KeyError",
        ),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_list(path)
        assert str(caught.value).startswith(f"{path}: {said}")
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_list(tmp_path / "none.json")
