"""SI-SDR against its definition; DNSMOS in range, ordered, and absent without its extra."""

from __future__ import annotations

import numpy as np
import pytest

from quant.errors import AudioError, ConfigError
from tinydsn.audio import metrics
from tinydsn.audio.metrics import dnsmos, dnsmos_available, si_sdr


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
