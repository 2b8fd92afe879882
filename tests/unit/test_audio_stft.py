"""The float front end: perfect reconstruction, causality, alignment with the device's frames."""

from __future__ import annotations

import numpy as np
import torch

from quant.frontend import FrontEnd
from tinydsn.audio.stft import analysis, enhance, features, sqrt_hann, synthesis

FRONT_END = FrontEnd()
DELAY = FRONT_END.window - FRONT_END.hop


def waves(batch: int = 2, hops: int = 20) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randn(batch, hops * FRONT_END.hop) * 0.1


def test_a_mask_of_ones_gives_the_input_delayed() -> None:
    wave = waves()
    out = enhance(wave, torch.ones(1, 1, 1), FrontEnd(bins=257))
    assert out.shape == wave.shape
    assert torch.allclose(out[:, DELAY:], wave[:, :-DELAY], atol=1e-6)


def test_the_topmost_line_is_dropped() -> None:
    alternating = 0.1 * (-1.0) ** torch.arange(20 * FRONT_END.hop)[None]
    out = enhance(alternating, torch.ones(1, 1, 1), FRONT_END)
    assert out[:, 1024:].abs().max() < 0.06 < 0.09 < alternating.abs().max()


def test_frames_end_with_their_hop() -> None:
    wave = waves(1)
    frames = analysis(wave, FRONT_END)
    assert frames.shape == (1, 20, 256)
    window = sqrt_hann(FRONT_END.window).numpy()
    for index in (0, 1, 7):
        piece = np.zeros(FRONT_END.window)
        end = (index + 1) * FRONT_END.hop
        known = wave[0, max(0, end - FRONT_END.window) : end].numpy()
        piece[FRONT_END.window - len(known) :] = known
        expected = np.fft.rfft(window * piece)[:256]
        assert np.abs(frames[0, index].numpy() - expected).max() < 1e-4


def test_the_future_does_not_leak() -> None:
    wave = waves(1)
    changed = wave.clone()
    changed[:, 10 * FRONT_END.hop :] = 0
    before, after = (synthesis(analysis(w, FRONT_END), FRONT_END) for w in (wave, changed))
    assert torch.equal(before[:, : 10 * FRONT_END.hop], after[:, : 10 * FRONT_END.hop])
    assert not torch.allclose(before, after)


def test_incomplete_hop_is_left_out() -> None:
    wave = waves(1)
    assert torch.equal(analysis(wave[:, :-1], FRONT_END), analysis(wave[:, : -FRONT_END.hop], FRONT_END))


def test_features_are_compressed_magnitudes() -> None:
    spectrum = torch.tensor([[[3 + 4j, 0j]]])
    expected = torch.tensor([[[5.0**0.3, 0.0]]])
    assert torch.allclose(features(spectrum, FRONT_END), expected)


def test_overlap_of_four_reconstructs_too() -> None:
    front_end = FrontEnd(window=512, hop=128, bins=257)
    wave = waves(1)
    out = enhance(wave, torch.ones(1, 1, 1), front_end)
    assert torch.allclose(out[:, 384:], wave[:, :-384], atol=1e-6)
