"""The fixed-point front end against the real-number transform that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from quant.frontend.config import WINDOWS
from quant.frontend.reference import FrontEndReference

PROFILE_A = FrontEnd()
WITH_NYQUIST = FrontEnd(bins=257)
CONFIGS = [
    PROFILE_A,
    WITH_NYQUIST,
    FrontEnd(window=256, hop=128, bins=129),
    FrontEnd(window=1024, hop=256, bins=513),
    FrontEnd(window=64, hop=8, bins=33, compression=0.5),
]
IMPULSE = np.zeros(256 * 8)
IMPULSE[700] = 32767
EXTREMES = {
    "silence": np.zeros(256 * 8),
    "one step": np.ones(256 * 8),
    "most negative": np.full(256 * 8, -32768),
    "square": np.where(np.arange(256 * 8) // 20 % 2, -32768, 32767),
    "nyquist": np.where(np.arange(256 * 8) % 2, -32768, 32767),
    "impulse": IMPULSE,
    "negative impulse": -IMPULSE - 1,
}


@dataclass
class Trace:
    """Features [frames, bins] and output [frames * hop] of a clip."""

    features: np.ndarray
    output: np.ndarray


def open_mask(config: FrontEnd) -> np.ndarray:
    return np.full(config.bins, 32767, dtype=np.int16)


def fixed(config: FrontEnd, pcm: np.ndarray, mask: np.ndarray) -> Trace:
    front_end = FrontEndReference(config)
    features, output = [], []
    for hop in pcm.reshape(-1, config.hop):
        features.append(front_end.analysis(hop))
        output.append(front_end.synthesis(mask))
    return Trace(np.array(features), np.concatenate(output).astype(float))


def real(config: FrontEnd, pcm: np.ndarray, mask: np.ndarray) -> tuple[Trace, np.ndarray]:
    """The same in float64, not rounded; also the magnitudes |X| [frames, bins]."""
    n = config.window
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n))
    padded = np.concatenate([np.zeros(config.latency), pcm])
    output = np.zeros(len(padded))
    gains = np.zeros(n // 2 + 1)
    gains[: config.bins] = mask / 2**15
    magnitudes = []
    for start in range(0, len(pcm), config.hop):
        spectrum = np.fft.rfft(window * padded[start : start + n] / 2**15)
        magnitudes.append(np.abs(spectrum[: config.bins]))
        frame = window * np.fft.irfft(spectrum * gains) * 2 * config.hop / n
        output[start : start + n] += frame * 2**15
    kept = np.array(magnitudes)
    features = np.minimum(kept**config.compression * 2**config.feature_fraction_bits, 32767)
    return Trace(features, np.clip(output[: len(pcm)], -32768, 32767)), kept


def noise(config: FrontEnd, level: float, seed: int, hops: int = 40) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(hops * config.hop) * level * 2**15
    return np.clip(np.round(values), -32768, 32767).astype(np.int16)


def signal_to_noise(clean: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(clean**2) / np.sum((got - clean) ** 2)))


def allowed(config: FrontEnd, magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest right features of lines |X|.

    Lines have an absolute error, below a third of what the samples' own 16 bits are worth in a line.
    """
    slack = 0.1 * np.sqrt(config.window) / 2**15
    scale = 2**config.feature_fraction_bits
    low = np.maximum(magnitudes - slack, 0) ** config.compression * scale - 0.8
    return np.minimum(low, 32767), (magnitudes + slack) ** config.compression * scale + 0.8


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("level", [0.25, 0.03, 0.001, 0.0001])
def test_features_of_noise_are_right(config: FrontEnd, level: float) -> None:
    pcm = noise(config, level, seed=1)
    expected, magnitudes = real(config, pcm, open_mask(config))
    got = fixed(config, pcm, open_mask(config)).features
    low, high = allowed(config, magnitudes)
    assert ((low <= got) & (got <= high)).all()
    assert level < 0.01 or np.abs(got - expected.features).max() < 2
    assert np.sqrt(np.mean((got - expected.features) ** 2)) < (0.3 if level > 0.01 else 0.75)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_random_mask_is_applied_as_in_real_numbers(config: FrontEnd) -> None:
    rng = np.random.default_rng(2)
    mask = rng.integers(0, 32768, config.bins).astype(np.int16)
    for level in (0.25, 0.001):
        pcm = noise(config, level, seed=3)
        expected, _ = real(config, pcm, mask)
        assert np.abs(fixed(config, pcm, mask).output - expected.output).max() < 0.6


@pytest.mark.parametrize("config", [c for c in CONFIGS if c.bins > c.window // 2], ids=str)
@pytest.mark.parametrize("level", [0.25, 0.03, 0.001])
def test_open_mask_gives_the_input_back(config: FrontEnd, level: float) -> None:
    """To within the mask's 32767 / 32768 (90.3 dB); quiet input comes back without any error."""
    pcm = noise(config, level, seed=4)
    output = fixed(config, pcm, open_mask(config)).output
    delayed = np.concatenate([np.zeros(config.latency), pcm])[: len(pcm)]
    assert np.abs(output - delayed).max() <= 1
    assert level > 0.1 or np.array_equal(output, delayed)
    assert np.array_equal(output, delayed) or signal_to_noise(delayed, output) > 90


def test_profile_a_loses_only_the_nyquist_line() -> None:
    time = np.arange(256 * 40)
    voice = sum(np.sin(0.04 * k * time) / k for k in range(1, 30)) * 17000
    pcm = np.round(voice * np.hanning(len(time))).astype(np.int16)
    output = fixed(PROFILE_A, pcm, open_mask(PROFILE_A)).output
    delayed = np.concatenate([np.zeros(256), pcm])[: len(pcm)]
    assert np.abs(output - delayed).max() <= 2
    assert signal_to_noise(delayed, output) > 80


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("config", [PROFILE_A, WITH_NYQUIST], ids=str)
def test_extremes(config: FrontEnd, name: str) -> None:
    pcm = EXTREMES[name].astype(np.int16)
    expected, magnitudes = real(config, pcm, open_mask(config))
    got = fixed(config, pcm, open_mask(config))
    low, high = allowed(config, magnitudes)
    assert ((low <= got.features) & (got.features <= high)).all()
    assert np.abs(got.output - expected.output).max() < 0.6


def test_silence_is_exactly_silent() -> None:
    got = fixed(PROFILE_A, np.zeros(256 * 4, dtype=np.int16), open_mask(PROFILE_A))
    assert not got.features.any()
    assert not got.output.any()


def test_closed_mask_is_exactly_silent() -> None:
    got = fixed(PROFILE_A, noise(PROFILE_A, 0.5, seed=5), np.zeros(256, dtype=np.int16))
    assert not got.output.any()


def test_output_saturates() -> None:
    """A square wave without its upper harmonics overshoots the int16 range by the Gibbs effect."""
    pcm = EXTREMES["square"].astype(np.int16)
    mask = open_mask(PROFILE_A)
    mask[60:] = 0
    expected, _ = real(PROFILE_A, pcm, mask)
    got = fixed(PROFILE_A, pcm, mask)
    assert (got.output == 32767).any()
    assert (got.output == -32768).any()
    assert np.abs(got.output - expected.output).max() < 0.6


def test_features_saturate() -> None:
    config = FrontEnd(compression=1.0, feature_fraction_bits=15)
    pcm = EXTREMES["most negative"].astype(np.int16)
    got = fixed(config, pcm, open_mask(config))
    assert got.features[-1, 0] == 32767
    assert got.features.min() >= 0


hops = arrays(np.int16, (3, 256), elements=st.integers(-32768, 32767))


@settings(max_examples=60, deadline=None)
@given(hops)
def test_any_hops_have_the_right_features(pcm: np.ndarray) -> None:
    got = fixed(PROFILE_A, pcm.reshape(-1), open_mask(PROFILE_A)).features
    _, magnitudes = real(PROFILE_A, pcm.reshape(-1), open_mask(PROFILE_A))
    low, high = allowed(PROFILE_A, magnitudes)
    assert ((low <= got) & (got <= high)).all()


@settings(max_examples=60, deadline=None)
@given(hops)
def test_any_hops_come_back(pcm: np.ndarray) -> None:
    output = fixed(WITH_NYQUIST, pcm.reshape(-1), open_mask(WITH_NYQUIST)).output
    assert np.abs(output[256:] - pcm.reshape(-1)[:-256]).max() <= 2


@settings(max_examples=40, deadline=None)
@given(hops, arrays(np.int16, 256, elements=st.integers(-32768, 32767)))
def test_any_mask_is_applied(pcm: np.ndarray, mask: np.ndarray) -> None:
    expected, _ = real(PROFILE_A, pcm.reshape(-1), mask)
    assert np.abs(fixed(PROFILE_A, pcm.reshape(-1), mask).output - expected.output).max() < 1


def test_reset_forgets() -> None:
    pcm = noise(PROFILE_A, 0.1, seed=6, hops=4).reshape(-1, 256)
    front_end = FrontEndReference(PROFILE_A)
    runs = []
    for _ in range(2):
        front_end.reset()
        runs.append([(front_end.analysis(h), front_end.synthesis(open_mask(PROFILE_A))) for h in pcm])
    assert np.array_equal(runs[0], runs[1])


def test_wrong_arrays_are_refused() -> None:
    front_end = FrontEndReference(PROFILE_A)
    with pytest.raises(ConfigError) as caught:
        front_end.analysis(np.zeros(256))
    assert str(caught.value) == (
        "front end: pcm_hop is float64 [256] (must be int16 [256]); convert it or cut it into hops"
    )
    with pytest.raises(ConfigError) as caught:
        front_end.synthesis(np.zeros(257, dtype=np.int16))
    assert str(caught.value) == (
        "front end: mask is int16 [257] (must be int16 [256]); convert it or cut it into hops"
    )


def test_features_never_fall_with_the_level() -> None:
    """A tone and noise, from one step to full scale: those of the tone, and the sum of all."""
    time = np.arange(512)
    wave = 0.8 * np.sin(0.3 * time) + 0.2 * np.random.default_rng(9).uniform(-1, 1, 512)
    rows = []
    for level in 2.0 ** np.arange(4, 15.1, 0.25):
        front_end = FrontEndReference(PROFILE_A)
        front_end.analysis(np.round(level * wave[:256]).astype(np.int16))
        rows.append(front_end.analysis(np.round(level * wave[256:]).astype(np.int16)).astype(int))
    table = np.array(rows)
    assert (np.diff(table[:, 23:26], axis=0) > 0).all()
    assert (np.diff(table.sum(axis=1)) > 0).all()


def test_features_never_fall_with_the_power() -> None:
    """All neighbours of powers of two and of the ends of segments, through the same tables as any line."""
    for compression, bits in ((0.3, 12), (0.05, 14), (1.0, 15)):
        front_end = FrontEndReference(FrontEnd(compression=compression, feature_fraction_bits=bits))
        knots = np.unique(np.round(2.0 ** np.arange(0, 30.3, 1 / 256)).astype(np.int64))
        amplitudes = np.unique(np.concatenate([knots, knots + 1]))
        features = []
        for part in np.array_split(amplitudes, len(amplitudes) // 256 + 1):
            front_end.spectrum = np.zeros((2, 256), dtype=np.int64)
            front_end.spectrum[0, : len(part)] = part
            features.append(front_end._features()[: len(part)].astype(int))
        assert (np.diff(np.concatenate(features)) >= 0).all()


@pytest.mark.parametrize("window", WINDOWS)
def test_no_sum_can_overflow(window: int) -> None:
    """Full-scale samples with the signs of a line, and masks that gather all energy in one sample.

    These are the largest lines and samples that can be. What is added on the way to them is no larger.
    """
    config = FrontEnd(window=window, hop=window // 2, bins=window // 2 + 1)
    time = np.arange(window)
    for line in (0, 1, window // 8, window // 3, window // 2):
        for phase in (0.1, 0.8, 1.6):
            signs = np.cos(2 * np.pi * line * time / window + phase) < 0
            pcm = np.where(signs, -32768, 32767).astype(np.int16)
            front_end = FrontEndReference(config)
            front_end.analysis(pcm[: window // 2])
            front_end.analysis(pcm[window // 2 :])
            assert np.abs(front_end.spectrum).max() < 2**30.4
            assert line or np.abs(front_end.spectrum).max() > 2**30.3
    rng = np.random.default_rng(8)
    pcm = rng.choice([-32768, 32767], window).astype(np.int16)
    front_end = FrontEndReference(config)
    front_end.analysis(pcm[: window // 2])
    front_end.analysis(pcm[window // 2 :])
    towards = front_end.spectrum[0] * np.cos(2 * np.pi * np.arange(window // 2) * (window // 2) / window)
    mask = np.where(towards < 0, -32768, 32767).astype(np.int16)
    gains = np.stack([mask, mask])
    samples = front_end._fft.inverse(front_end._join((front_end.spectrum * gains) >> 16))
    assert np.abs(samples).max() < 2**30.1


@pytest.mark.parametrize("window", WINDOWS)
def test_fft_is_the_fft(window: int) -> None:
    """NumPy's, scaled down, either way."""
    front_end = FrontEndReference(FrontEnd(window=window, hop=window // 2, bins=window // 2))
    points = window // 2
    values = np.random.default_rng(3).integers(-(2**22), 2**22, (2, points))
    scale = 2.0**-front_end.numbers.halvings
    exact = values[0] + 1j * values[1]
    for got, expected in (
        (front_end._fft.forward(values), np.fft.fft(exact) * scale),
        (front_end._fft.inverse(values), np.fft.ifft(exact) * points * scale),
    ):
        assert np.abs(got[0] + 1j * got[1] - expected).max() < 3 + np.sqrt(points) / 2
