"""The front end's C on every kind of core equals its NumPy reference, with all kinds of windows.

Cores with DSP instructions and with vectors take other paths than the host does.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from quant.errors import ToolchainError
from quant.frontend import FrontEnd, FrontEndReference
from quant.frontend.tables import c_tables
from tinydsn.codegen.app import app_files
from tinydsn.codegen.board import Board, load_board
from tinydsn.codegen.build import COMPILE_FLAGS
from tinydsn.codegen.project import FRONTEND_FILES, FRONTEND_MVE_FILES
from tinydsn.codegen.templates import render, template_root
from tinydsn.codegen.toolchain import find_compiler, find_qemu
from tinydsn.emulation import run_qemu

NETWORK = Path(__file__).parent / "frontend"
RUNTIME = template_root() / "runtime"
BOARDS = ("mps2-an386", "mps2-an505", "mps3-an547")
CONFIGS = {
    "shipped": FrontEnd(),
    "with-nyquist": FrontEnd(bins=257),
    "radix-4-by-2": FrontEnd(window=256, hop=128, bins=128, compression=0.5),
    "overlap-4": FrontEnd(window=1024, hop=256, bins=513),
    "overlap-8": FrontEnd(window=512, hop=64, bins=256, compression=0.05, feature_fraction_bits=14),
    "overlap-8-by-2": FrontEnd(window=1024, hop=128, bins=512),
    "saturating": FrontEnd(window=128, hop=64, bins=65, compression=1.0, feature_fraction_bits=15),
    "shortest": FrontEnd(window=32, hop=4, bins=17),
    "long": FrontEnd(window=2048, hop=1024, bins=1025, compression=0.7, feature_fraction_bits=3),
}


def built(board: Board, config: FrontEnd, folder: Path) -> Path:
    try:
        compiler = str(find_compiler(board).path)
        find_qemu()
    except ToolchainError as error:
        pytest.skip(str(error))
    files = {path: text for path, text in app_files(board).items()}
    for name in ("tinydsn_frontend_tables.c", "tinydsn_frontend_tables.h"):
        files[f"app/{name}"] = render(f"{name}.j2", c_tables(config))
    for name in (*FRONTEND_FILES, *(FRONTEND_MVE_FILES if board.mve else ())):
        files[f"app/{name}"] = (RUNTIME / name).read_text()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sources = [*map(str, sorted(folder.glob("app/*.c"))), str(NETWORK / "tinydsn.c")]
    options = [*board.flags, *COMPILE_FLAGS, "-Werror", f"-I{NETWORK}", f"-I{RUNTIME}", f"-I{folder / 'app'}"]
    link = [f"-T{folder / 'app' / 'tinydsn.ld'}", "-nostartfiles", "-Wl,--gc-sections"]
    elf = folder / "frontend.elf"
    subprocess.run([compiler, *options, *sources, *link, "-o", str(elf)], check=True)
    return elf


def gains(frame: int, features: np.ndarray) -> np.ndarray:
    """The mask of frontend/tinydsn.c."""
    kind = frame % 8
    if kind < 3:
        return np.full(len(features), (32767, 0, -32768)[kind], np.int16)
    lines = np.arange(len(features), dtype=np.uint64)
    hashed = (features.astype(np.uint16) + 40503 * lines + frame) % 2**32 * 2654435761 % 2**32
    shift = {3: 31, 4: 16}.get(kind, 17)
    return (hashed >> np.uint64(shift)).astype(np.uint16).astype(np.int16)


def hash_of(features: np.ndarray) -> int:
    value = 2166136261
    for feature in features.astype(np.uint16).tolist():
        value = (value ^ feature) * 16777619 % 2**32
    return value


def signal(config: FrontEnd, frames: int) -> np.ndarray:
    """Bursts of tones and noise from full scale to silence, square waves, impulses; int16 [frames * hop]."""
    rng = np.random.default_rng(77)
    time = np.arange(frames * config.hop)
    level = 10 ** (-4.8 * np.repeat(rng.random(frames), config.hop))
    wave = np.sin(0.07 * time) + np.sin(0.5 * time + np.sin(time / 300))
    wave += 0.3 * rng.standard_normal(len(time))
    pcm = np.clip(np.round(32768 * level * wave), -32768, 32767).astype(np.int16).reshape(frames, -1)
    pcm[10:19] = np.array([0, 0, 1, -1, -32768, -32768, 32767, 0, 0])[:, None]
    pcm[19:22] = np.where(np.arange(config.hop) // 2 % 2, 32767, -32768)
    pcm[22:24], pcm[23, config.hop // 3] = 0, 32767
    pcm[24:27] = rng.choice([-32768, 32767], (3, config.hop))
    return pcm.reshape(-1)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("board_name", BOARDS)
def test_cores_equal_the_reference(board_name: str, name: str, tmp_path: Path) -> None:
    config, board = CONFIGS[name], load_board(board_name)
    frames = 60
    pcm = signal(config, frames)
    run = run_qemu(built(board, config, tmp_path), board, pcm, profile=False)
    reference = FrontEndReference(config)
    words = np.packbits(run.gates, axis=1, bitorder="little").view("<u4")[:, 0]
    for frame in range(frames):
        hop = slice(frame * config.hop, (frame + 1) * config.hop)
        features = reference.analysis(pcm[hop])
        assert words[frame] == hash_of(features), f"features of frame {frame}"
        expected = reference.synthesis(gains(frame, features))
        differing = np.flatnonzero(expected != run.pcm[hop])
        assert differing.size == 0, f"frame {frame}: first difference at {differing[0]}"
