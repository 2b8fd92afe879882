"""The linear kernels' SMLAD and MVE paths, and CMSIS-NN's, equal their NumPy meaning on emulated cores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.errors import TinydsnError, ToolchainError
from tinydsn.bench.case import Case, Side, operator_case, tensor
from tinydsn.bench.catalog import convolution, depthwise
from tinydsn.bench.measure import bench
from tinydsn.codegen.board import Board, load_board
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.toolchain import find_compiler, find_qemu, static_library

BOARDS = ("mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547")
SIZES = [(6, 40, 13), (7, 21, 6), (5, 67, 16)]
"""Rows, inputs, outputs: with all remainders of blocks; the first rows hold the rims of the type."""
NIBBLE_SIZES = [(3, 32, 13), (3, 32, 1603)]
"""Few rows of whole words, for which 4-bit weights have kernels of their own; the many outputs hold sums
whose rounding hangs on the last bit of the product."""


def fully_connected(rows: int, columns: int, channels: int, kernel: str) -> Case:
    """Random weights with one scale a channel, a ReLU for odd sizes, inputs from the lowest to the highest.

    Of the largest size one channel has a scale so small that the result is not the sum's rounded half.
    """
    rng = np.random.default_rng([rows, columns, channels])
    dtype, bits = ("int16" if "16x" in kernel else "int8"), int(kernel[-1])
    zero = -37 if dtype == "int8" else 0
    weight = rng.standard_normal((channels, columns)) * rng.uniform(0.2, 1, (channels, 1)) / np.sqrt(columns)
    weight[0], weight[1] = 0, np.abs(weight[1]).max()
    bias = rng.standard_normal(channels)
    if columns == max(size[1] for size in SIZES) and dtype == "int16":
        weight[2], bias[2] = weight[2] * 1e-7, 0
    scale = 0.031 if dtype == "int8" else 2.0**-12
    data = tensor("x", (rows, columns), dtype, scale, zero)
    output = tensor("y", (rows, channels), dtype, 1.7 * scale, zero)
    inputs = (data, tensor("w", weight.shape, "int8", 1.0), tensor("b", (channels,), "int32", 1.0))
    constants = {1: weight, 2: bias}
    attributes = {"activation": "relu" if rows % 2 else "none"}
    return operator_case(
        kernel, f"{columns}x{channels}", "fully_connected", inputs, output, attributes, constants, bits, rims
    )


def rims(values: np.ndarray) -> np.ndarray:
    """The same with rows of the lowest and of the highest value, and of both in turn."""
    limits = np.iinfo(values.dtype)
    values[0], values[1] = limits.min, limits.max
    values[2, ::2], values[2, 1::2] = limits.min, limits.max
    return values


def cases() -> list[Case]:
    made = [
        fully_connected(*size, f"fully_connected_{bits}")
        for bits in ("16x8", "8x8", "16x4", "8x4")
        for size in (*SIZES, *(NIBBLE_SIZES if bits.endswith("4") else ()))
    ]
    for bits in ("16x8", "8x8"):
        made.append(convolution(f"conv2d_{bits}", (3, 7, 3), 6, (3, 3), (1, 1), (1, 1, 1, 1)))
        made.append(convolution(f"conv2d_{bits}", (1, 12, 5), 4, (1, 3), (1, 2), (0, 0, 2, 0)))
        made.append(depthwise(f"depthwise_{bits}", (4, 6, 9), (3, 3), (1, 1), (1, 1, 1, 1)))
        made.append(depthwise(f"depthwise_{bits}", (5, 7, 6), (2, 4), (2, 1), (0, 1, 3, 1)))
    return made


def ready(name: str) -> Board:
    board = load_board(name)
    try:
        find_qemu(), find_compiler(board), static_library(board)
    except TinydsnError as error:
        pytest.skip(str(error))
    return board


@pytest.mark.parametrize("name", BOARDS)
def test_linear_kernels_on_emulated_cores(name: str) -> None:
    rows = bench(cases(), [ready(name)])
    assert len(rows) == len(cases())
    assert all(row.ours > 0 and (row.cmsis_nn or 1) > 0 for row in rows)


@pytest.mark.parametrize("name", BOARDS)
def test_rows_may_start_at_any_address(name: str) -> None:
    case = fully_connected(6, 40, 13, "fully_connected_16x8")
    moved = np.concatenate([[0], case.inputs[0].reshape(-1)]).astype(np.int16)

    def sides(target: CodeTarget) -> tuple[Side, None]:
        ours, _ = case.sides(target)
        return replace(ours, body=ours.body.replace("x0", "x0 + 1")), None

    assert bench([replace(case, inputs=(moved,), sides=sides)], [ready(name)])


def test_the_bench_refuses_a_kernel_that_differs() -> None:
    case = fully_connected(6, 40, 13, "fully_connected_16x8")
    wrong = case.expected.copy()
    wrong[3, 5] ^= 1
    with pytest.raises(ToolchainError) as caught:
        bench([replace(case, expected=wrong)], [ready("mps2-an386")])
    assert str(caught.value) == (
        "fully_connected_16x8 40x13 on mps2-an386 in QEMU: bench_ours differs from the reference in 1 "
        "of 78 values"
    )
