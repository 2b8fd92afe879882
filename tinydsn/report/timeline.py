"""What the page draws over time: players, spectrograms, gates and instructions of one excerpt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quant.gates import to_words
from tinydsn.report import audio, spectrogram
from tinydsn.report.data import ReportData
from tinydsn.report.summary import gate_usage
from tinydsn.report.svg import gate_path, steps_path

COLUMNS = 2000
"""Most columns of a drawing; longer runs are drawn with several frames a column."""
HUES = 8
"""Colours in the style sheet; gate k has hue k % HUES."""
SAMPLES = 30 * 16000
"""Most samples of a player: 30 s at 16 kHz, less at higher rates, so that the page stays small."""


@dataclass(frozen=True)
class Track:
    """A recording: its player's and spectrogram's data URIs, and its level in dB of full scale."""

    key: str
    label: str
    wav: str
    picture: str
    level: float


@dataclass(frozen=True)
class Strip:
    """One gate over time. usage: over all frames, 0..1; changes: in the excerpt."""

    name: str
    hue: int
    usage: float
    changes: int
    path: str


@dataclass(frozen=True)
class Curve:
    """Instructions over time. top: of the axis; mean: of the excerpt; budget: what the clock allows."""

    path: str
    top: float
    mean: float
    budget: float | None


@dataclass(frozen=True)
class Tick:
    """A mark of the time axis: at ``share`` of its width."""

    share: float
    label: str


@dataclass(frozen=True)
class Timeline:
    """An excerpt of the run. frames: in it; step: frames a drawn column; width: of the drawings, in frames.

    words and counts are per column, for the read-out under the cursor.
    """

    seconds: float
    cut: bool
    frames: int
    step: int
    width: float
    hop_seconds: float
    tracks: tuple[Track, ...]
    top_db: float
    strips: tuple[Strip, ...]
    curve: Curve | None
    ticks: tuple[Tick, ...]
    words: tuple[int, ...]
    counts: tuple[int, ...] | None


def timeline(data: ReportData, seconds: float) -> Timeline:
    """The first ``seconds`` of a run (less where it is shorter, or the rate above 16 kHz)."""
    length = min(len(data.noisy), SAMPLES, max(data.hop, round(seconds * data.sample_rate)))
    frames = min(len(data.gates), -(-length // data.hop))
    step = max(1, -(-frames // COLUMNS))
    gates = _columns(data.gates[:frames], step)
    counts = None if data.instructions is None else _columns(np.asarray(data.instructions)[:frames], step)
    tracks, top = _tracks(data, length)
    duration = length / data.sample_rate
    return Timeline(
        seconds=duration,
        cut=length < len(data.noisy),
        frames=frames,
        step=step,
        width=length / data.hop,
        hop_seconds=data.hop / data.sample_rate,
        tracks=tracks,
        top_db=top,
        strips=_strips(data, gates, frames, step),
        curve=_curve(data, counts, frames, step),
        ticks=_ticks(duration),
        words=tuple(to_words(gates).tolist()),
        counts=None if counts is None else tuple(counts.tolist()),
    )


def _columns(values: np.ndarray, step: int) -> np.ndarray:
    """The greatest of every ``step`` rows (for gates: taken in any of them)."""
    if not len(values):
        return values
    return np.maximum.reduceat(values, np.arange(0, len(values), step), axis=0)


def _tracks(data: ReportData, length: int) -> tuple[tuple[Track, ...], float]:
    named = (("noisy", "Noisy", data.noisy), ("enhanced", "Enhanced", data.enhanced))
    clips = [*named, ("clean", "Clean", data.clean)]
    cut = [(key, label, samples[:length]) for key, label, samples in clips if samples is not None]
    levels = [spectrogram.power(samples) for _, _, samples in cut]
    top = max(map(spectrogram.loudest, levels))
    tracks = [
        Track(
            key=key,
            label=label,
            wav=audio.data_uri(audio.wav_bytes(samples, data.sample_rate), "audio/wav"),
            picture=audio.data_uri(spectrogram.picture(decibels, top), "image/png"),
            level=audio.level(samples),
        )
        for (key, label, samples), decibels in zip(cut, levels, strict=True)
    ]
    return tuple(tracks), top


def _strips(data: ReportData, gates: np.ndarray, frames: int, step: int) -> tuple[Strip, ...]:
    usage = gate_usage(data.gates)
    return tuple(
        Strip(
            name=name,
            hue=index % HUES,
            usage=usage[index],
            changes=int(np.sum(data.gates[1:frames, index] != data.gates[: max(0, frames - 1), index])),
            path=gate_path(gates[:, index], step),
        )
        for index, name in enumerate(data.gate_names)
    )


def _curve(data: ReportData, counts: np.ndarray | None, frames: int, step: int) -> Curve | None:
    if data.instructions is None or counts is None or not frames:
        return None
    highest = float(np.max(counts))
    budget = None if data.clock_hz is None else data.clock_hz * data.hop / data.sample_rate
    # The deadline is drawn where it does not squash the curve.
    near = budget is not None and budget <= 2 * highest
    top = 1.08 * max(highest, budget if near and budget is not None else 0.0, 1.0)
    mean = float(np.mean(np.asarray(data.instructions)[:frames]))
    return Curve(steps_path(counts, top, step), top, mean, budget if near else None)


def _ticks(seconds: float, most: int = 8) -> tuple[Tick, ...]:
    steps: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
    step = next((value for value in steps if seconds / value <= most), steps[-1])
    # The last one is left out where its label would stand over the edge.
    places = [index * step for index in range(int(seconds * 0.97 / step) + 1)]
    return tuple(Tick(place / seconds, f"{place:.2g} s" if place < 1 else f"{place:g} s") for place in places)
