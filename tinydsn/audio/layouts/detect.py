"""Which layout a folder has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from quant.errors import AudioError
from tinydsn.audio.layouts.dns import dns, is_dns
from tinydsn.audio.layouts.entry import SUFFIXES, Entry, audio_files
from tinydsn.audio.layouts.librimix import is_librimix, librimix
from tinydsn.audio.layouts.manifest import is_manifest, manifest
from tinydsn.audio.layouts.pairs import is_pairs, pairs
from tinydsn.audio.layouts.plain import is_plain, plain
from tinydsn.audio.layouts.splits import fill_splits
from tinydsn.audio.layouts.voicebank import demand, is_demand, is_voicebank, voicebank

NEAR = 0.75
"""Similarity of two names from which one may be meant by the other."""


@dataclass(frozen=True)
class Layout:
    """A layout: its name, what it looks like, names that tell it, how it is recognised, and its files."""

    name: str
    looks: str
    names: tuple[str, ...]
    fits: Callable[[Path], bool]
    entries: Callable[[Path], Iterator[Entry]]


LAYOUTS = (
    Layout("manifest", "manifest.csv", ("manifest.csv",), is_manifest, manifest),
    Layout(
        "VoiceBank+DEMAND",
        "clean_trainset_28spk_wav/",
        ("clean_trainset_28spk_wav", "clean_trainset_56spk_wav", "clean_testset_wav"),
        is_voicebank,
        voicebank,
    ),
    Layout("DEMAND", "DKITCHEN/ch01.wav", ("DKITCHEN", "PCAFETER", "STRAFFIC"), is_demand, demand),
    Layout(
        "LibriMix",
        "Libri2Mix/wav16k/min/train-100/s1/",
        ("Libri2Mix", "Libri3Mix", "wav16k", "train-100", "train-360"),
        is_librimix,
        librimix,
    ),
    Layout(
        "DNS Challenge",
        "datasets_fullband/ with clean_fullband/ and noise_fullband/",
        ("datasets_fullband", "clean_fullband", "noise_fullband", "read_speech", "impulse_responses"),
        is_dns,
        dns,
    ),
    Layout("pairs", "no_reverb/, or clean/ and noisy/", ("no_reverb", "clean", "noisy"), is_pairs, pairs),
    Layout("folders", "speech/ and noise/", ("speech", "noise", "clean"), is_plain, plain),
)
"""In the order in which they are tried."""


def find_layout(folder: Path) -> Layout:
    """The first layout that fits. Raises AudioError, naming what was looked for, when none does."""
    if folder.is_file():
        raise AudioError(f"{folder}: is a file (must be a folder; of a manifest the one that holds it)")
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder")
    for layout in LAYOUTS:
        if layout.fits(folder):
            return layout
    for path in (*sorted(path for path in folder.iterdir() if path.is_dir()), folder.resolve().parent):
        other = _fitting(path)
        if other and (path.parent == folder or _takes(other, path, folder.resolve())):
            raise AudioError(f"{folder}: no known layout, but {path} has one ({other.name}); name that")
    looked = "; ".join(layout.looks for layout in LAYOUTS)
    if next(audio_files(folder), None) is None:
        raise AudioError(f"{folder}: holds no audio ({', '.join(SUFFIXES)}); looked for {looked}")
    raise AudioError(f"{folder}: no known layout (looked for {looked}); {_nearest(folder)}")


def read_layout(folder: Path) -> tuple[Layout, tuple[Entry, ...]]:
    """A folder's layout and its files, all with a split.

    Raises AudioError for a folder of no known layout, and for one that has the folders but no files.
    """
    layout = find_layout(folder)
    entries = fill_splits(tuple(layout.entries(folder)))
    if not entries:
        where = f"looks like {layout.name} ({layout.looks})"
        raise AudioError(f"{folder}: {where}, but lists no audio ({', '.join(SUFFIXES)})")
    return layout, entries


def _fitting(folder: Path) -> Layout | None:
    try:
        return next((layout for layout in LAYOUTS if layout.fits(folder)), None)
    except PermissionError:
        return None


def _takes(layout: Layout, folder: Path, inner: Path) -> bool:
    """Whether ``inner`` is one of the folders from which the layout of ``folder`` takes files."""
    return layout.name != "manifest" and any(inner in entry.path.parents for entry in layout.entries(folder))


def _nearest(folder: Path) -> str:
    """What the folder may be meant as: the pair of names that are most alike."""
    names = [path.name for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix == ".csv"]
    likeness, there, wanted, layout = max(
        (
            (SequenceMatcher(None, there.lower(), wanted.lower()).ratio(), there, wanted, layout.name)
            for layout in LAYOUTS
            for wanted in layout.names
            for there in names
        ),
        default=(0.0, "", "", ""),
    )
    if likeness >= NEAR:
        return f"nearest is {layout}, which has {wanted} where this has {there}"
    return "sort the files into speech/ and noise/"
