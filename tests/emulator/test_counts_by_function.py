"""Which function's own code executed the instructions, against numbers known from assembly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from counted_network import built, noise

from quant.errors import ToolchainError
from tinydsn.codegen.board import load_board
from tinydsn.emulation import run_qemu
from tinydsn.emulation.profile import OTHER, AddressMap, read_function_counts

FRAMES = 20


@pytest.mark.parametrize("name", ["mps2-an386", "mps3-an547"])
def test_functions_count_as_their_assembly_says(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    run = run_qemu(built(board, tmp_path), board, noise(FRAMES), by_function=True)
    assert run.function_instructions is not None and run.operator_instructions is not None
    operators = run.operator_names[:-1]
    table = dict(zip(run.function_names, run.function_instructions.T.astype(int), strict=True))
    loop, calls, skipped = range(3)
    assert operators[loop].endswith("loop") and operators[calls].endswith("calls")
    taken = int(np.count_nonzero(run.operator_instructions[:, calls]))
    assert 0 < taken < FRAMES
    assert table[operators[loop]][loop] == FRAMES * (1 + 3 * 100 + 1)
    assert table[operators[calls]][calls] == taken * (3 + 10 * 3)
    assert table["helper"][calls] == taken * 10 * 2
    assert table[operators[skipped]][skipped] == FRAMES * 4
    # Three instructions of the runtime a frame, in one of the gaps between operators and in no operator.
    assert table["known_part"][:3].sum() == 0 and table["known_part"].sum() == FRAMES * 3
    assert table[OTHER].sum() == 0
    assert run.function_instructions.shape == (2 * len(operators) + 1, len(run.function_names))


@pytest.mark.parametrize("name", ["mps2-an386", "mps3-an547"])
def test_the_functions_of_an_operator_sum_to_its_count(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    elf, pcm = built(board, tmp_path), noise(FRAMES)
    run, plain = run_qemu(elf, board, pcm, by_function=True), run_qemu(elf, board, pcm)
    assert run.function_instructions is not None and run.operator_instructions is not None
    assert plain.function_instructions is None and plain.operator_instructions is not None
    assert np.array_equal(run.operator_instructions, plain.operator_instructions)
    sums, each = run.function_instructions.sum(axis=1), run.operator_instructions.sum(axis=0)
    assert sums[:3].tolist() == each[:3].tolist()
    assert sums[3:].sum() == each[3]


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "functions.bin"
    path.write_bytes(np.arange(5, dtype="<u8").tobytes())
    counted = AddressMap("", ("a", "runtime"), ("f", OTHER))
    with pytest.raises(ToolchainError) as caught:
        read_function_counts(path, counted)
    assert str(caught.value) == "QEMU's plugin left 5 counts by function (must be 3 rows of 2)"
    path.write_bytes(np.arange(6, dtype="<u8").tobytes())
    assert read_function_counts(path, counted).tolist() == [[0, 1], [2, 3], [4, 5]]
