"""Points of a finished search judged by PESQ and DNSMOS: ranked again, tested once, and the proxy checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError
from tinydsn.audio.files import replace_file
from tinydsn.audio.metrics import SEGMENT, dnsmos, pesq_wb, require_metrics, si_sdr
from tinydsn.evaluation.pairs import listed
from tinydsn.evaluation.recipes import committed_list
from tinydsn.evaluation.statistics import spearman
from tinydsn.search.clips import Clip, Clips, draw_clips, load_clips, save_clips
from tinydsn.search.executors import executor
from tinydsn.search.nsga import Individual, Loss, pareto
from tinydsn.search.quality import bounded
from tinydsn.search.run import Found, nearest, spread
from tinydsn.search.score import Genome, Score
from tinydsn.workflow.rating_log import RatingLog
from tinydsn.workflow.search import Problem, Say, Setup, evaluator, finished, opened, with_float
from tinydsn.workflow.tasks import refuse_tasks

RANK_PART, RANK_CLIPS, NEIGHBOURS = 1, 32, 20
TEST_CLIPS = 180
PROXY_POINTS, ENOUGH = 40, 0.8
RATED = ("PESQ", "OVRL", "SIG", "BAK", "SISDR")
RANK_FILE, TEST_FILE, PROXY_FILE = "rank.json", "test.json", "proxy.json"
RANK_CLIP_FILE, TEST_CLIP_FILE = "rank-clips.npz", "test-clips.npz"


@dataclass(frozen=True)
class RatingFactory:
    """Makes a process's `Rater` of the clips in a file of the run's folder."""

    setup: Setup
    folder: Path
    clips: str

    def __call__(self) -> Rater:
        """Lower the model, and load ranges and clips."""
        return Rater(opened(self.setup), self.setup, self.folder, load_clips(self.folder / self.clips))


class Rater:
    """Rates genomes: means of PESQ, DNSMOS (OVRL, SIG, BAK) and SI-SDR over the clips."""

    def __init__(self, problem: Problem, setup: Setup, folder: Path, clips: Clips) -> None:
        self._clips = clips
        self._network = evaluator(problem, setup, folder, clips)

    def score(self, genome: Genome) -> dict[str, float]:
        """The means of a genome's outputs."""
        return rated(self._network.enhance(genome)[1], self._clips)


def rated(waves: Sequence[np.ndarray], clips: Clips) -> dict[str, float]:
    """Means over the clips; a clip in which PESQ is not defined does not count for PESQ."""
    rows = []
    for wave, clip in zip(waves, clips.items, strict=True):
        found, quality = dnsmos(wave), pesq_wb(wave, clip.target)
        ratio = bounded(si_sdr(wave, clip.target))
        rows.append((np.nan if quality is None else quality, found.ovrl, found.sig, found.bak, ratio))
    return {name: float(np.nanmean(column)) for name, column in zip(RATED, np.array(rows).T, strict=True)}


def rank(
    folder: Path,
    count: int = RANK_CLIPS,
    jobs: int = 1,
    say: Say | None = None,
    most: int | None = None,
) -> dict[str, Any]:
    """The front and its 20 nearest points, judged by PESQ and DNSMOS on the part of the valid split that the
    search did not hear. ``kept``: no other is better in mean rank of the two, flash and instructions at once.
    ``most``: so many points of the front, evenly over the order of their loss, stand for all of it.

    Raises ConfigError when the search is not finished, or the extra ``metrics`` is missing.
    """
    require_metrics()
    setup, problem, found = finished(folder)
    refuse_tasks(setup.model, "this rating")
    clips = _rank_clips(setup, problem, folder, count)
    front = found.front if most is None else spread(found.front, most)
    points = [*front, *nearest(found, NEIGHBOURS)]
    ratings = _ratings(setup, found, RatingLog(folder, clips), RANK_CLIP_FILE, points, jobs, say)
    reference = rated([clip.reference for clip in clips.items], clips)
    places = _mean_rank(ratings)
    moved = [
        Individual(point.genome, point.score, Loss((place, *point.score.objectives[1:])))
        for point, place in zip(points, places, strict=True)
    ]
    kept = {item.genome for item in pareto(moved)}
    in_front = {item.genome for item in found.front}
    rows = [
        {
            "genome": found.space.widths(point.genome),
            "front": point.genome in in_front,
            "kept": point.genome in kept,
            "rank": round(place, 2),
            **point.score.to_json(),
            **difference(rating, reference),
        }
        for point, rating, place in zip(points, ratings, places, strict=True)
    ]
    rows.sort(key=lambda row: float(row["rank"]))
    result = {"clips": count, "float": reference, "points": rows}
    _write(folder / RANK_FILE, result)
    return result


def report(
    folder: Path,
    limit: int = TEST_CLIPS,
    jobs: int = 1,
    say: Say | None = None,
    most: int | None = None,
) -> dict[str, Any]:
    """The kept points of `rank` and the presets on the committed list of the test split: once in a run.

    ``most``: only so many of the kept points, the best ranks first.

    Raises ConfigError when it was done before, or `rank` was not.
    """
    require_metrics()
    if (folder / TEST_FILE).is_file():
        raise ConfigError(
            f"{folder / TEST_FILE}: the test split was used already (what is chosen by it a second time is "
            "no longer tested)"
        )
    setup, problem, found = finished(folder)
    refuse_tasks(setup.model, "this rating")
    chosen = [found.space.genome(row["genome"]) for row in _read(folder / RANK_FILE)["points"] if row["kept"]]
    named = {f"point {index}": genome for index, genome in enumerate(chosen[:most])}
    for name, genome in problem.presets.items():
        if isinstance(found.presets[name], Score):
            named[name] = genome
    items = []
    for pair in listed(committed_list()[:limit], setup.corpus):
        audio = pair.load()
        items.append(Clip(audio.noisy, audio.target, np.zeros(0, np.int16), pair.snr or 0.0))
    clips = with_float(setup.model, problem.graph, Clips(tuple(items)))
    save_clips(clips, folder / TEST_CLIP_FILE)
    points = [_point(found, genome, name) for name, genome in named.items()]
    ratings = _ratings(setup, found, RatingLog(folder, clips), TEST_CLIP_FILE, points, jobs, say)
    reference = rated([clip.reference for clip in clips.items], clips)
    rows = [
        {
            "name": name,
            "genome": found.space.widths(point.genome),
            **point.score.to_json(),
            **difference(rating, reference),
        }
        for name, point, rating in zip(named, points, ratings, strict=True)
    ]
    result = {"clips": len(items), "float": reference, "points": rows}
    _write(folder / TEST_FILE, result)
    (folder / TEST_CLIP_FILE).unlink()
    return result


def proxy(folder: Path, count: int = RANK_CLIPS, jobs: int = 1, say: Say | None = None) -> dict[str, Any]:
    """Whether the search's loss orders genomes as PESQ and DNSMOS do: Spearman's rank correlation with what
    they lose, over 40 genomes from the least to the largest loss. ``enough``: both are at least 0.8."""
    require_metrics()
    setup, problem, found = finished(folder)
    refuse_tasks(setup.model, "this rating")
    clips = _rank_clips(setup, problem, folder, count)
    points = spread(found.archive.scored.values(), PROXY_POINTS)
    if len(points) < 3:
        raise ConfigError(f"{folder}: {len(points)} genomes have a score (must be at least 3)")
    ratings = _ratings(setup, found, RatingLog(folder, clips), RANK_CLIP_FILE, points, jobs, say)
    reference = rated([clip.reference for clip in clips.items], clips)
    losses = np.array([point.score.quality for point in points])
    found_ranks = {
        name: spearman(losses, np.array([reference[name] - rating[name] for rating in ratings]))
        for name in ("OVRL", "PESQ")
    }
    result = {
        "genomes": len(points),
        "clips": count,
        "spearman": {name: round(value, 4) for name, value in found_ranks.items()},
        "enough": all(value >= ENOUGH for value in found_ranks.values()),
        "points": [
            {"quality": point.score.quality, **difference(rating, reference)}
            for point, rating in zip(points, ratings, strict=True)
        ],
    }
    _write(folder / PROXY_FILE, result)
    return result


def difference(rating: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    """Each mean less the float network's."""
    return {f"delta_{name}": round(rating[name] - reference[name], 5) for name in RATED}


def _mean_rank(ratings: Sequence[Mapping[str, float]]) -> list[float]:
    """Mean place of each by PESQ and by OVRL, 0 the best."""
    columns = [np.array([rating[name] for rating in ratings]) for name in ("PESQ", "OVRL")]
    places = [
        np.array([float(np.mean((column > value) + 0.5 * (column == value))) for value in column])
        for column in columns
    ]
    return [float(value) * (len(ratings) - 1) for value in np.mean(places, axis=0)]


def _rank_clips(setup: Setup, problem: Problem, folder: Path, count: int) -> Clips:
    """Clips of the other part, 9 s each (what DNSMOS rates at once), kept in the folder."""
    path = folder / RANK_CLIP_FILE
    if not path.is_file() or len(load_clips(path).items) != count:
        clips = draw_clips(setup.corpus, count, SEGMENT, RANK_PART)
        save_clips(with_float(setup.model, problem.graph, clips), path)
    return load_clips(path)


def _ratings(
    setup: Setup,
    found: Found,
    log: RatingLog,
    clips: str,
    points: Sequence[Individual],
    jobs: int,
    say: Say | None,
) -> list[dict[str, float]]:
    """Ratings of each point; what ``log`` lacks is made in ``jobs`` processes on the file ``clips``."""
    keys = [found.space.key(point.genome) for point in points]
    missing = [index for index, key in enumerate(keys) if key not in log.known]
    tell: Callable[[str], None] = say or (lambda line: None)
    if len(missing) < len(points):
        tell(f"{len(points) - len(missing)} of {len(points)} were rated before")
    if missing:
        work = executor(
            "serial" if jobs == 1 else "processes", RatingFactory(setup, log.folder.absolute(), clips), jobs
        )
        try:
            for done, (place, rating) in enumerate(work.run([points[index].genome for index in missing]), 1):
                log.add(keys[missing[place]], rating)
                tell(f"{done}/{len(missing)}")
        finally:
            work.close()
    return [log.known[key] for key in keys]


def _point(found: Found, genome: Genome, name: str) -> Individual:
    key = found.space.key(genome)
    if key in found.archive.scored:
        return found.archive.scored[key]
    score = found.presets[name]
    assert isinstance(score, Score)
    return Individual(genome, score, Loss(score.objectives))


def _write(path: Path, result: Mapping[str, Any]) -> None:
    replace_file(path, (json.dumps(result, indent=2) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    except (OSError, ValueError):
        raise ConfigError(f"{path}: is not there (rank the points first: `tinydsn search rank`)") from None
