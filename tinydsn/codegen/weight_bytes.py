"""What a graph's constants take in flash: the section ``.rodata.tinydsn_weights``, before it is linked.

The section holds, in this order and each array aligned to its elements (at least to 4 bytes): of every
operator its weights as they are packed, and bias, multiplier and shift of its channels; gamma and beta of
normalisations; tables of functions; then constant operands and initial states. The tables of the front end
and the recorded self-test are not among them. `BuildResult.weights` is the same figure, read from what the
compiler wrote.
"""

from __future__ import annotations

from collections.abc import Iterable

from quant.graph import IntegerGraph
from tinydsn.codegen.board import Board
from tinydsn.codegen.design import constant_arrays
from tinydsn.codegen.kernels import code_target
from tinydsn.codegen.text import Array

LEAST_ALIGNMENT = 4
"""Of ``TINYDSN_WEIGHTS`` in ``tinydsn_port.h``."""


def weight_bytes(graph: IntegerGraph, board: Board, kernels: str = "auto") -> int:
    """Bytes of the weights section of ``graph`` on ``board``, as the linker will report them."""
    return section_bytes(array for _, array in constant_arrays(graph, code_target(board, kernels)))


def operator_weight_bytes(graph: IntegerGraph, board: Board, kernels: str = "auto") -> dict[str, int]:
    """Operator -> bytes of its arrays, without what aligns them; tables that several share count for the
    first, constants that no operator lays out have the empty name."""
    found: dict[str, int] = {}
    for operator, array in constant_arrays(graph, code_target(board, kernels)):
        found[operator] = found.get(operator, 0) + array.values.nbytes
    return found


def section_bytes(arrays: Iterable[Array]) -> int:
    """End of the last of several arrays that follow each other from an aligned start."""
    end = 0
    for array in arrays:
        alignment = max(LEAST_ALIGNMENT, array.values.itemsize)
        end = -(-end // alignment) * alignment + array.values.nbytes
    return end
