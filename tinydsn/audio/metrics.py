"""Quality measures: SI-SDR, PESQ-WB (P.862.2), STOI, and DNSMOS P.835."""

from __future__ import annotations

import hashlib
import math
import warnings
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quant.errors import AudioError, ConfigError

RATE = 16000
SEGMENT = int(9.01 * RATE)
INSTALL = "pip install 'tinydsn[metrics]'"
PACKAGES = ("pesq", "pystoi", "speechmos", "onnxruntime")
"""What the extra ``metrics`` brings and the measures import."""

# The model's raw outputs are mapped to the rating scale by these polynomials (highest power first); they
# belong to the non-personalised P.835 model that the package ships.
CALIBRATION = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


class Dnsmos(NamedTuple):
    """Predicted ratings from 1 to 5: speech signal, background, overall."""

    sig: float
    bak: float
    ovrl: float


def si_sdr(estimate: np.ndarray, target: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB of two waves ``[samples]``, means removed.

    Infinite for a perfect estimate. Raises AudioError for different lengths or a silent target.
    """
    if estimate.shape != target.shape or target.ndim != 1:
        raise AudioError(f"SI-SDR of shapes {estimate.shape} and {target.shape} (must be equal, one axis)")
    wanted = target.astype(np.float64) - target.mean(dtype=np.float64)
    found = estimate.astype(np.float64) - estimate.mean(dtype=np.float64)
    energy = float(wanted @ wanted)
    if energy == 0:
        raise AudioError("SI-SDR needs a target that is not silent")
    projection = (found @ wanted) / energy * wanted
    error = float(np.sum((found - projection) ** 2))
    signal = float(projection @ projection)
    if error == 0:
        return float("inf")
    return float("-inf") if signal == 0 else 10 * float(np.log10(signal / error))


def _same_shape(name: str, estimate: np.ndarray, target: np.ndarray) -> None:
    if estimate.shape != target.shape or target.ndim != 1 or not target.size:
        raise AudioError(
            f"{name} of shapes {estimate.shape} and {target.shape} (must be equal, one axis, not empty)"
        )


def require_metrics() -> None:
    """Raises ConfigError, naming the packages, when the extra ``metrics`` is not complete."""
    missing = [name for name in PACKAGES if util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"the metrics need {', '.join(missing)} (install the extra: {INSTALL})")


def measures_digest() -> str:
    """16 hexadecimal digits that change with the versions of the packages that measure."""
    found = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    return hashlib.sha256(" ".join(found).encode()).hexdigest()[:16]


def pesq_wb(estimate: np.ndarray, target: np.ndarray) -> float | None:
    """Wide-band PESQ (ITU-T P.862.2, MOS-LQO of 1.0 to 4.64) of two 16 kHz waves ``[samples]``.

    None where it is not defined: a wave is silent, or no utterance is found in the target. Only the shape
    counts, not the level. Raises AudioError for other lengths, ConfigError without the package ``pesq``.
    """
    _same_shape("PESQ", estimate, target)
    if util.find_spec("pesq") is None:
        raise ConfigError(f"PESQ needs the package pesq (install it: {INSTALL})")
    import pesq

    if not estimate.any() or not target.any():
        return None
    try:
        value = float(pesq.pesq(RATE, _in_full_scale(target), _in_full_scale(estimate), "wb"))
    except (pesq.NoUtterancesError, ValueError):
        # ValueError: the package meets a NaN of its own, in waves of almost nothing.
        return None
    except pesq.BufferTooShortError:
        raise AudioError(f"PESQ of {len(target)} samples (must be at least {RATE // 4})") from None
    return value if math.isfinite(value) else None


def stoi(estimate: np.ndarray, target: np.ndarray) -> float | None:
    """Short-time objective intelligibility (Taal et al. 2011, not extended), about 0 to 1, at 16 kHz.

    None where it is not defined: less than 30 frames of the target (0.4 s) lie within 40 dB of the loudest.
    Raises AudioError for other lengths, ConfigError without the package ``pystoi``.
    """
    _same_shape("STOI", estimate, target)
    if util.find_spec("pystoi") is None:
        raise ConfigError(f"STOI needs the package pystoi (install it: {INSTALL})")
    import pystoi

    if not target.any():
        return None
    with warnings.catch_warnings():
        # The package warns, and answers 1e-5, when too few frames are left.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            value = float(pystoi.stoi(_in_full_scale(target), _in_full_scale(estimate), RATE))
        except RuntimeWarning:
            return None
    return value if math.isfinite(value) else None


def _in_full_scale(wave: np.ndarray) -> np.ndarray:
    """float64 in [-1, 1): int16 is divided by 32768."""
    return wave.astype(np.float64) / (32768 if wave.dtype == np.int16 else 1)


def dnsmos_available() -> bool:
    """Are the packages that DNSMOS needs installed?"""
    return all(util.find_spec(name) is not None for name in ("speechmos", "onnxruntime"))


@cache
def _session() -> Any:
    if not dnsmos_available():
        raise ConfigError(f"DNSMOS needs the extra 'metrics' (install it: {INSTALL})")
    import onnxruntime

    spec = util.find_spec("speechmos")
    folder = Path(str(spec.origin)).parent if spec else Path()
    model = folder / "dnsmos_models" / "sig_bak_ovr.onnx"
    if not model.is_file():
        raise ConfigError(f"{model}: no such file (install speechmos 0.0.1.1: {INSTALL})")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])


def dnsmos(wave: np.ndarray) -> Dnsmos:
    """DNSMOS P.835 ratings of a 16 kHz wave ``[samples]``, int16 or float in [-1, 1].

    Clips shorter than 9.01 s are looped; longer ones are rated in windows of 9.01 s every second, and the
    ratings averaged. Ratings of looped clips read 0.2 to 0.35 low.

    Raises ConfigError when the extra ``metrics`` is not installed, AudioError for an empty wave.
    """
    if wave.ndim != 1 or not wave.size:
        raise AudioError(f"DNSMOS of shape {wave.shape} (must have one axis and at least one sample)")
    session = _session()
    samples = wave.astype(np.float32) / 32768 if wave.dtype == np.int16 else wave.astype(np.float32)
    while len(samples) < SEGMENT:
        samples = np.concatenate([samples, samples])
    starts = range(0, len(samples) - SEGMENT + 1, RATE)
    raw = np.mean(
        [
            _rate(session.run(None, {"input_1": samples[None, start : start + SEGMENT]})[0][0])
            for start in starts
        ],
        axis=0,
    )
    return Dnsmos(*(float(value) for value in raw))


def _rate(raw: np.ndarray) -> tuple[float, ...]:
    pairs = zip(CALIBRATION.values(), raw, strict=True)
    return tuple(float(np.polyval(polynomial, value)) for polynomial, value in pairs)
