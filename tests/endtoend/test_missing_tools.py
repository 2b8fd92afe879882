"""Missing compilers, emulators and sources: exit code 2, one line that names the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refusals import CORE, Refused, board_file, needs_emulator

from tinydsn.cli import invoke


@pytest.mark.parametrize("verb", ["build", "run"])
def test_no_compiler(verb: str, wav: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU", "/bin/sh")
    monkeypatch.setenv("TINYDSN_ARM_GCC", "/nowhere/arm-none-eabi-gcc")
    more = ["--wav", wav, "--out", "out.wav"] if verb == "run" else ["-o", "made"]
    line = refused(verb, "dsn-s", "--board", CORE, *more)
    assert line.startswith("error: TINYDSN_ARM_GCC=/nowhere/arm-none-eabi-gcc was not found; install it: ")
    monkeypatch.delenv("TINYDSN_ARM_GCC")
    monkeypatch.setenv("PATH", str(wav.parent))
    line = refused(verb, "dsn-s", "--board", CORE, *more)
    assert line.startswith("error: arm-none-eabi-gcc was not found; install it: apt-get install ")
    line = refused(verb, "dsn-s", "--board", "host", *more)
    assert line == "error: no C compiler for the host; install one: apt-get install gcc libc6-dev"


def test_no_cmsis(wav: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_emulator()
    monkeypatch.setenv("CMSIS_NN_ROOT", str(wav.parent))
    line = refused("build", "dsn-s", "--board", CORE, "-o", "made")
    assert "CMSIS_NN_ROOT=" in line and "it must hold Include/" in line


def test_no_emulator(
    wav: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QEMU", "/nowhere/qemu-system-arm")
    line = refused("run", "dsn-s", "--board", CORE, "--wav", wav, "--out", "out.wav")
    assert line.startswith("error: QEMU=/nowhere/qemu-system-arm was not found; install it: apt-get install ")
    verify = ["verify", "dsn-s", "--board", CORE, "--wav", str(wav), "--gates", "learned,max", "--json"]
    assert invoke(verify) == 1
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [row["status"] for row in rows] == ["skipped", "skipped"]
    assert rows[0]["reason"].startswith("QEMU=/nowhere/qemu-system-arm was not found; install it: ")
    assert invoke([*verify, "--allow-skip"]) == 0


def test_a_board_without_an_emulator(wav: Path, refused: Refused) -> None:
    needs_emulator()
    board = board_file(wav.parent)
    text = board.read_text().replace("[qemu]", "").replace('machine = "mps2-an386"', "")
    board.write_text(text)
    line = refused("run", "dsn-s", "--board", board, "--wav", wav, "--out", "out.wav")
    assert line == "error: mine: QEMU does not have this board (its file has no table [qemu])"


def test_building_needs_no_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_emulator()
    monkeypatch.setenv("QEMU", "/nowhere/qemu-system-arm")
    made = tmp_path / "made"
    assert invoke(["build", "dsn-s", "--board", CORE, "-o", str(made), "--json"]) == 0
    assert (made / "build" / "tinydsn.elf").is_file()
