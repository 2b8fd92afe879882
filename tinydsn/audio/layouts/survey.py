"""What corpora hold, and what is wrong with them, for people and for training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import AudioError
from tinydsn.audio.corpus import KINDS, RATE, SPLITS
from tinydsn.audio.layouts.derive import derive_noise, derived_folder, simulated_rooms
from tinydsn.audio.layouts.detect import read_layout
from tinydsn.audio.layouts.entry import Entry, audio_files
from tinydsn.audio.layouts.inspect import Inspected, inspect_entries
from tinydsn.audio.layouts.manifest import write_manifest
from tinydsn.audio.layouts.splits import at_most

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SurveyOptions:
    """What to do with the files.

    manifest   file to write, or a folder for manifest.csv; None: only look
    whole      decode every file, instead of reading its header
    most_bad   percent of files that may be of no use
    hours      most hours of training speech, and of training noise; None: all
    """

    manifest: Path | None = None
    whole: bool = False
    most_bad: float = 2.0
    hours: float | None = None


def survey(
    folders: Sequence[Path], options: SurveyOptions | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Finds each folder's layout, looks at its files, and writes a manifest of those that are of use.

    With a manifest go, in the folder ``derived`` beside it, the noises that are the difference of a noisy
    and a clean file (left out where another folder brings noise: VoiceBank's are from DEMAND), and simulated
    rooms where there are none. Raises AudioError for a folder without a known layout, and when more than
    ``most_bad`` percent of the files are of no use: nothing is written then.
    """
    options = options or SurveyOptions()
    place = options.manifest
    if place is not None and (place.is_dir() or place.suffix.lower() != ".csv"):
        place = place / "manifest.csv"
    layouts, entries, remarks = collect(folders)
    total = len(entries)
    seen = inspect_entries(entries, options.whole, progress)
    refuse(seen, total, options.most_bad)
    if options.hours is not None:
        seen = Inspected(at_most(seen.entries, options.hours), seen.problems)
    if place is not None:
        seen = write(seen, total, place, options.most_bad, progress)
        if place.name != "manifest.csv":
            remarks.append(f"training takes a folder with manifest.csv; this one is named {place.name}")
    return {
        "layouts": layouts,
        "parts": parts(seen.entries),
        "noises": noises(seen.entries),
        "problems": [{"file": str(path), "problem": problem} for path, problem in seen.problems],
        "remarks": [{"remark": text} for text in (*remarks, *lacking(seen.entries), *shared(seen.entries))],
        "files": len(seen.entries),
        "skipped": len(seen.problems),
        "training_memory_gb": round(memory(seen.entries), 3),
        **({"manifest": str(place)} if place else {}),
    }


def collect(folders: Sequence[Path]) -> tuple[list[dict[str, Any]], list[Entry], list[str]]:
    """Layouts, files and remarks of all folders; a file that two folders list is taken once."""
    layouts: list[dict[str, Any]] = []
    entries: dict[tuple[Path, str], Entry] = {}
    remarks: list[str] = []
    for folder in folders:
        layout, found = read_layout(folder)
        layouts.append({"folder": str(folder), "layout": layout.name, "files": len(found)})
        entries |= {(entry.path.resolve(), entry.kind): entry for entry in found}
        if layout.name == "manifest" and (beside := unlisted(folder, found)):
            remarks.append(
                f"{len(beside)} audio files in {folder} are not in its manifest.csv, such as "
                f"{beside[0].name}; move the manifest away to have them found"
            )
    kept = list(entries.values())
    given = [entry for entry in kept if entry.kind == "noise" and not entry.minus]
    if given and len(given) < sum(entry.kind == "noise" for entry in kept):
        kept = [entry for entry in kept if not entry.minus]
        remarks.append("the difference of noisy and clean files is not used as noise: there is other noise")
    return layouts, kept, remarks


def unlisted(folder: Path, entries: Sequence[Entry]) -> list[Path]:
    """Audio files below a folder that its manifest does not list."""
    listed = {entry.path.resolve() for entry in entries}
    return [path for path in audio_files(folder) if path.resolve() not in listed]


def refuse(seen: Inspected, total: int, most_bad: float) -> None:
    """Raises AudioError when too many of ``total`` files are of no use, or all."""
    bad = len(seen.problems)
    if bad and (bad > most_bad / 100 * total or not seen.entries):
        path, problem = seen.problems[0]
        limit = f"more than --max-bad {most_bad:g} %; --max-bad 100 lists them" if seen.entries else "all"
        raise AudioError(f"{bad} of {total} files are of no use ({limit}); the first: {path}: {problem}")


def write(seen: Inspected, total: int, place: Path, most_bad: float, progress: Progress | None) -> Inspected:
    """Makes what is to be derived, writes the manifest, and returns what is in it."""
    with derived_folder(place.parent) as folder:
        made = derive_noise(seen.entries, folder, progress)
        seen = Inspected(made.entries, (*seen.problems, *made.problems))
        refuse(seen, total, most_bad)
        entries = (*seen.entries, *simulated_rooms(seen.entries, folder))
    write_manifest(entries, place)
    return Inspected(entries, seen.problems)


def parts(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Files, hours, speakers, sources and licences by kind and split."""
    rows = []
    for kind in KINDS:
        for split in SPLITS:
            chosen = [entry for entry in entries if (entry.kind, entry.split) == (kind, split)]
            if chosen:
                rows.append(
                    {
                        "type": kind,
                        "split": split,
                        "files": len(chosen),
                        "hours": round(sum(entry.seconds for entry in chosen) / 3600, 3),
                        "speakers": len({entry.speaker for entry in chosen} - {""}) or None,
                        "sources": ", ".join(sorted({entry.source for entry in chosen} - {""})),
                        "licences": ", ".join(sorted({entry.licence for entry in chosen} - {""})),
                    }
                )
    return rows


def noises(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Kinds of noise, most minutes first; what a note has in brackets (where it is from) does not count."""
    minutes: defaultdict[str, float] = defaultdict(float)
    for entry in entries:
        if entry.kind == "noise":
            minutes[entry.note.split("[")[0].strip() or "not told"] += entry.seconds / 60
    ordered = sorted(minutes.items(), key=lambda item: (-item[1], item[0]))
    return [{"noise": name, "minutes": round(total, 1)} for name, total in ordered]


REMEDIES = {
    "speech": "name a folder of speech beside it",
    "noise": "name a folder of noise beside it, such as DEMAND",
    "rir": "rooms are simulated when a manifest is written",
}


def lacking(entries: Sequence[Entry]) -> list[str]:
    """What training needs and the corpus lacks."""
    there = {(entry.kind, entry.split) for entry in entries}
    lines = []
    for kind in KINDS:
        splits = [split for split in SPLITS if (kind, split) not in there]
        if splits:
            lines.append(f"no {kind} in the split {', '.join(splits)}: {REMEDIES[kind]}")
    return lines


def shared(entries: Sequence[Entry]) -> list[str]:
    """Speakers who are heard in training and in another split."""
    heard = {
        split: {entry.speaker for entry in entries if entry.kind == "speech" and entry.split == split} - {""}
        for split in SPLITS
    }
    both = sorted(heard["train"] & (heard["valid"] | heard["test"]))
    return [f"{len(both)} speakers are in train and in another split, such as {both[0]}"] if both else []


def memory(entries: Sequence[Entry]) -> float:
    """Gigabytes that training holds: the decoded train and valid splits, two bytes a sample."""
    return sum(entry.seconds for entry in entries if entry.split != "test") * RATE * 2 / 1e9
