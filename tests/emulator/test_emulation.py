"""The application around a network: sound, gates, stack and failures, on every board and on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from counted_network import GATES, HOP, built, expected, noise

from quant.errors import BoardError, ConfigError, MissingTool, ToolchainError
from quant.gates import from_words
from tinydsn.codegen.app import IoMemory, app_files, linker_script
from tinydsn.codegen.board import board_names, load_board
from tinydsn.codegen.renode import Run, input_image, output_image, read_output_image, renode_files
from tinydsn.codegen.toolchain import find_qemu
from tinydsn.emulation import RunResult, find_renode, run_host, run_qemu, run_renode


def run(name: str, folder: Path, pcm: np.ndarray, words: np.ndarray | None = None) -> RunResult:
    board = load_board(name)
    elf = built(board, folder)
    return run_host(elf, pcm, words) if board.is_host else run_qemu(elf, board, pcm, words)


@pytest.mark.parametrize("name", board_names())
@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, 5 * HOP + 3, 70 * HOP])
def test_every_sample_and_gate_comes_back(name: str, samples: int, tmp_path: Path) -> None:
    pcm = noise(70)[:samples]
    result = run(name, tmp_path, pcm)
    out, words = expected(pcm)
    assert np.array_equal(result.pcm, out)
    assert np.array_equal(result.gates, from_words(words, GATES))


@pytest.mark.parametrize("name", board_names())
def test_forced_words_overrule_every_gate(name: str, tmp_path: Path) -> None:
    pcm, words = noise(11), (np.arange(11) * 5 % 8).astype(np.uint32)
    result = run(name, tmp_path, pcm, words)
    assert np.array_equal(result.pcm, expected(pcm, words)[0])
    assert np.array_equal(result.gates, from_words(words, GATES))


@pytest.mark.parametrize("name", board_names())
def test_stack_holds_the_array_of_64_words_on_targets(name: str, tmp_path: Path) -> None:
    stack = run(name, tmp_path, noise(3)).stack
    assert stack is None if name == "host" else stack is not None and 256 < stack < 600


@pytest.mark.parametrize("name", ["host", "mps2-an386"])
def test_too_few_forced_words_are_an_error_with_the_last_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError) as caught:
        run(name, tmp_path, noise(3), np.zeros(2, np.uint32))
    where = "on the host" if name == "host" else f"on {name} in QEMU"
    assert str(caught.value) == (
        f"the firmware failed {where} with exit code 3: fewer gate words than frames in forced.bin"
    )


def test_samples_of_another_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pcm is float64 \[3\] \(must be int16, one dimension\)"):
        run_host(tmp_path / "none", np.zeros(3))


def test_sound_through_memory_is_the_same(tmp_path: Path) -> None:
    """The program that Renode runs, in QEMU: its memory for sound is a file."""
    board = load_board("mps2-an386")
    psram, half = 0x2100_0000, 0x80_0000
    app = app_files(board, "memory")
    app["app/tinydsn.ld"] = linker_script(board, IoMemory(psram, psram + half))
    elf = built(board, tmp_path, app=app)
    pcm, words = noise(9)[:-5], (np.arange(9) % 8).astype(np.uint32)
    for forced in (None, words):
        sizes = Run(9, HOP)
        image = tmp_path / "psram.bin"
        image.write_bytes(input_image(pcm, forced, sizes).ljust(2 * half, b"\0"))
        command = [str(find_qemu()), "-M", "mps2-an386,memory-backend=sound", "-display", "none"]
        command += ["-object", f"memory-backend-file,id=sound,size=16M,share=on,mem-path={image}"]
        command += ["-monitor", "none", "-serial", "none", "-kernel", str(elf), "-semihosting"]
        subprocess.run(command, capture_output=True, check=True, timeout=60)
        data = image.read_bytes()[half:]
        out, gates = expected(pcm, forced)
        assert data.startswith(output_image(out, gates, sizes))
        assert np.array_equal(read_output_image(data, sizes)[0], out)


def test_renode_equals_the_expected_output(tmp_path: Path) -> None:
    try:
        find_renode()
    except MissingTool as error:
        pytest.skip(str(error))
    board, pcm = load_board("mps2-an386"), noise(9)
    result = run_renode(built(board, tmp_path, app=app_files(board, "memory")), board, pcm, HOP)
    assert np.array_equal(result.pcm, expected(pcm)[0])


def test_renode_files_name_the_board_and_the_sizes() -> None:
    board, sizes = load_board("stm32f405"), Run(3, HOP)
    text = renode_files(board, sizes)
    assert sorted(text) == ["board.repl", "machine.resc", "run.resc", "tinydsn.robot"]
    assert "@ sysbus 0x08000000 { size: 0x100000 }\n" in text["board.repl"]
    assert 'cpuType: "cortex-m4"' in text["board.repl"]
    assert "console: UART.SemihostingUart @ cpu\n" in text["board.repl"]
    assert f"out.bin 0 {16 + 3 * (2 * HOP + 4)}\n" in text["run.resc"]
    newer = renode_files(board, sizes, "1.17.0")["board.repl"]
    assert "console: UART.SemihostingUart @ semihosting\n" in newer


def test_renode_1_16_1_cannot_run_the_core_with_mve() -> None:
    with pytest.raises(BoardError) as caught:
        renode_files(load_board("mps3-an547"), Run(3, HOP), "1.16.1")
    assert str(caught.value) == (
        "mps3-an547: Renode 1.16.1 cannot run code for cortex-m55 "
        "(must be newer than 1.16.1, which lacks instructions of MVE)"
    )
    with pytest.raises(BoardError, match="host: Renode does not have this board"):
        renode_files(load_board("host"), Run(3, HOP))


def test_a_missing_renode_is_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENODE", "/nowhere/renode")
    with pytest.raises(MissingTool, match="^skipped: RENODE=/nowhere/renode not found"):
        find_renode()
