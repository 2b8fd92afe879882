"""Float meaning of the audio front end (profile A): analysis, features, synthesis, all batched.

The integer front end in ``quant.frontend`` does the same in fixed point, one hop at a time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quant.frontend import FrontEnd


def sqrt_hann(window: int) -> Tensor:
    """The periodic square-root Hann window, ``[window]``: ``sin(pi n / window)``."""
    return torch.sin(math.pi * torch.arange(window, dtype=torch.float64) / window).float()


def analysis(wave: Tensor, front_end: FrontEnd) -> Tensor:
    """Complex spectra ``[batch, frames, bins]`` of waves ``[batch, samples]`` in [-1, 1).

    Frame t ends with hop t, so the first frame begins with ``window - hop`` zeros; a last incomplete hop
    is left out.
    """
    frames = wave.shape[-1] // front_end.hop
    past = front_end.window - front_end.hop
    padded = torch.nn.functional.pad(wave[..., : frames * front_end.hop], (past, 0))
    pieces = padded.unfold(-1, front_end.window, front_end.hop)
    spectrum = torch.fft.rfft(pieces * sqrt_hann(front_end.window).to(wave))
    return spectrum[..., : front_end.bins]


def features(spectrum: Tensor, front_end: FrontEnd) -> Tensor:
    """Compressed magnitudes ``|X| ** compression``, the network's input."""
    return spectrum.abs() ** front_end.compression


def synthesis(spectrum: Tensor, front_end: FrontEnd) -> Tensor:
    """Waves ``[..., frames * hop]`` of spectra ``[..., frames, bins]``, by overlap-add.

    As on the device the output is delayed by ``window - hop`` samples: hop t of the output is what frame t
    completes. Bins at and above ``bins`` are zero.
    """
    missing = front_end.window // 2 + 1 - spectrum.shape[-1]
    full = torch.nn.functional.pad(spectrum, (0, missing))
    pieces = torch.fft.irfft(full, n=front_end.window) * sqrt_hann(front_end.window).to(full.real)
    frames = spectrum.shape[-2]
    overlap = front_end.window // front_end.hop
    chunks = pieces.unflatten(-1, (overlap, front_end.hop)) * (2 / overlap)
    total = chunks[..., 0, :]
    for age in range(1, overlap):
        older = chunks[..., : frames - age, age, :]
        total = total + torch.nn.functional.pad(older, (0, 0, age, 0))
    return total.flatten(-2)


def masked(spectrum: Tensor, mask: Tensor) -> Tensor:
    """Spectra ``[batch, frames, bins]`` times masks of that shape; masks ``[batch, frames, channels, bins]``
    give ``[batch, channels, frames, bins]``."""
    return spectrum * mask if mask.dim() == spectrum.dim() else spectrum.unsqueeze(1) * mask.transpose(1, 2)


def enhance(wave: Tensor, mask: Tensor, front_end: FrontEnd) -> Tensor:
    """``wave`` ``[batch, samples]`` through a mask ``[batch, frames, bins]``; delayed like `synthesis`."""
    return synthesis(analysis(wave, front_end) * mask, front_end)
