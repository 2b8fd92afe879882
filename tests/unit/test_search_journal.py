"""The journal: a killed run goes on to the same front, damaged lines are skipped, other runs refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from search_example import IDENTITY, OPTIONS, SPACE, Synthetic, front, search

from quant.errors import ConfigError
from tinydsn.search.journal import NAME, Journal, read
from tinydsn.search.score import Failure, Score

ROOT = Path(__file__).resolve().parents[2]
SCORE = Score(0.1, 100, 1000.5, 1200.25, (0.5, 1 / 3), True)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    with Journal(tmp_path, IDENTITY) as journal:
        journal.add("4.8", (4, 8), SCORE, 0)
        journal.add("2.8", (2, 8), Failure("no"), 3)
        journal.extend(5)
    found = read(tmp_path)
    assert found.outcomes == {"4.8": SCORE, "2.8": Failure("no")}
    assert (found.header, found.extended, found.corrupt) == (IDENTITY, 5, 0)


@pytest.mark.parametrize("jobs", ["serial", "processes"])
def test_a_killed_run_goes_on_to_the_same_front(tmp_path: Path, jobs: str) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from search_example import OPTIONS, Synthetic, search\n"
        "if __name__ == '__main__':\n"
        f"    search(Path(sys.argv[1]), name={jobs!r}, factory=Synthetic(seconds=0.02))\n"
    )
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'unit'}"}
    run = tmp_path / "run"
    command = [sys.executable, str(tmp_path / "script.py"), str(run)]
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (run / NAME).is_file() or (run / NAME).read_bytes().count(b"\n") < 30:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    before = set(read(run).outcomes)
    assert 0 < len(before) < OPTIONS.population * OPTIONS.generations
    log = tmp_path / "log"
    resumed = search(run, factory=Synthetic(log))
    assert front(resumed) == front(search(tmp_path / "whole"))
    assert not before & set(log.read_text().split())


def test_damaged_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    whole = search(tmp_path)
    path = tmp_path / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"quality":', b'"quality":1')  # still JSON: the check sum tells
    lines[5] = b"\x00\xff garbage\n"
    lines[7] = b"[1, 2]\n"
    lines[-1] = lines[-1][:40]  # killed while it was written
    path.write_bytes(b"".join(lines))
    log = tmp_path / "log"
    again = search(tmp_path, factory=Synthetic(log))
    assert again.corrupt == 4 and front(again) == front(whole)
    assert len(log.read_text().split()) == 4
    assert read(tmp_path).corrupt == 4 and len(read(tmp_path).outcomes) == 96


def test_the_journal_of_another_search_is_refused(tmp_path: Path) -> None:
    search(tmp_path, replace(OPTIONS, generations=1))
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(ConfigError) as caught:
        Journal(tmp_path, {**IDENTITY, "seed": 2})
    assert str(caught.value) == (
        f"{tmp_path}: holds another search: its seed is 1, not 2 "
        "(name another folder, or give the same options)"
    )
    assert (tmp_path / NAME).read_bytes() == before


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path, IDENTITY):
        with pytest.raises(ConfigError) as caught:
            Journal(tmp_path, IDENTITY)
        assert str(caught.value) == f"{tmp_path}: another process is searching there (wait, or end it)"
    Journal(tmp_path, IDENTITY).close()


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path)
    assert str(caught.value) == f"{tmp_path / NAME}: no journal of a search (No such file or directory)"
    (tmp_path / NAME).write_text(json.dumps({"some": "file"}) + "\n")
    with pytest.raises(ConfigError) as caught:
        Journal(tmp_path, IDENTITY)
    assert str(caught.value) == (
        f"{tmp_path / NAME}: its first line is not the header of a search; name another folder"
    )
    assert (tmp_path / NAME).read_text() == '{"some": "file"}\n'


def test_a_header_cut_by_a_kill_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"schema":1,"ident')
    with Journal(tmp_path, IDENTITY) as journal:
        assert journal.contents.header == IDENTITY
    assert read(tmp_path).header == IDENTITY


def test_an_extended_run_equals_a_longer_one(tmp_path: Path) -> None:
    search(tmp_path / "run")
    with Journal(tmp_path / "run", IDENTITY) as journal:
        journal.extend(3)
    longer = search(tmp_path / "run")
    assert front(longer) == front(search(tmp_path / "long", replace(OPTIONS, generations=11)))
    assert longer.archive.evaluations == 11 * OPTIONS.population


def test_keys_are_canonical() -> None:
    assert SPACE.key((4, 16)) == "4.16" != SPACE.key((4, 8))
