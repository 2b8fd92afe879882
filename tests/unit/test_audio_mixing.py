"""Mixtures: stated SNR and level, seeds, corpus reading, generated noises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.errors import AudioError, ConfigError
from tinydsn.audio.corpus import Bank, decode, load_bank, read_manifest, select
from tinydsn.audio.mixing import (
    MixOptions,
    active_power,
    at_another_speed,
    draw,
    draw_batch,
    mix,
    reverberate,
    unaugmented,
)
from tinydsn.audio.sources import NOISES, babble, noise

HEADER = "file,type,split,source,licence,speaker,lang,seconds,note\n"


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))


def bank(seed: int, lengths: tuple[int, ...]) -> Bank:
    rng = np.random.default_rng(seed)
    parts = [rng.integers(-3000, 3000, length, np.int16) for length in lengths]
    return Bank(np.concatenate(parts), np.cumsum([0, *lengths]))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 12.5])
def test_mix_has_the_snr_and_level_it_states(snr: float) -> None:
    rng = np.random.default_rng(1)
    speech = (rng.standard_normal(32000) * 0.1).astype(np.float32)
    speech[16000:] = 0
    disturbance = (rng.standard_normal(32000) * 0.3).astype(np.float32)
    result = mix(speech, disturbance, snr, -30.0)
    rest = result.noisy - result.target
    assert 10 * np.log10(active_power(result.target) / np.mean(rest.astype(float) ** 2)) == pytest.approx(
        snr, abs=0.01
    )
    assert 20 * np.log10(rms(result.noisy)) == pytest.approx(-30, abs=0.01)


def test_mix_never_clips_and_takes_silence() -> None:
    loud = np.zeros(4000, np.float32)
    loud[::400] = 0.5
    assert np.abs(mix(loud, np.zeros_like(loud), 0.0, 0.0).noisy).max() == pytest.approx(0.99)
    silent = mix(np.zeros(512, np.float32), np.zeros(512, np.float32), 0.0, -20.0)
    assert not silent.noisy.any() and not silent.target.any()


def test_draw_depends_on_seed_and_step_only() -> None:
    speech, disturbance, rooms = bank(1, (9000, 300, 20000)), bank(2, (50000, 700)), bank(3, (400, 900))
    options = MixOptions(samples=16000, rir_share=0.5)
    one = draw_batch(speech, disturbance, rooms, options, 7, 3, 6)
    two = draw_batch(speech, disturbance, rooms, options, 7, 3, 6)
    other = draw_batch(speech, disturbance, rooms, options, 7, 4, 6)
    assert all(
        np.array_equal(a.noisy, b.noisy) and a.snr_db == b.snr_db for a, b in zip(one, two, strict=True)
    )
    assert not np.array_equal(one[0].noisy, other[0].noisy)
    assert all(m.noisy.shape == m.target.shape == (16000,) and m.noisy.dtype == np.float32 for m in one)


def test_speed_changes_pitch_and_length() -> None:
    wave = np.sin(np.arange(16000) * 2 * np.pi * 400 / 16000) * 9000
    rng = np.random.default_rng(3)
    lengths = set()
    for _ in range(20):
        played = at_another_speed(wave, rng, 0.3)
        lengths.add(len(played))
        assert np.exp(-0.33) < len(played) / 16000 < np.exp(0.33)
        peak = int(np.abs(np.fft.rfft(played)).argmax()) * 16000 / len(played)
        assert peak == pytest.approx(400 * 16000 / len(played), rel=5e-3)
    assert min(lengths) < 14000 and max(lengths) > 18000


def test_mixtures_that_measure_are_not_augmented() -> None:
    speech, disturbance, rooms = bank(1, (90000,)), bank(2, (90000,)), bank(3, (400,))
    plain = MixOptions(samples=8000, babble_share=0, rir_share=0, clip_share=0, silent_share=0)
    options = replace(unaugmented(plain), colour_share=0)
    assert (options.speech_speed, options.noise_speed, options.second_noise_share) == (0, 0, 0)
    drawn = draw(speech, disturbance, rooms, options, np.random.default_rng(1))
    rest = drawn.noisy - drawn.target
    source = disturbance.clip(0).astype(np.float64)
    match = np.correlate(source, rest - rest.mean(), "valid")
    start = int(np.abs(match).argmax())
    assert np.corrcoef(source[start : start + 8000], rest)[0, 1] > 0.999
    mixed = draw(speech, disturbance, rooms, replace(options, noise_speed=0.3), np.random.default_rng(1))
    rest = mixed.noisy - mixed.target
    match = np.correlate(source, rest - rest.mean(), "valid") / (8000 * source.std() * rest.std())
    assert np.abs(match).max() < 0.9


def test_drawn_snr_stays_in_its_range() -> None:
    speech, disturbance, rooms = bank(1, (9000,)), bank(2, (9000,)), bank(3, (400,))
    options = MixOptions(samples=4000, snr_low=3, snr_high=6, high_snr_share=0.5, rir_share=0)
    rng = np.random.default_rng(0)
    snrs = [draw(speech, disturbance, rooms, options, rng).snr_db for _ in range(60)]
    assert min(snrs) >= 3 and max(snrs) <= 26
    assert any(snr > 6 for snr in snrs) and any(snr < 6 for snr in snrs)


def test_room_with_one_path_changes_nothing() -> None:
    speech = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    room = np.zeros(1200)
    room[75] = 0.9
    wet, target = reverberate(speech, room)
    assert np.allclose(wet, speech, atol=1e-6) and np.allclose(target, speech, atol=1e-6)
    room[75 + 1000] = 0.5
    wet, target = reverberate(speech, room)
    assert np.allclose(target * rms(speech) / rms(target), speech, atol=1e-5)
    assert not np.allclose(wet, target, atol=1e-2)


@pytest.mark.parametrize("name", sorted(NOISES))
def test_noises_are_seeded_and_level(name: str) -> None:
    wave = noise(name, 8000, 5)
    assert wave.dtype == np.float32 and wave.shape == (8000,)
    assert rms(wave) == pytest.approx(0.05, rel=1e-3)
    assert np.array_equal(wave, noise(name, 8000, 5))
    assert not np.array_equal(wave, noise(name, 8000, 6))


def test_babble_needs_voices() -> None:
    voices = [np.random.default_rng(i).integers(-900, 900, 3000, np.int16) for i in range(3)]
    wave = babble(8000, 1, voices)
    assert rms(wave) == pytest.approx(0.05, rel=1e-3)
    assert np.array_equal(wave, babble(8000, 1, voices))
    with pytest.raises(ConfigError) as caught:
        babble(8000, 1, [np.zeros(10, np.int16)])
    assert str(caught.value) == "babble needs at least one voice that is not silent"


def test_unknown_noise() -> None:
    with pytest.raises(ConfigError) as caught:
        noise("rain", 100, 0)
    assert str(caught.value) == "unknown noise 'rain' (must be hum, fan or white)"


def test_corpus_is_read_by_its_manifest(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    rows = []
    for index, split in enumerate(("train", "train", "test")):
        samples = np.full(160 * (index + 1), index + 1, np.int16)
        soundfile.write(tmp_path / f"{index}.flac", samples, 16000)
        rows.append(f"{index}.flac,speech,{split},own,CC0,anna,en,{len(samples) / 16000:.2f},\n")
    (tmp_path / "manifest.csv").write_text(HEADER + "".join(rows))
    clips = select(read_manifest(tmp_path), "speech", "train")
    decoded = load_bank(clips)
    assert len(decoded) == 2 and decoded.seconds == 0.03
    assert decoded.clip(1).tolist() == [2] * 320
    with pytest.raises(AudioError, match="the corpus holds no noise in the split 'valid'"):
        select(clips, "noise", "valid")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "no such file (a corpus is a folder with manifest.csv; see --corpus)"),
        ("file,type\n", "column missing: seconds, source, speaker, split"),
        (HEADER + "a,song,train,,,,,1,\n", "type is 'song' (must be one of speech, noise, rir)"),
        (HEADER + "a,noise,dev,,,,,1,\n", "split is 'dev' (must be one of train, valid, test)"),
        (HEADER + "a,noise,test,,,,,long,\n", "seconds is 'long' (must be a number)"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(AudioError) as caught:
        read_manifest(tmp_path)
    assert str(caught.value).endswith(expected)


def test_undecodable_clip(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "bad.flac"
    path.write_bytes(b"fLaC and nothing")
    with pytest.raises(AudioError, match=r"bad\.flac: cannot be decoded \(.*\); restore the file"):
        decode(path)
    soundfile.write(path, np.zeros((10, 2)), 8000)
    with pytest.raises(AudioError, match=r"bad\.flac: 8000 Hz, 2 channels \(must be 16000 Hz or"):
        decode(path)
