"""The six measures of one wave against its target."""

from __future__ import annotations

import math

import numpy as np

from tinydsn.audio.metrics import dnsmos, pesq_wb, si_sdr, stoi

METRICS = ("SIG", "BAK", "OVRL", "PESQ", "STOI", "SISDR")

Scores = dict[str, float | None]
"""Value by metric; None where the metric is not defined for the wave."""


def score(wave: np.ndarray, target: np.ndarray) -> Scores:
    """DNSMOS P.835 (SIG, BAK, OVRL), PESQ-WB, STOI and SI-SDR (dB) of int16 waves ``[samples]``, aligned.

    None for PESQ without an utterance, STOI without enough speech, and an SI-SDR that is not finite (the
    wave is the target, or holds nothing of it). Raises ConfigError when the extra ``metrics`` is missing.
    """
    rated = dnsmos(wave)
    ratio = si_sdr(wave, target)
    return {
        "SIG": rated.sig,
        "BAK": rated.bak,
        "OVRL": rated.ovrl,
        "PESQ": pesq_wb(wave, target),
        "STOI": stoi(wave, target),
        "SISDR": ratio if math.isfinite(ratio) else None,
    }
