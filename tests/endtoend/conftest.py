"""Real noisy speech for whole-model tests, and the shipped model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refusals import clips, refused, wav

from quant.errors import AudioError
from quant.gates import PATTERNS, GatePattern
from quant.reference import Enhanced, Pipeline
from tinydsn.workflow.models import Model, load_model

__all__ = ["clips", "refused", "wav"]

RATE = 16000
HOP = 256
FRAMES = 1800
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"


SNRS_DB = (20.0, -3.0, 8.0)
"""In turn, one for each BLOCK samples, so that easy and hard stretches follow each other."""
BLOCK = 5 * RATE


def gains(samples: int) -> np.ndarray:
    """Amplitude of noise beside speech of equal power, for each sample."""
    return np.resize(np.repeat([10 ** (-snr / 20) for snr in SNRS_DB], BLOCK), samples)


def corpus_mixture(samples: int) -> np.ndarray | None:
    """Test speech in test noise, or None without the corpus."""
    import soundfile

    speech = sorted((CORPUS / "speech" / "test").glob("*.flac"))[::40]
    noise = sorted((CORPUS / "noise" / "test").glob("*.flac"))[::9]
    if not speech or not noise:
        return None
    voice = np.resize(np.concatenate([soundfile.read(path)[0] for path in speech]), samples)
    noises = np.resize(np.concatenate([soundfile.read(path)[0] for path in noise]), samples)
    gain = np.sqrt(np.mean(voice**2) / np.mean(noises**2)) * gains(samples)
    return np.clip(np.round((voice + gain * noises) * 32768), -32768, 32767).astype(np.int16)


def prompt_mixture(samples: int) -> np.ndarray:
    """The demo's voice and noise."""
    from tinydsn.audio.files import to_int16
    from tinydsn.audio.mixing import mix
    from tinydsn.audio.prompts import read_prompts
    from tinydsn.audio.sources import noise

    voice = read_prompts(samples / RATE)[:samples] / 32768.0
    return to_int16(mix(voice, noise("fan", samples, 3) * gains(samples), 3.0, -26.0).noisy)


@pytest.fixture(scope="session")
def noisy_speech() -> np.ndarray:
    """int16, 1,800 hops of real noisy speech: from the corpus where it is there, else recorded prompts."""
    found = corpus_mixture(FRAMES * HOP)
    if found is not None:
        return found
    try:
        return prompt_mixture(FRAMES * HOP)
    except AudioError as error:
        pytest.skip(f"no real speech: {error}")


@pytest.fixture(scope="session")
def model() -> Model:
    """The shipped model."""
    return load_model("dsn-s")


@pytest.fixture(scope="session")
def references(model: Model, noisy_speech: np.ndarray) -> dict[str, Enhanced]:
    """What every board must give for ``noisy_speech``, by gate pattern."""
    return {name: Pipeline(model.graph).run(noisy_speech, GatePattern(name)) for name in PATTERNS}
