"""``tinydsn evaluate`` of a separator: what it gains in SI-SDR, in float and as firmware."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError, TinydsnError
from quant.reference import channels_of
from tinydsn.audio.files import write_wav
from tinydsn.audio.voices import Speakers, load_speakers
from tinydsn.cache import cache_dir
from tinydsn.codegen.toolchain import versions
from tinydsn.evaluation.front import neighbours
from tinydsn.evaluation.separation import (
    MIX,
    Listed,
    Voices,
    mixed_sdr,
    render_voices,
    separated_sdr,
    separation_list,
)
from tinydsn.evaluation.statistics import direction, estimate, resample, verdict
from tinydsn.evaluation.store import Store
from tinydsn.evaluation.table import cost_json, numbers
from tinydsn.workflow.evaluation import Built, Count, Job, evaluate, gather, on_bench, run_jobs
from tinydsn.workflow.evaluation_table import equality
from tinydsn.workflow.measurement import UNCHECKED, Bench, Executors
from tinydsn.workflow.models import load_model
from tinydsn.workflow.subject import Subject, open_subject, word_of
from tinydsn.workflow.verification import compare

SCHEMA = 1
KIND = "separation"
MARGIN = 0.3
"""dB by which a system may be worse and still be as good."""
CONDITIONS = {"all": (True, True), "clean": (True, False), "noisy": (False, True)}
"""Which mixtures count: those without noise, and those with it."""


def separates(model: str) -> bool:
    """Whether a model has several output channels; False for one that cannot be loaded, which is told where
    it is evaluated."""
    try:
        return channels_of(load_model(model).graph) > 1
    except TinydsnError:
        return False


@dataclass(frozen=True)
class Separated:
    """What was measured of one model: a row for each mixture, and flash and RAM."""

    subject: Subject
    rows: tuple[dict[str, Any], ...]
    sizes: Mapping[str, int | None]

    def gain(self, system: str) -> np.ndarray:
        """SI-SDR improvement in dB ``[mixtures]`` of ``float`` or ``firmware``; NaN where there is none."""
        return numbers([row["sdr"].get(system) for row in self.rows]) - self.mixed

    @property
    def mixed(self) -> np.ndarray:
        """SI-SDR of the mixtures in dB."""
        return numbers([row["sdr"]["mixed"] for row in self.rows])

    @property
    def cost(self) -> np.ndarray:
        """Mean instructions a frame ``[mixtures]``; NaN on the host."""
        return numbers([row["instructions"] for row in self.rows])

    @property
    def groups(self) -> np.ndarray:
        """The pair of speakers of each mixture."""
        return np.array([row["group"] for row in self.rows])

    def chosen(self, condition: str) -> np.ndarray:
        """Which mixtures belong to a condition, bool ``[mixtures]``."""
        clean, noisy = CONDITIONS[condition]
        return np.array([noisy if row["noisy"] else clean for row in self.rows])

    @property
    def systems(self) -> list[str]:
        """``float`` where there is a checkpoint, and ``firmware``."""
        return [name for name in ("float", "firmware") if name in self.rows[0]["sdr"]]


def measure_voices(
    bench: Bench, listed: Listed, audio: Voices, save: Path | None, check: bool
) -> dict[str, Any]:
    """A row: SI-SDRs in dB, usage, mean instructions a frame, and equality with the integer reference."""
    executors = Executors(bench)
    fed = executors.fed(audio.mixed)
    raw = executors.run(fed)
    outcomes = executors.float_network(audio.mixed)
    outcomes["firmware"] = firmware = executors.aligned(raw, len(audio.mixed))
    equal = dict(UNCHECKED)
    if check:
        equal = compare(executors.reference(fed), raw.pcm, raw.gates, executors.hop)
    if save is not None:
        write_wav(save / "mixed" / f"{listed.name}.wav", audio.mixed)
        write_wav(save / "voices" / f"{listed.name}.wav", audio.voices)
        for name, outcome in outcomes.items():
            write_wav(save / name / f"{listed.name}.wav", outcome.pcm)
    sdr = {name: separated_sdr(outcome.pcm, audio.voices) for name, outcome in outcomes.items()}
    return {
        "name": listed.name,
        "group": listed.group,
        "noisy": listed.noisy,
        "sdr": {"mixed": mixed_sdr(audio), **sdr},
        "usage": {name: outcome.gates.mean(axis=0).tolist() for name, outcome in outcomes.items()},
        "instructions": None if firmware.instructions is None else float(np.mean(firmware.instructions)),
        "equal": equal,
    }


def measure(
    subject: Subject,
    items: Sequence[tuple[Listed, Voices]],
    board: str,
    save: Path | None = None,
    fresh: bool = False,
    progress: Count | None = None,
    check: int | None = None,
    built: Built | None = None,
) -> Separated:
    """Run all mixtures; finished ones are taken from the cache. ``check``: only so many are compared with
    the integer reference. ``built``: see `on_bench`."""
    if channels_of(subject.model.graph) < 2:
        raise ConfigError(
            f"{subject.name}: has one output channel (a separator stands beside separators only)"
        )
    with on_bench(subject, board, built) as (bench, sources, sizes):
        identity = hashlib.sha256(f"{KIND}/{subject.digest}/{sources}".encode()).hexdigest()
        store = Store(cache_dir() / "evaluations" / identity[:32], fresh)
        jobs: dict[str, Job] = {}
        again = set()
        for place, (listed, audio) in enumerate(items):
            checked = check is None or place < check
            key = f"{listed.name}/{audio.digest()}"
            jobs[key] = partial(measure_voices, bench, listed, audio, save, checked)
            row = store.get(key)
            if save is not None or (checked and row is not None and row["equal"] == UNCHECKED):
                again.add(key)
        found = run_jobs(jobs, store, progress or (lambda done, total: None), 1, again)
    return Separated(subject, tuple(found.values()), sizes)


def report(measured: Separated, board: str) -> dict[str, Any]:
    """What the verb prints of one model."""
    subject = measured.subject
    drawn = resample(list(measured.groups))
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "model": subject.name,
        "model_sha256": subject.model.sha256,
        "bias": subject.bias,
        "forced": None if subject.forced is None else word_of(subject.forced),
        "board": board,
        "files": len(measured.rows),
        "speaker_pairs": len(set(measured.groups)),
        "seconds": len(measured.rows) * MIX.samples / 16000,
        "toolchain": versions(),
        "memory": {key: measured.sizes[key] for key in ("flash", "ram")},
        "conditions": {
            name: _condition(measured, name) for name in CONDITIONS if measured.chosen(name).any()
        },
        "usage": {
            name: dict(zip(subject.gates, _shares(measured, name), strict=True)) for name in measured.systems
        },
        "instructions": cost_json(measured.cost, drawn),
        "equal": equality(measured.rows),
        "faults": [],
    }


def _shares(measured: Separated, system: str) -> list[float]:
    shares = np.array([row["usage"][system] for row in measured.rows]).reshape(len(measured.rows), -1)
    return [round(float(share), 4) for share in shares.mean(axis=0)]


def _condition(measured: Separated, name: str) -> dict[str, Any]:
    """SI-SDR of the mixtures, the improvement of each system, and instructions a frame, with intervals."""
    chosen = measured.chosen(name)
    drawn = resample(list(measured.groups[chosen]))
    gains = {system: estimate(measured.gain(system)[chosen], drawn) for system in measured.systems}
    return {
        "files": int(chosen.sum()),
        "mixed": estimate(measured.mixed[chosen], drawn).to_json(),
        "improvement": {system: gain.to_json() for system, gain in gains.items()},
        "instructions": cost_json(measured.cost[chosen], drawn),
    }


def differences(first: Separated, line: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Paired differences in dB of ``first`` to other improvements by system, for each condition."""
    result: dict[str, Any] = {}
    for name in CONDITIONS:
        chosen = first.chosen(name)
        if not chosen.any():
            continue
        drawn = resample(list(first.groups[chosen]))
        for system, other in line.items():
            found = estimate((first.gain(system) - other)[chosen], drawn)
            told = {**found.to_json(), "verdict": verdict(found, MARGIN), "direction": direction(found)}
            result.setdefault(system, {})[name] = told
    return result


def beside_statics(first: Separated, statics: Mapping[str, Separated]) -> dict[str, Any] | None:
    """`differences` to the point of equal mean instructions on the line between two static models; None
    where ``first`` costs less or more than all of them, or where instructions are not counted."""
    costs = {name: float(np.mean(other.cost)) for name, other in statics.items()}
    found = neighbours(float(np.mean(first.cost)), costs) if np.all(np.isfinite(first.cost)) else None
    if found is None:
        return None
    low, high, share = found
    line = {
        system: (1 - share) * statics[low].gain(system) + share * statics[high].gain(system)
        for system in first.systems
        if system in statics[low].systems and system in statics[high].systems
    }
    return {"below": low, "above": high, "share_above": round(share, 4), **differences(first, line)}


def mixtures(corpus: Path, limit: int | None) -> list[tuple[Listed, Voices]]:
    """The two-speaker mixtures of the corpus's test split, at most ``limit``."""
    speakers: Speakers = load_speakers(corpus, "test")
    chosen = separation_list(list(speakers.voices))[:limit]
    return [(listed, render_voices(listed, speakers)) for listed in chosen]


def evaluate_separation(
    target: str,
    corpus: Path,
    board: str,
    save: Path | None = None,
    against: Sequence[str] = (),
    limit: int | None = None,
    bias: int = 0,
    fresh: bool = False,
    progress: Callable[[str], Count] | None = None,
    check: int | None = None,
    force: str | None = None,
) -> dict[str, Any]:
    """The table of ``target`` on the two-speaker mixtures of the corpus's test split (at most ``limit``), and
    how it stands beside each model of ``against``; ``front``: beside the line through the static ones.
    ``force``: gates of ``target`` in every frame, see `open_subject`."""
    subjects = [open_subject(target, bias, force), *(open_subject(text) for text in against)]
    items = mixtures(corpus, limit)
    count = progress or (lambda name: lambda done, total: None)
    first = measure(subjects[0], items, board, save, fresh, count(target), check)
    beside, statics = [], {}
    for subject in subjects[1:]:
        other = measure(subject, items, board, None, fresh, count(subject.name), check)
        if not subject.gates:
            statics[subject.name] = other
        shared = {system: other.gain(system) for system in first.systems if system in other.systems}
        beside.append({"model": subject.name, **differences(first, shared), "report": report(other, board)})
    return {**report(first, board), "against": beside, "front": beside_statics(first, statics)}


def evaluate_any(
    target: str,
    folders: tuple[Path | None, Path | None, Path | None],
    board: str,
    save: Path | None,
    against: Sequence[str],
    limit: int | None,
    speaker: str | None,
    bias: int,
    fresh: bool,
    progress: Callable[[str], Count] | None,
    check: int | None,
    force: str | None = None,
) -> dict[str, Any]:
    """`evaluate_separation` for a separator, `tinydsn.workflow.evaluation.evaluate` for an enhancer.

    folders: of noisy files, of clean ones, and the corpus. Raises ConfigError for a separator without a
    corpus, and as `gather`.
    """
    noisy, clean, corpus = folders
    if not separates(target):
        pairs, source = gather(noisy, clean, corpus, limit, speaker)
        return evaluate(
            target, pairs, source, board, save, against, bias, fresh, progress, check=check, force=force
        )
    if corpus is None or noisy or clean or speaker:
        raise ConfigError(
            f"{target}: separates speakers, and is judged on mixtures made from a corpus (give --corpus, "
            "without --noisy, --clean and --speaker)"
        )
    return evaluate_separation(
        target, corpus, board, save, against, limit, bias, fresh, progress, check, force
    )
