"""What tests of wrong input share: a good recording, and the check of how a command fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinydsn.audio.files import write_wav
from tinydsn.cli import invoke
from tinydsn.codegen.board import board_root, load_board

HOP = 256
CORE = "mps2-an386"
Refused = Callable[..., str]


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """A short recording that is in order."""
    noise = np.random.default_rng(1).integers(-9000, 9000, 6 * HOP).astype(np.int16)
    write_wav(tmp_path / "noisy.wav", noise)
    return tmp_path / "noisy.wav"


@pytest.fixture
def clips(wav: Path) -> Path:
    """A calibration folder."""
    folder = wav.parent / "clips"
    folder.mkdir()
    shutil.copy(wav, folder)
    return folder


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs a command in the test's folder, checks how it fails, and returns its line."""
    monkeypatch.delenv("TINYDSN_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def check(*arguments: object) -> str:
        before = content(tmp_path)
        code = invoke([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert code == 2, captured.err
        assert captured.out == ""
        assert [line.startswith("error: ") for line in lines] == [False] * (len(lines) - 1) + [True], lines
        assert "internal" not in lines[-1]
        assert content(tmp_path) == before
        return lines[-1]

    return check


def content(folder: Path) -> dict[str, int | None]:
    """Every file and folder with its size; what Python keeps of a user's module does not count."""
    return {
        str(path.relative_to(folder)): path.stat().st_size if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def board_file(folder: Path, **changes: str) -> Path:
    """A copy of the shipped board with some lines changed or (with "") left out."""
    lines = (board_root() / f"{CORE}.toml").read_text().splitlines()
    for key, value in changes.items():
        (index,) = (i for i, line in enumerate(lines) if line.startswith(f"{key} ="))
        lines[index] = f"{key} = {value}" if value else ""
    path = folder / "mine.toml"
    path.write_text("\n".join(lines))
    return path


def needs_emulator() -> None:
    """Skip where the tools of the core are missing."""
    from quant.errors import MissingTool
    from tinydsn.codegen.toolchain import find_compiler, find_qemu

    try:
        find_compiler(load_board(CORE))
        find_qemu()
    except MissingTool as error:
        pytest.skip(str(error))
