"""LibriMix (Cosentino et al. 2020): the speech and the noise that its mixtures are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tinydsn.audio.layouts.entry import Entry, audio_files

SPLITS = {"train-100": "train", "train-360": "train", "dev": "valid", "test": "test"}
RATES = ("wav16k", ".", "wav8k")
FORMS = ("min", "max", ".")
TOPS = ("Libri2Mix", "Libri3Mix", ".")


def sets_of(folder: Path) -> list[Path]:
    """The folders train-100, dev, ... below Libri2Mix/wav16k/min, from wherever in it one starts.

    One form of the mixtures only: 16 kHz before 8 kHz, two speakers before three, and ``min`` before ``max``,
    whose files are filled up with zeros to the longer speaker's length.
    """
    for rate in RATES:
        for form in FORMS:
            for top in TOPS:
                base = folder / top / rate / form
                found = [base / name for name in SPLITS if (base / name / "s1").is_dir()]
                if found:
                    return found
    return []


def is_librimix(folder: Path) -> bool:
    """Holds a split with the folder s1."""
    return bool(sets_of(folder))


def librimix(folder: Path) -> Iterator[Entry]:
    """The sources s1, s2, s3 (103-1240-0003_1235-135887-0017.wav: speakers 103 and 1235) and the noise.

    An utterance occurs in several mixtures; it is taken once. The mixtures themselves are not used.
    """
    taken: set[tuple[str, str]] = set()
    for path in sets_of(folder):
        split = SPLITS[path.name]
        for index, name in enumerate(("s1", "s2", "s3")):
            for file in audio_files(path / name):
                parts = file.stem.split("_")
                utterance = parts[index] if index < len(parts) else file.stem
                if (split, utterance) not in taken:
                    taken.add((split, utterance))
                    speaker = utterance.split("-")[0]
                    yield Entry(file, "speech", split, "LibriMix", speaker, lang="en", licence="CC-BY-4.0")
        for file in audio_files(path / "noise"):
            yield Entry(file, "noise", split, "LibriMix", note="WHAM!", licence="CC-BY-NC-4.0")
