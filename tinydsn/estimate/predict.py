"""What a network will cost on a board, from the table of its core: nothing is built where all is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quant.graph import IntegerGraph
from tinydsn.codegen.board import Board
from tinydsn.codegen.design import Design, check_interface, design
from tinydsn.codegen.kernels import code_target
from tinydsn.codegen.weight_bytes import weight_bytes
from tinydsn.estimate.keys import CostKey, front_end_key, operator_keys
from tinydsn.estimate.table import CostTable, learn, open_table, runtime_of


@dataclass(frozen=True)
class Prediction:
    """``instructions``: mean a frame with the gates open as often as ``usage`` says; ``all_on``: all of them,
    always. ``flash``: bytes of the weights section."""

    instructions: float
    all_on: float
    flash: int


class MeasuredCost:
    """What integer graphs cost on a board. Raises BoardError for a board without an emulator."""

    def __init__(self, board: Board) -> None:
        self.table = open_table(board)

    def __getstate__(self) -> dict[str, object]:
        """Other processes read the table's file themselves."""
        return {"board": self.table.board}

    def __setstate__(self, state: dict[str, Board]) -> None:
        self.table = open_table(state["board"])

    def cost(self, graph: IntegerGraph, gates: np.ndarray) -> Prediction:
        """``gates``: bool [frames, K], the graph's own decisions. See `predict`."""
        usage = gates.mean(axis=0) if len(gates) else np.ones(graph.gates)
        return predict(self.table, graph, [float(share) for share in usage])

    def missing(self, graph: IntegerGraph) -> int:
        """How many costs of a graph no measurement covers."""
        return len(_unknown(self.table, graph))

    def prepare(self, graphs: Iterable[IntegerGraph]) -> None:
        """Measure what is new in each of several graphs, in their order."""
        for graph in graphs:
            predict(self.table, graph, [1.0] * graph.gates)


def predict(table: CostTable, graph: IntegerGraph, usage: Sequence[float]) -> Prediction:
    """The cost of ``graph`` with gate k open in the share ``usage[k]`` of the frames.

    What no measurement covers is measured now (seconds). Raises BoardError, GraphError or UnsupportedOperator
    for a graph that the board does not take, ToolchainError without compiler or emulator.
    """
    board = table.board
    check_interface(graph)
    made = design(graph, code_target(board))
    keys = operator_keys(made, board)
    wanted = [*keys.values(), *_front(made, board)]
    if table.missing(wanted) or runtime_of(table, graph) is None:
        learn(table, graph, wanted)
    return Prediction(
        instructions=_sum(table, made, keys, usage),
        all_on=_sum(table, made, keys, [1.0] * graph.gates),
        flash=weight_bytes(graph, board),
    )


def _unknown(table: CostTable, graph: IntegerGraph) -> list[CostKey]:
    made = design(graph, code_target(table.board))
    found = [*operator_keys(made, table.board).values(), *_front(made, table.board)]
    return table.missing(found)


def _front(made: Design, board: Board) -> list[CostKey]:
    return [CostKey(front_end_key(made, board))] if made.graph.frontend is not None else []


def _sum(table: CostTable, made: Design, keys: Mapping[str, CostKey], usage: Sequence[float]) -> float:
    """Operators outside regions, regions by their share, front end and runtime."""
    runtime = runtime_of(table, _integer(made))
    assert runtime is not None
    total = runtime.fixed + sum(cost * share for cost, share in zip(runtime.gates, usage, strict=True))
    for name, branch in made.graph.region_of().items():
        if name in keys:
            total += _known(table, keys[name]) * (1.0 if branch is None else branch.share(usage))
    return total + sum(_known(table, key) for key in _front(made, table.board))


def _integer(made: Design) -> IntegerGraph:
    assert isinstance(made.graph, IntegerGraph)
    return made.graph


def _known(table: CostTable, key: CostKey) -> float:
    cost = table.lookup(key)
    assert cost is not None, key.text
    return cost
