"""Where noisy files and their targets come from: the committed list, or two folders of equal names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.errors import AudioError, ConfigError
from tinydsn.audio.files import read_wav
from tinydsn.evaluation.recipes import Audio, Recipe, render

SHORTEST = 8000
"""Half a second at 16 kHz; PESQ needs a quarter."""


@dataclass(frozen=True)
class ListedPair:
    """A mixture of a list, rendered when it is needed."""

    recipe: Recipe
    corpus: Path

    @property
    def name(self) -> str:
        """What its enhanced files are called."""
        return self.recipe.name

    @property
    def group(self) -> str:
        """The speaker."""
        return self.recipe.speaker

    @property
    def snr(self) -> float | None:
        """The recipe's SNR in dB."""
        return self.recipe.snr

    def load(self) -> Audio:
        """Noisy, target and noise, int16."""
        return render(self.recipe, self.corpus)

    def digest(self) -> str:
        """Names the content."""
        return self.recipe.digest()


@dataclass(frozen=True)
class FilePair:
    """A noisy file and the clean file of the same name."""

    name: str
    group: str
    noisy: Path
    clean: Path
    snr: float | None = None

    def load(self) -> Audio:
        """Noisy, clean, and their difference as the noise, int16. Raises AudioError for unequal lengths."""
        noisy, clean = read_wav(self.noisy), read_wav(self.clean)
        if len(noisy) != len(clean):
            raise AudioError(
                f"{self.noisy}: {len(noisy)} samples, and {self.clean}: {len(clean)} (must be equally long)"
            )
        if len(noisy) < SHORTEST:
            raise AudioError(
                f"{self.noisy}: {len(noisy)} samples (must be at least {SHORTEST}, half a second)"
            )
        difference = noisy.astype(np.int32) - clean
        return Audio(noisy, clean, np.clip(difference, -32768, 32767).astype(np.int16))

    def digest(self) -> str:
        """Names the content."""
        parts = (self.noisy.read_bytes(), self.clean.read_bytes())
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


Pair = ListedPair | FilePair


def listed(recipes: Sequence[Recipe], corpus: Path) -> tuple[ListedPair, ...]:
    """The recipes on a corpus. Raises AudioError when the corpus lacks a file that one of them names."""
    for recipe in recipes:
        files = [piece.file for piece in (*recipe.speech, *recipe.noise)]
        for file in [*files, *([recipe.room] if recipe.room else [])]:
            if not (corpus / file).is_file():
                raise AudioError(
                    f"{corpus / file}: no such file (mixture {recipe.name} of the test list needs it; "
                    "--corpus takes the corpus the list was made from)"
                )
    return tuple(ListedPair(recipe, corpus) for recipe in recipes)


def match_folders(noisy: Path, clean: Path, speaker: str | None = None) -> tuple[FilePair, ...]:
    """Pairs of the WAV files of two folders, by name and in its order; each file is read once, as a check.

    speaker: a regular expression whose first group, found in a name, is the speaker; without it each file
    is a group of its own. Raises AudioError when a folder is missing or empty, names differ, a file cannot
    be used, or two lengths differ; ConfigError for a wrong expression.
    """
    names = [_names(folder, option) for folder, option in ((noisy, "--noisy"), (clean, "--clean"))]
    only = [sorted(names[0] - names[1]), sorted(names[1] - names[0])]
    for missing, folder, other in ((only[0], clean, noisy), (only[1], noisy, clean)):
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise AudioError(f"{folder}: lacks {missing[0]}{more}, which {other} has (names must be equal)")
    pattern = _pattern(speaker)
    pairs = tuple(
        FilePair(Path(name).stem, _group(name, pattern), noisy / name, clean / name)
        for name in sorted(names[0])
    )
    seen: set[str] = set()
    for pair in pairs:
        if pair.name in seen:
            raise AudioError(f"{pair.noisy}: another file is named {pair.name} too; rename one")
        seen.add(pair.name)
        pair.load()
    return pairs


def _names(folder: Path, option: str) -> set[str]:
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder ({option} takes a folder of WAV files)")
    found = {path.name for path in folder.iterdir() if path.suffix.lower() == ".wav" and path.is_file()}
    if not found:
        raise AudioError(f"{folder}: holds no WAV files (must be mono, 16 bit, 16 kHz)")
    return found


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(f"--speaker {text!r}: not a regular expression ({error})") from None
    if pattern.groups < 1:
        raise ConfigError(f"--speaker {text!r}: has no group (must be such as '^(p[0-9]+)_')")
    return pattern


def _group(name: str, pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        return name
    found = pattern.search(name)
    if found is None:
        raise AudioError(f"{name}: --speaker {pattern.pattern!r} is not found in this name")
    return found.group(1) or ""


def spread(pairs: Sequence[FilePair], limit: int) -> tuple[FilePair, ...]:
    """At most ``limit`` pairs, evenly over the order of the names."""
    count = min(limit, len(pairs))
    return tuple(pairs[index * len(pairs) // count] for index in range(count))
