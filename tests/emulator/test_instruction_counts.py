"""Instruction counts against numbers known from assembly, and against QEMU's own log of single steps."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from counted_network import built, noise

from tinydsn.codegen.board import Board, board_names, load_board
from tinydsn.codegen.toolchain import find_qemu
from tinydsn.emulation import run_qemu
from tinydsn.emulation.profile import address_map

BOARDS = [name for name in board_names() if name != "host"]
LOOP, CALLS, SKIPPED = "tinydsn_op_000_loop", "tinydsn_op_001_calls", "tinydsn_op_002_skipped"


@pytest.mark.parametrize("name", BOARDS)
def test_operators_count_as_their_assembly_says(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    run = run_qemu(built(board, tmp_path), board, noise(40))
    assert run.operator_instructions is not None and run.instructions is not None
    counts = dict(zip(run.operator_names, run.operator_instructions.T, strict=True))
    assert set(counts) == {LOOP, CALLS, SKIPPED, "runtime"}
    assert set(counts[LOOP]) == {1 + 3 * 100 + 1}
    assert np.array_equal(counts[CALLS], np.where(run.gates[:, 0], 3 + 10 * 5, 0))
    assert set(counts[SKIPPED]) == {4}
    assert np.array_equal(run.operator_instructions.sum(axis=1), run.instructions)
    assert 0 < run.gates[:, 0].sum() < 40


@pytest.mark.parametrize("name", BOARDS)
def test_ten_more_passes_of_a_loop_are_thirty_more_instructions(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    pcm = noise(3)
    first = run_qemu(built(board, tmp_path / "a"), board, pcm)
    again = run_qemu(built(board, tmp_path / "a"), board, pcm)
    longer = run_qemu(built(board, tmp_path / "b", '-DTIMES="110"'), board, pcm)
    assert first.operator_instructions is not None and again.operator_instructions is not None
    assert np.array_equal(first.operator_instructions, again.operator_instructions)
    assert first.instructions is not None and longer.instructions is not None
    assert (longer.instructions.astype(int) - first.instructions).tolist() == [30] * 3


@pytest.mark.parametrize("name", BOARDS)
def test_frames_count_as_many_instructions_as_single_steps(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    elf = built(board, tmp_path)
    pcm = noise(6)
    run = run_qemu(elf, board, pcm)
    assert run.instructions is not None
    assert run.instructions.tolist() == single_steps(elf, board, pcm, tmp_path)


def single_steps(elf: Path, board: Board, pcm: np.ndarray, folder: Path) -> list[int]:
    """Instructions of each frame, from a log with one line for each instruction."""
    places = {}
    for line in address_map(elf).text.splitlines():
        word, *numbers = line.split()
        if word in ("frame", "outside"):
            places.setdefault(word, [int(number, 16) for number in numbers])
    (folder / "in.pcm").write_bytes(pcm.astype("<i2").tobytes())
    assert board.qemu is not None
    words = ",".join(f"arg={word}" for word in ("counted", "in.pcm", "out.pcm", "gates.bin"))
    command = [str(find_qemu()), "-M", board.qemu.machine, "-display", "none", "-monitor", "none"]
    command += ["-kernel", str(elf), "-semihosting-config", f"enable=on,target=native,{words}"]
    command += [*one_instruction_a_block(), "-d", "exec,nochain", "-D", "steps.log"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    counts, inside = [], False
    for line in (folder / "steps.log").read_text().splitlines():
        found = re.match(r"Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/", line)
        if not found:
            continue
        address = int(found.group(1), 16)
        if address == places["frame"][0]:
            inside = True
            counts.append(0)
        elif places["outside"][0] <= address < places["outside"][1]:
            inside = False
        if inside:
            counts[-1] += 1
    return counts


def one_instruction_a_block() -> list[str]:
    """QEMU 9 dropped the option ``-singlestep`` that 7.2 has."""
    text = subprocess.run([str(find_qemu()), "-help"], capture_output=True, text=True, check=True).stdout
    return ["-singlestep"] if "-singlestep" in text else ["-accel", "tcg,one-insn-per-tb=on"]
