"""The pytest plugin, as a user's CI runs it: golden files, failures, missing tools, several boards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinydsn.audio.files import write_wav

CASE = """
from pathlib import Path

HERE = Path(__file__).parent

def test_prompt(tinydsn_firmware):
    tinydsn_firmware("dsn-s").assert_golden(HERE / "prompt.wav")
"""
HOP = 256
WITHOUT_ARM = {"TINYDSN_ARM_GCC": "/nowhere/arm-none-eabi-gcc"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project: one test, one recording."""
    (tmp_path / "test_mine.py").write_text(CASE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    rng = np.random.default_rng(5)
    wave = (3000 * np.sin(np.arange(40 * HOP) / 9) + rng.normal(0, 800, 40 * HOP)).astype(np.int16)
    write_wav(tmp_path / "prompt.wav", wave)
    return tmp_path


def run(project: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """pytest in a process of its own, on the host unless told otherwise: exit code and what it printed."""
    boards = [] if "--tinydsn-board" in arguments else ["--tinydsn-board", "host"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *boards, *arguments]
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command,
        cwd=project,
        env=os.environ | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def golden(project: Path, board: str = "host") -> Path:
    return project / f"prompt.wav.{board}.golden"


def test_a_golden_file_is_written_once_and_then_compared(project: Path) -> None:
    code, text = run(project)
    assert code == 1 and "no such golden file (make it: pytest --update-golden)" in text
    code, text = run(project, "--update-golden")
    assert code == 0 and f"{golden(project)} written" in text
    assert run(project)[0] == 0
    assert not (project / "tinydsn-failures").exists()


def test_other_bits_fail_and_are_kept(project: Path) -> None:
    run(project, "--update-golden")
    text = golden(project).read_text()
    head, frames = text.split('crc32 = """\n')
    words = frames.split()
    words[17] = "00000000"
    head = head.replace('pcm = "', 'pcm = "0')
    golden(project).write_text(head + 'crc32 = """\n' + " ".join(words[:-1]) + '\n"""\n')
    code, text = run(project)
    assert code == 1
    assert "samples differ, first in frame 17 of 40" in text
    assert "the firmware equals the integer reference of this model: the model gives other bits" in text
    kept = sorted(path.name for path in (project / "tinydsn-failures" / "prompt.host").iterdir())
    assert kept == ["found.golden", "gates.txt", "minus-reference.wav", "output.wav"]


def test_a_missing_compiler_skips_or_fails(project: Path) -> None:
    board = ["--tinydsn-board", "mps2-an386"]
    code, text = run(project, *board, "-rs", **WITHOUT_ARM)
    assert code == 0 and "1 skipped" in text and "was not found; install it: apt-get install" in text
    code, text = run(project, *board, "--tinydsn-require", **WITHOUT_ARM)
    assert code == 1 and "--tinydsn-require: TINYDSN_ARM_GCC=/nowhere/arm-none-eabi-gcc was not found" in text


def test_an_unknown_board_fails_with_its_name(project: Path) -> None:
    code, text = run(project, "--tinydsn-board", "mps9")
    assert code == 1 and "mps9" in text and "Traceback" not in text


def test_counts_are_compared_on_a_core(project: Path) -> None:
    from refusals import needs_emulator

    needs_emulator()
    boards = ["--tinydsn-board", "mps2-an386", "--tinydsn-board", "host", "--tinydsn-require"]
    code, text = run(project, *boards, "--update-golden", "-n", "2")
    assert code == 0 and "2 passed" in text
    assert run(project, *boards)[0] == 0
    path = golden(project, "mps2-an386")
    approved = path.read_text()
    (line,) = (line for line in approved.splitlines() if line.startswith("max = "))
    path.write_text(approved.replace(line, f"max = {int(line.split()[-1]) - 1}"))
    code, text = run(project, *boards)
    assert code == 1 and "1 failed, 1 passed" in text and "instructions max: " in text
    path.write_text(approved.replace('compiler = "', 'compiler = "old ').replace(line, "max = 1"))
    code, text = run(project, *boards)
    assert code == 0 and "instruction counts not compared: compiler was 'old " in text
    code, text = run(project, *boards, "--tinydsn-slack", "5")
    assert code == 1 and "was 1, more than 5 % off" in text
