"""SI-SDR against its definition; PESQ and STOI ordered; DNSMOS in range; all absent without their extra."""

from __future__ import annotations

import numpy as np
import pytest

from quant.errors import AudioError, ConfigError
from tinydsn.audio import metrics
from tinydsn.audio.metrics import dnsmos, dnsmos_available, pesq_wb, si_sdr, stoi


def test_si_sdr_of_known_noise() -> None:
    rng = np.random.default_rng(0)
    target = rng.standard_normal(20000)
    target -= target.mean()
    error = rng.standard_normal(20000)
    error -= error.mean()
    error -= (error @ target) / (target @ target) * target
    error *= np.sqrt(target @ target / (error @ error)) / 10
    assert si_sdr(target + error, target) == pytest.approx(20.0)
    assert si_sdr(7 * (target + error) + 3, target) == pytest.approx(20.0)


def test_si_sdr_at_its_ends() -> None:
    target = np.array([1, -1, 2, -2], np.int16)
    assert si_sdr(target, target) == float("inf")
    assert si_sdr(np.zeros(4), target) == float("inf") or si_sdr(np.array([1.0, 1, 0, 0]), target) < 0
    with pytest.raises(AudioError, match="SI-SDR needs a target that is not silent"):
        si_sdr(target, np.zeros(4))
    with pytest.raises(AudioError, match=r"SI-SDR of shapes \(3,\) and \(4,\) \(must be equal, one axis\)"):
        si_sdr(target[:3], target)


def test_dnsmos_rates_noise_low_and_loops_short_clips() -> None:
    if not dnsmos_available():
        pytest.skip("the extra 'metrics' is not installed")
    noise = np.random.default_rng(0).standard_normal(16000) * 0.05
    rating = dnsmos(noise)
    assert 1 < rating.bak < 2.5 and 1 < rating.ovrl < 2.5
    looped = np.tile(noise, 16)[: len(noise) * 16]
    assert dnsmos(looped[: metrics.SEGMENT]) == pytest.approx(dnsmos(looped[: metrics.SEGMENT + 100]))


def test_dnsmos_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics._session.cache_clear()
    monkeypatch.setattr(metrics, "dnsmos_available", lambda: False)
    with pytest.raises(ConfigError) as caught:
        dnsmos(np.ones(100, np.float32))
    assert (
        str(caught.value) == "DNSMOS needs the extra 'metrics' (install it: pip install 'tinydsn[metrics]')"
    )


def test_dnsmos_of_nothing() -> None:
    with pytest.raises(AudioError, match=r"DNSMOS of shape \(0,\)"):
        dnsmos(np.zeros(0))


def noise_in_speech(seconds: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Something with utterances and pauses, and the same in noise, int16."""
    rng = np.random.default_rng(5)
    time = np.arange(int(seconds * 16000)) / 16000
    voice = sum(np.sin(2 * np.pi * 140 * k * time + k) / k for k in range(1, 25))
    voice = voice * (np.sin(2 * np.pi * 0.7 * time) > 0) * (1.2 + np.sin(2 * np.pi * 4 * time))
    target = (2000 * voice).astype(np.int16)
    return (target + 400 * rng.standard_normal(len(time))).astype(np.int16), target


def test_pesq_orders_and_does_not_depend_on_the_level() -> None:
    pytest.importorskip("pesq")
    noisy, target = noise_in_speech()
    worse = (target + 4.0 * (noisy.astype(float) - target)).astype(np.int16)
    best, middle, low = (pesq_wb(wave, target) for wave in (target, noisy, worse))
    assert best is not None and middle is not None and low is not None
    assert best == pytest.approx(4.644, abs=0.01) and 1 < low < middle < 4
    assert pesq_wb(noisy / 32768, target / 32768) == pytest.approx(middle, abs=1e-4)


def test_pesq_where_there_is_nothing_to_hear() -> None:
    pytest.importorskip("pesq")
    noisy, target = noise_in_speech()
    silence = np.zeros_like(target)
    assert pesq_wb(silence, target) is None
    assert pesq_wb(noisy, silence) is None
    # 50 ms of sound are no utterance: the package raises
    short = silence.copy()
    short[30000:30800] = noisy[:800]
    assert pesq_wb(noisy, short) is None
    with pytest.raises(AudioError, match=r"PESQ of 2000 samples \(must be at least 4000\)"):
        pesq_wb(noisy[:2000], target[:2000])
    with pytest.raises(AudioError, match=r"PESQ of shapes \(3,\) and \(4,\)"):
        pesq_wb(noisy[:3], target[:4])


def test_stoi() -> None:
    pytest.importorskip("pystoi")
    noisy, target = noise_in_speech()
    assert stoi(target, target) == pytest.approx(1)
    value = stoi(noisy, target)
    assert value is not None and 0.3 < value < 1
    assert stoi(noisy / 32768, target / 32768) == pytest.approx(value, abs=1e-9)
    assert stoi(noisy, np.zeros_like(target)) is None
    assert stoi(noisy[:5000], target[:5000]) is None  # too few frames
    with pytest.raises(AudioError, match=r"STOI of shapes \(3,\) and \(4,\)"):
        stoi(noisy[:3], target[:4])


def test_measures_without_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.util, "find_spec", lambda name: None)
    install = "(install it: pip install 'tinydsn[metrics]')"
    for measure, text in ((pesq_wb, f"PESQ needs the package pesq {install}"),
                          (stoi, f"STOI needs the package pystoi {install}")):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            measure(np.ones(9), np.ones(9))
        assert str(caught.value) == text
    with pytest.raises(ConfigError) as caught:
        metrics.require_metrics()
    assert str(caught.value) == (
        "the metrics need pesq, pystoi, speechmos, onnxruntime "
        "(install the extra: pip install 'tinydsn[metrics]')"
    )
