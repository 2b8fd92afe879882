"""The tutorial works as it is written: its files, its commands, and what they print.

Numbers may differ (another compiler, another PyTorch), all else may not. A line ``...`` stands for any lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from refusals import needs_emulator

from tests.docs_blocks import blocks
from tinydsn.codegen.toolchain import find_qemu

ROOT = Path(__file__).resolve().parents[2]

TUTORIAL = ROOT / "docs" / "tutorial.md"
LONGEST_MODEL = 40
PROGRAMS = {"python": "", "tinydsn": "-m tinydsn", "pytest": "-m pytest"}


def environment(folder: Path) -> dict[str, str]:
    """This Python's programs on the PATH, and this checkout to import."""
    folder.mkdir()
    for name, module in PROGRAMS.items():
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (folder / name).chmod(0o755)
    (folder / "qemu-system-arm").symlink_to(find_qemu().resolve())
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}


def sessions(text: str) -> list[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def plain(text: str) -> list[str]:
    """Lines with each number and hash as #, single blanks, and no rules of tables."""
    text = re.sub(r"\b[0-9a-f]{64}\b|\d[\d,.]*", "#", text.replace("─", ""))
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def matches(shown: str, printed: str) -> bool:
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in plain(shown))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in plain(printed))) is not None


def test_the_tutorial_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    needs_emulator()
    folder = tmp_path / "work"
    folder.mkdir()
    variables = environment(tmp_path / "bin")
    found = blocks(TUTORIAL)
    for block in found:
        if block.language == "python" and block.title:
            (folder / block.title).write_text(block.text)
    assert len((folder / "net.py").read_text().splitlines()) <= LONGEST_MODEL
    calls = [call for block in found if block.language == "console" for call in sessions(block.text)]
    assert len(calls) >= 8
    for command, shown in calls:
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        assert matches(shown, done.stdout), f"{command} printed\n{done.stdout}\nand not\n{shown}"


def test_matching_tells_other_words_and_rows() -> None:
    assert matches("a  1,234\n...\nb 2", "a 99\nx\ny\nb 7\n")
    assert not matches("a 1\nb 2", "a 1\nc 2")
    assert not matches("a 1", "a 1\nb 2")
