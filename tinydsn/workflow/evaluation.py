"""``tinydsn evaluate``: what a model is worth, as a float network, as integers, and as emulated firmware."""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from quant.errors import ConfigError
from tinydsn.audio.metrics import measures_digest, require_metrics
from tinydsn.cache import cache_dir
from tinydsn.codegen.toolchain import versions
from tinydsn.evaluation.compare import compare as compare_tables
from tinydsn.evaluation.front import beside_front
from tinydsn.evaluation.pairs import Pair, listed, match_folders, spread
from tinydsn.evaluation.recipes import committed_list
from tinydsn.evaluation.store import Store
from tinydsn.workflow.evaluation_table import Measured, report
from tinydsn.workflow.firmware import build_firmware, memory
from tinydsn.workflow.measurement import (
    UNCHECKED,
    Bench,
    is_saved,
    measure_cost,
    measure_mix,
    measure_pair,
    measure_silence,
)
from tinydsn.workflow.subject import Subject, cost_patterns, gate_costs, open_subject, word_of

WORKERS = 2
MIX_PAIRS = 36
"""Pairs whose target alone and noise alone are run for the named mixes; 4 a speaker of the committed list."""
COST_PAIRS = 4
"""Pairs that are run with gates forced, for the cost with all on and of each gate."""

Count = Callable[[int, int], None]
Job = Callable[[], dict[str, Any]]
Built = tuple[Bench, str, Mapping[str, int | None]]
"""What `bench_of` gives."""


def gather(
    noisy: Path | None, clean: Path | None, corpus: Path | None, limit: int | None, speaker: str | None
) -> tuple[tuple[Pair, ...], str]:
    """The pairs of two folders or of the committed list, at most ``limit``, and where they come from.

    Raises ConfigError unless exactly one of the two sources is named; AudioError: see `match_folders`.
    """
    if (noisy is None) != (clean is None) or (noisy is None) == (corpus is None):
        raise ConfigError("name --noisy DIR and --clean DIR, or --corpus DIR (one of the two)")
    if noisy is not None and clean is not None:
        found = match_folders(noisy, clean, speaker)
        return (found if limit is None else spread(found, limit)), f"{noisy}, {clean}"
    assert corpus is not None
    if speaker is not None:
        raise ConfigError("--speaker goes with --noisy and --clean (the list knows its speakers)")
    recipes = committed_list()[:limit]
    return listed(recipes, corpus), "the committed list"


@contextmanager
def bench_of(subject: Subject, board: str) -> Iterator[Built]:
    """A built bench, a digest of its sources and tools, and its flash and RAM; removed at the end.

    Raises BoardError, MissingTool: see `build_firmware`.
    """
    with tempfile.TemporaryDirectory(prefix="tinydsn-evaluate-") as folder:
        firmware = build_firmware(subject.model, board, Path(folder) / "project")
        content = hashlib.sha256(repr(sorted(versions().items())).encode())
        for path in sorted(firmware.project.folder.rglob("*")):
            if path.is_file() and "build" not in path.relative_to(firmware.project.folder).parts:
                content.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
        bench = Bench(
            subject.checkpoint,
            subject.model.path,
            subject.bias,
            firmware.built.elf,
            firmware.board,
            subject.forced,
        )
        yield bench, content.hexdigest(), memory(firmware, None)


@contextmanager
def on_bench(subject: Subject, board: str, built: Built | None) -> Iterator[Built]:
    """`bench_of`, or ``built`` with the checkpoint and the forced gates of ``subject``, whose integer graph
    it must be of."""
    with nullcontext(built) if built else bench_of(subject, board) as (bench, sources, sizes):
        yield replace(bench, checkpoint=subject.checkpoint, forced=subject.forced), sources, sizes


def run_jobs(
    jobs: Mapping[str, Job],
    store: Store,
    progress: Count,
    workers: int = WORKERS,
    again: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Each job's row, from the store or computed in ``workers`` processes and stored as soon as it is there.

    ``progress`` is called with (jobs done, jobs). Jobs of ``again`` are computed in any case.
    """
    rows = {key: row for key in jobs if key not in again and (row := store.get(key)) is not None}
    waiting = {key: job for key, job in jobs.items() if key not in rows}
    progress(len(rows), len(jobs))

    def keep(key: str, row: dict[str, Any]) -> None:
        store.put(key, row)
        rows[key] = row
        progress(len(rows), len(jobs))

    if workers == 1:
        for key, job in waiting.items():
            keep(key, job())
    elif waiting:
        # A forked process would inherit the threads' locks of PyTorch, not its threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(waiting)), mp_context=context) as pool:
            futures = {pool.submit(job): key for key, job in waiting.items()}
            try:
                for future in as_completed(futures):
                    keep(futures[future], future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return {key: rows[key] for key in jobs}


def measure(
    subject: Subject,
    pairs: Sequence[Pair],
    board: str,
    save: Path | None = None,
    fresh: bool = False,
    progress: Count | None = None,
    workers: int = WORKERS,
    check: int | None = None,
    built: Built | None = None,
) -> Measured:
    """Run all pairs, the named mixes, silence, and what each gate costs; finished ones are taken from the
    cache, and so are the scores of noisy files that any model's evaluation has heard. Of a subject with
    forced gates only the pairs are run.

    ``check``: only so many pairs are compared with the integer reference. ``built``: see `on_bench`.
    """
    require_metrics()
    digests = {pair.name: pair.digest() for pair in pairs}
    heard = Store(cache_dir() / "evaluations" / f"noisy-{measures_digest()}")
    with on_bench(subject, board, built) as (bench, sources, sizes):
        identity = hashlib.sha256(f"{subject.digest}/{sources}".encode()).hexdigest()
        store = Store(cache_dir() / "evaluations" / identity[:32], fresh)
        jobs: dict[str, Job] = {}
        again = set()
        for index, pair in enumerate(pairs):
            checked = check is None or index < check
            key = f"pair/{pair.name}/{digests[pair.name]}"
            jobs[key] = partial(measure_pair, bench, pair, save, heard.get(digests[pair.name]), checked)
            row = store.get(key)
            # A stored row has no audio: where files are wanted and are not there, it is made again.
            lacks_files = save and row is not None and not is_saved(row, save)
            if lacks_files or (checked and row is not None and row["equal"] == UNCHECKED):
                again.add(key)
        if subject.forced is None:
            jobs |= _jobs_beside(bench, subject, pairs, digests)
        found = run_jobs(jobs, store, progress or (lambda done, total: None), workers, again)
    for name, content in digests.items():
        if heard.get(content) is None:
            heard.put(content, found[f"pair/{name}/{content}"]["scores"]["noisy"])
    kinds: dict[str, list[dict[str, Any]]] = {}
    for key, value in found.items():
        kinds.setdefault(key.split("/")[0], []).append(value)
    weights, all_on = gate_costs(kinds.get("cost", []), subject)
    return Measured(
        subject,
        tuple(kinds["pair"]),
        (*kinds.get("speech", ()), *kinds.get("noise", ())),
        tuple(kinds.get("silence", ())),
        weights,
        all_on,
        sizes,
    )


def _jobs_beside(
    bench: Bench, subject: Subject, pairs: Sequence[Pair], digests: Mapping[str, str]
) -> dict[str, Job]:
    """What is run beside the pairs: speech and noise alone, silence, and the costs of the gates."""
    jobs: dict[str, Job] = {}
    for mix in ("speech", "noise"):
        for pair in pairs[:MIX_PAIRS]:
            jobs[f"{mix}/{pair.name}/{digests[pair.name]}"] = partial(measure_mix, bench, pair, mix)
    for name in ("digital_silence", "room_tone"):
        jobs[f"silence/{name}"] = partial(measure_silence, bench, name)
    patterns = cost_patterns(subject.model.graph) if not bench.board.is_host else []
    for pair in pairs[:COST_PAIRS]:
        for forced in patterns:
            key = f"cost/{word_of(forced)}/{pair.name}/{digests[pair.name]}"
            jobs[key] = partial(measure_cost, bench, pair, forced)
    return jobs


def evaluate(
    target: str,
    pairs: Sequence[Pair],
    source: str,
    board: str,
    save: Path | None = None,
    against: Sequence[str] = (),
    bias: int = 0,
    fresh: bool = False,
    progress: Callable[[str], Count] | None = None,
    workers: int = WORKERS,
    check: int | None = None,
    force: str | None = None,
) -> dict[str, Any]:
    """The table of ``target``, and how it stands beside each model of ``against`` on the same pairs.

    ``front``: beside the line through the static models of ``against``, at equal mean instructions; None
    unless there are some on both sides.
    ``progress``: given a model's name, what to call with (jobs done, jobs). ``check``: see `measure`.
    ``force``: gates of ``target`` in every frame, see `open_subject`.
    """
    require_metrics()
    subjects = [open_subject(target, bias, force), *(open_subject(text) for text in against)]
    count = progress or (lambda name: lambda done, total: None)
    first = measure(subjects[0], pairs, board, save, fresh, count(target), workers, check)
    result = report(first, board, source)
    beside, statics = [], {}
    for subject in subjects[1:]:
        other = measure(subject, pairs, board, None, fresh, count(subject.name), workers, check)
        if not subject.gates:
            statics[subject.name] = other.table
        beside.append(
            {
                "model": subject.name,
                **compare_tables(first.table, other.table),
                "report": report(other, board, source),
            }
        )
    return {**result, "against": beside, "front": beside_front(first.table, statics)}
