"""From ``tinydsn init`` to verified firmware, as the starter's README says."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tinydsn.cli import invoke


def commands(readme: Path) -> list[list[str]]:
    """The lines of the first block of code."""
    block = readme.read_text().split("```")[1]
    return [shlex.split(line) for line in block.strip().splitlines()]


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    module = "tinydsn" if words[0] == "tinydsn" else "pytest"
    command = [sys.executable, "-m", module, *words[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_readme_leads_to_verified_firmware(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "project"
    assert invoke(["init", str(folder), "--board", "mps2-an386", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["files"]
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == written
    for words in commands(folder / "README.md"):
        done = run(words, folder)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    assert list((folder / "audio").glob("*.golden"))
    again = run(["pytest", "--tinydsn-require"], folder)
    assert again.returncode == 0, again.stdout


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.py").write_text("mine")
    assert invoke(["init", str(tmp_path)]) == 2
    line = f"error: {tmp_path}: has a net.py already (choose another folder, or move it away)\n"
    assert capsys.readouterr().err == line
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]


def test_an_unknown_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["init", str(tmp_path / "new"), "--board", "mps2-an387"]) == 2
    assert "mps2-an386" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
