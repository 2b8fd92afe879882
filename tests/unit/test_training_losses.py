"""Losses and schedules against their definitions."""

from __future__ import annotations

import pytest
import torch

from tinydsn.training.losses import sdr_loss, speech_loss
from tinydsn.training.schedule import GateSchedule, learning_rate


def test_speech_loss_is_zero_for_the_target_and_ordered() -> None:
    torch.manual_seed(0)
    target = torch.randn(2, 8000) * 0.1
    noise = torch.randn(2, 8000) * 0.1
    losses = [speech_loss(target + gain * noise, target, (320, 512)) for gain in (0.0, 0.1, 0.5)]
    assert losses[0].tolist() == [0.0, 0.0]
    assert (losses[1] > 0).all() and (losses[2] > losses[1]).all()


def test_speech_loss_sees_phase_and_magnitude() -> None:
    torch.manual_seed(0)
    target = torch.randn(1, 8192) * 0.1
    spectrum = torch.stft(target, 512, 256, window=torch.hann_window(512), return_complex=True)
    # A sign change leaves magnitudes alone: only the complex part is left, 0.3 * |2 S**c| ** 2.
    magnitude = spectrum.abs().square().add(1e-7).sqrt() ** 0.3
    expected = 0.3 * (2 * magnitude).square().mean()
    assert torch.allclose(speech_loss(-target, target, (512,))[0], expected, rtol=1e-3)


def test_speech_loss_has_a_finite_gradient_in_silence() -> None:
    estimate = torch.zeros(1, 4000, requires_grad=True)
    speech_loss(estimate, torch.zeros(1, 4000), (512,)).sum().backward()
    assert torch.isfinite(estimate.grad).all()


def test_sdr_loss() -> None:
    torch.manual_seed(0)
    target = torch.randn(1, 8000)
    error = torch.randn(1, 8000)
    error *= target.norm() / error.norm() / 10**0.5
    assert float(sdr_loss(target + error, target)) == pytest.approx(-10, abs=0.1)
    assert float(sdr_loss(target, target)) == pytest.approx(-30, abs=0.1)


def test_gate_schedule() -> None:
    gates = GateSchedule()
    assert gates.forced_open(0.0) and gates.forced_open(0.0999) and not gates.forced_open(0.1)
    assert [gates.usage_weight(done) for done in (0.0, 0.1, 0.25, 1.0)] == pytest.approx([0, 0, 1, 1])
    assert [gates.temperature(done) for done in (0.0, 0.3, 0.6, 1.0)] == pytest.approx([2, 1, 0.5, 0.5])
    assert [gates.noise(done) for done in (0.0, 0.5, 0.625, 0.75, 1.0)] == pytest.approx([1, 1, 0.5, 0, 0])


def test_learning_rate() -> None:
    rates = [learning_rate(done, 1e-3, 0.1, 0.01) for done in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert rates == pytest.approx([1e-6, 5e-4, 1e-3, 1e-3 * (0.01 + 0.99 / 2), 1e-5])
