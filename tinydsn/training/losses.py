"""Losses of the speech: compressed spectra at several resolutions, and the waveform's SDR."""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-7
"""Added to powers before the root: bounds the slope of ``|S| ** 0.3`` in silence."""


def transform(wave: Tensor, window: int, compression: float) -> tuple[Tensor, Tensor, Tensor]:
    """Real part, imaginary part and magnitude of compressed spectra of waves ``[batch, samples]``."""
    spectrum = torch.stft(
        wave, window, window // 2, window=torch.hann_window(window, device=wave.device), return_complex=True
    )
    real, imaginary = spectrum.real.contiguous(), spectrum.imag.contiguous()
    power = real * real + imaginary * imaginary + FLOOR
    magnitude = power ** (compression / 2)
    factor = magnitude * power.rsqrt()
    return real * factor, imaginary * factor, magnitude


def speech_loss(
    estimate: Tensor, target: Tensor, windows: tuple[int, ...], compression: float = 0.3
) -> Tensor:
    """Multi-resolution compressed loss per clip ``[batch]`` (PAPERS.md, section 1).

    ``0.7 * (|S'|**c - |S|**c)**2 + 0.3 * |S'**c - S**c|**2``, mean over bins and frames and over windows.
    """
    total = estimate.new_zeros(estimate.shape[0])
    for window in windows:
        real, imaginary, magnitude = transform(estimate, window, compression)
        with torch.no_grad():
            wanted_real, wanted_imaginary, wanted_magnitude = transform(target, window, compression)
        error = 0.7 * (magnitude - wanted_magnitude).square()
        error = error + 0.3 * ((real - wanted_real).square() + (imaginary - wanted_imaginary).square())
        total = total + error.mean((-1, -2))
    return total / len(windows)


def sdr_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Negative signal-to-distortion ratio in dB per clip ``[batch]``, softly limited at 30 dB."""
    signal = target.square().sum(-1)
    error = (estimate - target).square().sum(-1)
    return 10 * torch.log10((error + 1e-3 * signal + 1e-6) / (signal + 1e-6))
