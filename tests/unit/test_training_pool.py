"""The rated pool: recipes give the same waves, rating goes on after a kill, segments inherit the rating."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.errors import ConfigError, ModelFileError
from tinydsn.audio.corpus import Bank
from tinydsn.audio.metrics import SEGMENT, Dnsmos
from tinydsn.audio.mixing import MixOptions
from tinydsn.training import pool
from tinydsn.training.pool import (
    RATINGS,
    Banks,
    PoolOptions,
    Segments,
    read_scores,
    recipe_hash,
    render,
    rendered_pool,
    score_pool,
    shipped_table,
    start_in_pause,
)

OPTIONS = PoolOptions(size=4)


def bank(seed: int, *lengths: int) -> Bank:
    rng = np.random.default_rng(seed)
    parts = [rng.integers(-3000, 3000, length).astype(np.int16) for length in lengths]
    return Bank(np.concatenate(parts), np.cumsum([0, *lengths]))


@pytest.fixture(scope="module")
def banks() -> Banks:
    room = np.zeros(900, np.int16)
    room[[40, 700]] = [20000, 9000]
    return Banks(bank(1, 30000, 9000), bank(2, 50000), Bank(room, np.array([0, 900])))


@pytest.fixture(scope="module")
def waves(banks: Banks, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return rendered_pool(banks, OPTIONS, tmp_path_factory.mktemp("pool"))


def test_a_mixture_is_its_recipe(banks: Banks, waves: np.ndarray) -> None:
    assert waves.shape == (4, 2, SEGMENT) and waves.dtype == np.int16
    for index in (3, 0):
        assert np.array_equal(render(banks, OPTIONS, index), waves[index])
    assert not np.array_equal(waves[0], waves[1])


def test_the_hash_changes_with_what_is_in_the_pool(banks: Banks) -> None:
    key = recipe_hash(banks, OPTIONS)
    assert len(key) == 16 and key == recipe_hash(banks, OPTIONS)
    louder = replace(OPTIONS, mix=MixOptions(samples=SEGMENT, snr_high=25.0))
    other = replace(banks, speech=bank(3, 30000, 9000))
    changed = [recipe_hash(banks, louder), recipe_hash(banks, replace(OPTIONS, seed=10))]
    changed += [recipe_hash(other, OPTIONS), recipe_hash(banks, replace(OPTIONS, size=5))]
    assert len({key, *changed}) == 5


def test_rating_goes_on_where_it_was_stopped(
    waves: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rated = tmp_path / "ratings.safetensors", []

    def rate(wave: np.ndarray) -> Dnsmos:
        if len(rated) == 3:
            raise KeyboardInterrupt
        rated.append(wave)
        return Dnsmos(1.0, 2.0, len(rated) / 4)

    monkeypatch.setattr(pool, "dnsmos", rate)
    with pytest.raises(KeyboardInterrupt):
        score_pool(waves, "abc", path, every=2)
    with pytest.raises(ModelFileError) as caught:
        read_scores(path, "abc")
    assert str(caught.value) == f"{path}: 2 ratings are missing; go on: `tinydsn rate`"
    rated.pop()
    rated.pop()
    score_pool(waves, "abc", path, every=2)
    assert np.array_equal(rated[1], waves[2, 0]) and np.array_equal(rated[2], waves[3, 0])
    assert read_scores(path, "abc")[:, 2].tolist() == [0.25, 0.5, 0.5, 0.75]


def test_ratings_of_another_pool_are_refused(
    waves: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "dnsmos", lambda wave: Dnsmos(1.0, 1.0, 1.0))
    path = tmp_path / "ratings.safetensors"
    score_pool(waves, "abc", path)
    with pytest.raises(ModelFileError) as caught:
        read_scores(path, "def")
    assert str(caught.value) == f"{path}: ratings of the pool abc, not of def; make them: `tinydsn rate`"
    with pytest.raises(ModelFileError) as caught:
        score_pool(waves, "def", path)
    assert str(caught.value) == (
        f"{path}: ratings of the pool abc, not of def; choose another --ratings or delete it"
    )
    path.write_bytes(b"rubbish")
    with pytest.raises(ModelFileError) as caught:
        score_pool(waves, "def", path)
    assert str(caught.value).startswith(f"{path}: no ratings of a pool (")
    with pytest.raises(ModelFileError) as caught:
        read_scores(path, "def")
    assert str(caught.value).startswith(f"{path}: no ratings of a pool (")


def test_shipped_ratings_are_complete() -> None:
    tables = sorted(RATINGS.glob("*.safetensors"))
    assert tables
    for path in tables:
        assert shipped_table(path.stem) == path
        scores = read_scores(path, path.stem)
        assert scores.shape == (PoolOptions().size, 3)
        assert scores.min() > 0 and scores.max() < 5
    with pytest.raises(ConfigError) as caught:
        shipped_table("abc")
    assert str(caught.value) == (
        "no ratings come with tinydsn for the pool abc of this corpus (make them: `tinydsn rate`, and give "
        "--ratings)"
    )


def test_segments_change_only_the_gain() -> None:
    ramp = np.arange(1, 6001, dtype=np.int16)  # where a segment was cut, and its gain, can be read off
    waves = np.stack([np.stack([ramp, -ramp])] * 4)
    scores = np.arange(12, dtype=np.float32).reshape(4, 3)
    segments = Segments(waves, scores)
    noisy, target, rating = segments.batch(4000, 1, 2, 64)
    again = segments.batch(4000, 1, 2, 64)
    assert all(np.array_equal(a, b) for a, b in zip((noisy, target, rating), again, strict=True))
    assert not np.array_equal(noisy, segments.batch(4000, 1, 3, 64)[0])
    assert set(rating.tolist()) == {2.0, 5.0, 8.0, 11.0}
    gains = (noisy[:, -1] - noisy[:, 0]) / 3999 * 32768
    starts = np.rint(noisy[:, 0] * 32768 / gains - 1)
    assert len(set(starts)) > 30 and starts.min() >= 0 and starts.max() <= 2000
    assert len(set(gains)) > 60 and gains.min() > 10 ** (-6.01 / 20) and gains.max() < 10 ** (6.01 / 20)
    wanted = (starts[:, None] + np.arange(1, 4001)) * gains[:, None] / 32768
    assert np.allclose(noisy, wanted, atol=1e-5) and np.array_equal(target, -noisy)


def test_a_segment_begins_in_a_pause() -> None:
    target = np.ones(60000, np.int16)
    target[:3000] = target[20000:21599] = target[30000:45000] = target[55000:58000] = 0
    where = np.linspace(0, 1, 4001)[:-1]
    first = {start_in_pause(target, 10000, 0.0, place) for place in where}
    assert first == set(range(3001))
    second = [start_in_pause(target, 10000, 0.99, place) for place in where]
    assert min(second) == 37000 and max(second) == 44998  # 1,599 samples are none; the last leaves no room
    assert start_in_pause(target, 20000, 0.99, 0.9999) == 40000  # as late as the recording allows
    assert [start_in_pause(np.ones(100, np.int16), 60, 0.5, place) for place in (0, 0.9999)] == [0, 40]
    silence = np.zeros(3000, np.int16)
    assert [start_in_pause(silence, 3000, 0.5, place) for place in (0, 0.9999)] == [0, 0]


def test_segments_are_never_driven_into_clipping() -> None:
    waves = np.full((2, 2, 600), 32767, np.int16)
    noisy, _, _ = Segments(waves, np.zeros((2, 3), np.float32)).batch(500, 1, 1, 16)
    assert noisy.max() == np.float32(0.99)


def test_a_pool_has_whole_mixtures() -> None:
    with pytest.raises(ConfigError) as caught:
        PoolOptions(mix=MixOptions(samples=48000))
    assert (
        str(caught.value)
        == "a pool of 6000 mixtures of 48000 samples (must be at least one, of 144160 samples)"
    )
