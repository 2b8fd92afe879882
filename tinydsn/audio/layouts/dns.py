"""The DNS Challenge's corpus (Reddy et al. 2020 and later): clean speech, noise, impulse responses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tinydsn.audio.layouts.entry import Entry, audio_files, first_folder

SOURCE = "DNS Challenge"
READER = re.compile(r"reader_(\d+)|(?:^|_)(p\d{3})(?:_|$)")
FREESOUND = re.compile(r"(.+?)_Freesound")
PIECE = re.compile(r"_\d+$")
CLEAN = ("clean_fullband", "clean")
NOISE = ("noise_fullband", "noise")
ROOMS = ("impulse_responses", "rir")
LANGUAGES = {
    **{"read_speech": "en", "vctk_wav48_silence_trimmed": "en", "emotional_speech": "en"},
    **{"french_speech": "fr", "german_speech": "de", "italian_speech": "it", "russian_speech": "ru"},
    **{"spanish_speech": "es", "mandarin_speech": "zh"},
}
"""The folders of speech; the fourth challenge has them beside noise, without ``clean`` around them.

VocalSet, which lies among them, is singing and left out."""


def root_of(folder: Path) -> Path:
    """The folder that holds the kinds: ``datasets``, ``datasets_fullband``, or the folder itself."""
    return first_folder(folder, "datasets_fullband", "datasets") or folder


def speech_folders(root: Path) -> list[Path]:
    """``clean_fullband`` or ``clean``, or else the folders by language."""
    clean = first_folder(root, *CLEAN)
    return [clean] if clean else [root / name for name in LANGUAGES if (root / name).is_dir()]


def is_dns(folder: Path) -> bool:
    """Holds clean_fullband and noise_fullband, read_speech and noise, or datasets with such folders."""
    root = root_of(folder)
    named = root != folder or any((root / name).is_dir() for name in (CLEAN[0], ROOMS[0], *LANGUAGES))
    return named and bool(speech_folders(root)) and first_folder(root, *NOISE) is not None


def dns(folder: Path) -> Iterator[Entry]:
    """Speakers by reader number where the names tell (``..._reader_01234_...``), else by sub-folder.

    Kinds of noise by name (``door_Freesound_validated_1_0``: door); the other noises are clips of AudioSet,
    whose names tell nothing. Pieces of one recording share a split, rooms that of their folder. The
    challenge's test set is no part of this (name its folder ``no_reverb`` for that).
    """
    root = root_of(folder)
    for where in speech_folders(root):
        for file in audio_files(where):
            yield _speech(file, root, where)
    noise, rooms = first_folder(root, *NOISE), first_folder(root, *ROOMS)
    if noise:
        yield from (_noise(file, noise) for file in audio_files(noise))
    # SLR28 keeps recorded noises beside its rooms.
    for file in (file for file in audio_files(rooms) if "noise" not in file.stem) if rooms else ():
        group = file.stem if file.parent == rooms else str(file.parent.relative_to(root))
        yield Entry(file, "rir", "", SOURCE, licence="Apache-2.0", group=group)


def _noise(file: Path, where: Path) -> Entry:
    sub = "/".join(file.relative_to(where).parts[:-1])
    found = FREESOUND.match(file.stem)
    note = found[1].lower().replace("_", " ") if found else sub or "AudioSet"
    return Entry(file, "noise", "", SOURCE, note=note, group=PIECE.sub("", file.stem))


def _speech(file: Path, root: Path, where: Path) -> Entry:
    found = READER.search(file.stem)
    sub = "/".join(file.relative_to(where).parts[:-1]) or (where.name if where.name in LANGUAGES else "")
    lang = next((LANGUAGES[part] for part in file.relative_to(root).parts if part in LANGUAGES), "")
    return Entry(file, "speech", "", SOURCE, (found[1] or found[2]) if found else sub, note=sub, lang=lang)
