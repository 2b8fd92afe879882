"""Real noisy speech for whole-model tests, and the shipped model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.errors import AudioError

RATE = 16000
HOP = 256
FRAMES = 1800
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"


def corpus_mixture(samples: int) -> np.ndarray | None:
    """Test speech in test noise at about 3 dB, or None without the corpus."""
    import soundfile

    speech = sorted((CORPUS / "speech" / "test").glob("*.flac"))[::40]
    noise = sorted((CORPUS / "noise" / "test").glob("*.flac"))[::9]
    if not speech or not noise:
        return None
    voice = np.resize(np.concatenate([soundfile.read(path)[0] for path in speech]), samples)
    noises = np.resize(np.concatenate([soundfile.read(path)[0] for path in noise]), samples)
    gain = np.sqrt(np.mean(voice**2) / np.mean(noises**2)) * 10 ** (-3 / 20)
    return np.clip(np.round((voice + gain * noises) * 32768), -32768, 32767).astype(np.int16)


def prompt_mixture(samples: int) -> np.ndarray:
    """The demo's voice and noise."""
    from tinydsn.audio.files import to_int16
    from tinydsn.audio.mixing import mix
    from tinydsn.audio.prompts import read_prompts
    from tinydsn.audio.sources import noise

    voice = read_prompts(samples / RATE)[:samples] / 32768.0
    return to_int16(mix(voice, noise("fan", samples, 3), 3.0, -26.0).noisy)


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
