"""VoiceBank+DEMAND (Valentini-Botinhao 2016) and DEMAND (Thiemann et al. 2013)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tinydsn.audio.layouts.entry import Entry, audio_files

SET = re.compile(r"(clean|noisy)_((train|test)set(_\d+spk)?)_wav(_16k)?")
VALID_SPEAKERS = ("p226", "p287")
"""Customary validation speakers of the 28-speaker training set."""
ROOM = re.compile(r"[DNOPST][A-Z]{3,}")
"""DEMAND's recordings: DKITCHEN, NPARK, OOFFICE, PCAFETER, STRAFFIC, TBUS, ..."""
TEST_ROOMS = ("DLIVING", "OOFFICE", "SCAFE", "SPSQUARE", "TBUS")
"""The noises of VoiceBank's test set (Valentini-Botinhao et al. 2016)."""


def sets_of(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    """The folders of clean speech."""
    named = ((path, SET.fullmatch(path.name)) for path in sorted(folder.iterdir()) if path.is_dir())
    return [(path, found) for path, found in named if found and found[1] == "clean"]


def is_voicebank(folder: Path) -> bool:
    """Holds clean_trainset_28spk_wav or another of the clean sets."""
    return bool(sets_of(folder))


def voicebank(folder: Path) -> Iterator[Entry]:
    """Speech of the clean sets: p226_001.wav is speaker p226.

    Where the noisy set lies beside, each pair gives its noise too: noisy minus clean, of the kind that the
    set's log (log_trainset_28spk.txt) names. It goes with the speech's split. Each training speaker meets the
    same ten noises, so those of valid are heard in train as well; those of test are not.
    """
    for path, found in sets_of(folder):
        kinds = noise_kinds(folder, found[2])
        noisy = path.with_name(path.name.replace("clean", "noisy", 1))
        for file in audio_files(path):
            speaker = file.stem.split("_")[0]
            split = "test" if found[3] == "test" else "valid" if speaker in VALID_SPEAKERS else "train"
            yield Entry(file, "speech", split, "VoiceBank", speaker, lang="en", licence="CC-BY-4.0")
            pair = noisy / file.relative_to(path)
            if pair.is_file():
                note = kinds.get(file.stem, "noisy - clean")
                yield Entry(
                    *(pair, "noise", split, "VoiceBank+DEMAND"),
                    note=note,
                    licence="CC-BY-4.0",
                    group=speaker,
                    minus=file,
                )


def noise_kinds(folder: Path, name: str) -> dict[str, str]:
    """Kind of noise by file, from lines such as ``p232_001 bus 17.5`` of the set's log; {} without it."""
    for path in (folder / f"log_{name}.txt", folder / "logfiles" / f"log_{name}.txt"):
        if path.is_file():
            rows = (line.split() for line in path.read_text(errors="replace").splitlines())
            return {row[0]: row[1] for row in rows if len(row) >= 2}
    return {}


def rooms_of(folder: Path) -> list[Path]:
    """The folders with the channels ch01 to ch16."""
    named = (path for path in sorted(folder.iterdir()) if ROOM.fullmatch(path.name))
    return [path for path in named if (path / "ch01.wav").is_file()]


def is_demand(folder: Path) -> bool:
    """Holds folders such as DKITCHEN with the channels ch01 to ch16."""
    return bool(rooms_of(folder))


def demand(folder: Path) -> Iterator[Entry]:
    """The first of the sixteen channels of each recording; VoiceBank's test noises are test here too."""
    for path in rooms_of(folder):
        split, kind = "test" if path.name in TEST_ROOMS else "", path.name.lower()
        yield Entry(
            path / "ch01.wav", "noise", split, "DEMAND", note=kind, licence="CC-BY-SA-3.0", group=path.name
        )
