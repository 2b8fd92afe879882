"""Shell completion: each kind of name, without PyTorch; and every command shows an example."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from tinydsn.cli import app, completion, invoke

BOARDS = ["mps2-an386", "mps2-an500", "mps2-an505"]


def completed(line: str, folder: Path) -> list[str]:
    """What bash is offered at the end of ``line``; fails if PyTorch was loaded for it."""
    words = line.split(" ")
    script = (
        "import sys\nfrom tinydsn.cli import main\ntry:\n    main()\n"
        "finally:\n    assert 'torch' not in sys.modules"
    )
    shell = {"_TINYDSN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    path = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **shell, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tinydsn ver", ["verify"]),
        ("tinydsn search sta", ["start", "status"]),
        ("tinydsn verify dsn-s-h", ["dsn-s-half", "dsn-s-half-2"]),
        ("tinydsn run dsn-s --board mps2", BOARDS),
        ("tinydsn build dsn-s --kernels c", ["cmsis-nn"]),
        ("tinydsn quantize dsn-s --precision w8a1", ["w8a16"]),
    ],
)
def test_bash_is_offered_names(line: str, offered: list[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == offered


def test_names_and_files_that_begin_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine.tdsn", "mine.toml", "mine.json", "mine.safetensors", "mine.wav"):
        (tmp_path / name).touch()
    assert completion.models("m") == ["mine.safetensors", "mine.tdsn"]
    assert completion.networks("m") == ["mine.safetensors"]
    assert completion.boards("m") == [*BOARDS, "mps3-an547", "mine.toml"]
    assert completion.precisions("mi") == ["mine.json", "mine.toml"]
    assert completion.models(f"{tmp_path}/mine.t") == [f"{tmp_path}/mine.tdsn"]
    assert completion.models(f"{tmp_path}/gone/x") == []
    assert completion.board_lists("mps2-an386,mps2") == [f"mps2-an386,{name}" for name in BOARDS[1:]]
    assert completion.board_lists("a") == ["all"]
    assert completion.gate_lists("learned,m") == ["learned,min", "learned,max"]
    assert completion.kernel_lists("fully_connected_16x8") == ["fully_connected_16x8"]
    assert completion.executors("p") == ["processes"]
    assert completion.recipes("dsn-s-h") == ["dsn-s-half", "dsn-s-half-2"]
    assert completion.devices("cu") == ["cuda"]


def test_the_script_for_a_shell_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--install-completion" in helped([], capsys)


def helped(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert invoke([*words, "--help"]) == 0
    return capsys.readouterr().out


def commands(group: Any, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every command and group below ``group``, the program itself left out."""
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found.append((*words, name))
        found += commands(command, found[-1]) if hasattr(command, "commands") else []
    return found


ALL = commands(typer.main.get_command(app))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_shows_an_example_of_itself(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = " ".join(helped(list(words), capsys).split())
    implied = words[:1] if words == ("search", "start") else words
    assert f"Example: tinydsn {' '.join(implied)} " in shown


def test_the_walk_finds_the_verbs_of_search() -> None:
    assert len(ALL) > 25 and ("search", "pick") in ALL
