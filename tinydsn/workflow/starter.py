"""``tinydsn init``: a folder to start from, with a network, its widths, a board, a recording and a test."""

from __future__ import annotations

from pathlib import Path

from quant.errors import ConfigError
from tinydsn.audio.files import replace_file, write_wav
from tinydsn.codegen.board import board_root, load_board
from tinydsn.codegen.templates import template_root
from tinydsn.profiling.signal import speech_like

RATE = 16000
SECONDS = 4
FOLDER = "starter"


def start_project(folder: Path, board: str) -> list[str]:
    """Write the starter files for a board of ``tinydsn boards``; returns their names.

    Raises ConfigError when ``folder`` holds one of them already (nothing is written then), BoardError for an
    unknown board.
    """
    found = load_board(board)
    files = {path.name: path.read_bytes() for path in sorted((template_root() / FOLDER).iterdir())}
    files["board.toml"] = (board_root() / f"{found.name}.toml").read_bytes()
    recording = Path("audio") / "noisy.wav"
    taken = [name for name in (*files, str(recording)) if (folder / name).exists()]
    if taken:
        raise ConfigError(f"{folder}: has a {taken[0]} already (choose another folder, or move it away)")
    (folder / recording).parent.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        replace_file(folder / name, content)
    write_wav(folder / recording, speech_like(SECONDS * RATE, RATE), RATE)
    return sorted([*files, str(recording)])
