"""Serial, processes and Ray give the same front; a worker that dies ends the run in one line."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from search_example import OPTIONS, PRESETS, Synthetic, front, search

from quant.errors import ConfigError, MissingTool, ToolchainError
from tinydsn.search.executors import KEPT, REMEDY, Processes, executor
from tinydsn.search.score import Genome, Score


@dataclass(frozen=True)
class Faulty:
    """An evaluator that kills its process, or raises, or cannot be made."""

    how: str

    def __call__(self) -> Faulty:
        if self.how == "factory":
            raise MissingTool("gcc: not found")
        return self

    def score(self, genome: Genome) -> Score:
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "exit":
            os._exit(3)
        if self.how == "memory":
            raise MemoryError
        if self.how == "disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/made")
        if self.how == "missing":
            raise MissingTool("gcc: not found")
        raise ZeroDivisionError("by accident")


@pytest.mark.parametrize("name", ["processes", "ray"])
def test_the_same_front_with_each(tmp_path: Path, name: str) -> None:
    if name == "ray":
        pytest.importorskip("ray", reason="the extra 'cluster' is not installed")
    assert front(search(tmp_path / name, name=name)) == front(search(tmp_path / "serial"))


def test_workers_stay(tmp_path: Path) -> None:
    pool = Processes(Synthetic(), 2)
    try:
        genomes = list(PRESETS.values())
        first = dict(pool.run(genomes))
        pids = [process.pid for process, _ in pool._workers]
        assert dict(pool.run(genomes)) == first and len(first) == len(genomes)
        assert [process.pid for process, _ in pool._workers] == pids and len(pids) == 2
        assert dict(pool.run([])) == {}
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        (
            "kill",
            ToolchainError,
            "a worker process was ended by signal 9 (SIGKILL) while it evaluated a genome, most often "
            "because memory ran out; take fewer --jobs; what was evaluated is kept, the same command goes on",
        ),
        (
            "exit",
            ToolchainError,
            "a worker process ended with exit code 3 while it evaluated a genome; take fewer --jobs; what "
            "was evaluated is kept, the same command goes on",
        ),
        ("memory", ToolchainError, f"a worker process ran out of memory; {REMEDY}"),
        ("disk", ToolchainError, f"a worker process failed: /made: No space left on device; {KEPT}"),
        ("missing", MissingTool, "gcc: not found"),
        ("factory", MissingTool, "gcc: not found"),
        ("accident", RuntimeError, "in a worker process: ZeroDivisionError: by accident\nTraceback"),
    ],
)
def test_faults_of_workers(how: str, kind: type[Exception], message: str) -> None:
    pool = Processes(Faulty(how), 1)
    try:
        with pytest.raises(kind) as caught:
            list(pool.run([PRESETS["w8a8"]]))
        assert str(caught.value).startswith(message)
    finally:
        pool.close()


def test_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        executor("cloud", Synthetic(), 1)
    assert str(caught.value) == "unknown executor 'cloud' (must be serial, processes or ray)"
    with pytest.raises(ConfigError) as caught:
        executor("serial", Synthetic(), 0)
    assert str(caught.value) == "--jobs 0 (must be at least 1)"
    monkeypatch.setattr("tinydsn.search.executors.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        executor("ray", Synthetic(), 2)
    assert str(caught.value) == (
        "--executor ray needs the package ray (install it: pip install 'tinydsn[cluster]')"
    )


def test_the_options_of_the_example_are_small() -> None:
    assert OPTIONS.population * OPTIONS.generations < 100
