"""The way to Renode and back, with a script in Renode's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.errors import BoardError, ConfigError, ToolchainError
from tinydsn.codegen.board import load_board
from tinydsn.codegen.renode import Run, input_image, output_image, read_output_image, renode_files
from tinydsn.emulation.renode import renode_release, run_renode

PCM = np.arange(-5, 6, dtype=np.int16)
RUN = Run(frames=3, hop=4)
OUT = np.arange(12, dtype=np.int16)
WORDS = np.array([1, 0, 2], np.uint32)
SUMMARY = '{"frames":3,"hop":4,"gates":2,"context":64,"stack":100}'


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, run: str) -> None:
    """An executable that answers --version, and otherwise runs shell commands."""
    script = folder / "renode"
    script.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{version}"; exit; fi\n{run}\n')
    script.chmod(0o755)
    monkeypatch.setenv("RENODE", str(script))
    (folder / "image.bin").write_bytes(output_image(OUT, WORDS, RUN))
    (folder / "app.elf").write_bytes(b"program")


def test_a_run_gives_what_the_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        f"cp {tmp_path}/image.bin out.bin; echo '{SUMMARY}' > console.txt",
        f'echo "$@" > {tmp_path}/call; ls > {tmp_path}/files; cp in.bin {tmp_path}',
        f"echo $TMPDIR > {tmp_path}/tmp; echo $PWD > {tmp_path}/cwd",
    )
    fake(tmp_path, monkeypatch, "Renode, version 1.16.1.1 (abc)", "\n".join(lines))
    result = run_renode(tmp_path / "app.elf", load_board("stm32f405"), PCM, 4, WORDS)
    assert result.pcm.tolist() == OUT.tolist() and result.pcm.dtype == np.int16
    assert result.gates.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert (result.stack, result.context, result.instructions) == (100, 64, None)
    assert (tmp_path / "call").read_text() == "--disable-gui --console --plain -e include @run.resc\n"
    files = (tmp_path / "files").read_text().split()
    assert {"board.repl", "machine.resc", "run.resc", "tinydsn.elf", "in.bin"} <= set(files)
    assert (tmp_path / "in.bin").read_bytes() == input_image(PCM, WORDS, RUN)
    cwd, tmp = (tmp_path / "cwd").read_text().strip(), (tmp_path / "tmp").read_text().strip()
    assert tmp == f"{cwd}/tmp" and not Path(cwd).exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'error: the processor faulted' > console.txt", "(exit code 0): the processor faulted"),
        ("echo no such platform; exit 3", "(exit code 3): no such platform"),
        (f"echo '{SUMMARY}' > console.txt", f"(exit code 0): {SUMMARY}"),
        ("true", "(exit code 0): nothing printed"),
    ],
)
def test_a_run_that_fails_says_why(
    script: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, "1.16.1", script)
    with pytest.raises(ToolchainError) as caught:
        run_renode(tmp_path / "app.elf", load_board("mps2-an386"), PCM, 4)
    assert str(caught.value) == f"the firmware failed on mps2-an386 in Renode {reason}"


def test_the_release_is_read_and_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "Renode, version 1.16.1.18418 (69a60d27)", "true")
    assert renode_release() == "1.16.1"
    with pytest.raises(BoardError, match="^mps3-an547: Renode 1.16.1 cannot run code for cortex-m55"):
        run_renode(tmp_path / "app.elf", load_board("mps3-an547"), PCM, 4)
    fake(tmp_path, monkeypatch, "unknown", "true")
    with pytest.raises(ToolchainError, match="--version names no release; install Renode again"):
        renode_release()


def test_images_hold_whole_hops_and_come_back() -> None:
    image = input_image(PCM, WORDS, RUN)
    assert np.frombuffer(image, "<u4", 4).tolist() == [24, 12, 40, 0]
    assert np.frombuffer(image, "<i2", 12, 16).tolist() == [*PCM.tolist(), 0]
    assert np.frombuffer(image, "<u4", 3, 40).tolist() == WORDS.tolist()
    pcm, words = read_output_image(output_image(OUT, WORDS, RUN), RUN)
    assert pcm.tolist() == OUT.tolist() and words.tolist() == WORDS.tolist()
    # An odd hop leaves two bytes before the gate words, which are aligned.
    assert Run(3, 3).gates_offset == 16 + 18 + 2


def test_scripts_name_addresses_and_sizes() -> None:
    text = renode_files(load_board("stm32f405"), RUN)
    assert "sysbus.cpu VectorTableOffset 0x08000000\n" in text["machine.resc"]
    assert "LoadBinary $ORIGIN/in.bin 0x60000000\n" in text["machine.resc"]
    assert "audio_out: Memory.MappedMemory @ sysbus 0x70000000 {" in text["board.repl"]
    assert "sysbus.cpu.console CreateFileBackend $ORIGIN/console.txt true\n" in text["run.resc"]
    assert "sysbus.audio_out DumpBinary $ORIGIN/out.bin 0 52\n" in text["run.resc"]
    assert "Create Terminal Tester    sysbus.cpu.console    timeout=" in text["tinydsn.robot"]
    assert 'Wait For Line On Uart     {"frames":3,\n' in text["tinydsn.robot"]


def test_later_releases_get_the_handler_of_semihosting() -> None:
    text = renode_files(load_board("mps3-an547"), RUN)
    assert (
        "semihosting: CPU.SemihostingHandler @ cpu\nconsole: UART.SemihostingUart @ semihosting\n"
        in (text["board.repl"])
    )
    assert "sysbus.cpu.semihosting.console CreateFileBackend" in text["run.resc"]


def test_more_frames_than_memory_are_refused() -> None:
    with pytest.raises(ConfigError, match="200000 frames do not fit Renode's audio memory of 67108864 bytes"):
        renode_files(load_board("mps2-an386"), Run(200_000, 256))
