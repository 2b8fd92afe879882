"""TFLite-Micro as a yardstick of memory: one network as our project and as an exported ``.tflite`` file.

Both are the network alone: features in, mask out, states kept; the front end, which TFLite does not have, is
left out of ours too. TFLite-Micro's interpreter and kernels are not built for a core here, so their code is
in none of these figures, while ours is given beside them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quant.graph import IntegerGraph
from quant.tflite.flatbuffer import to_flatbuffer
from quant.tflite.model import Model as File
from quant.tflite.operators import CLOSE
from quant.tflite.step import step_model
from tinydsn.bench.tflite_arena import measure_arena
from tinydsn.profiling import flash
from tinydsn.workflow.export import static_graph
from tinydsn.workflow.firmware import build_firmware
from tinydsn.workflow.models import Model, load_model, pretrained

MODEL_GROUPS = (flash.WEIGHTS, flash.TABLES, flash.OPERATORS, flash.RUNTIME)
"""Groups of flash that take the place of the .tflite file: constants, and the calls in their order."""
KERNEL_GROUPS = (flash.KERNELS, flash.CMSIS)
NOT_MEASURED = "the interpreter's and its kernels' code is not in these figures"


@dataclass(frozen=True)
class Ours:
    """Bytes of the generated project on its board.

    constants: weights, scales, tables. model: these and the code that calls the kernels. kernels: their code.
    arena: activations and scratch. states: between frames. context: all RAM of one instance.
    """

    constants: int
    model: int
    kernels: int
    arena: int
    states: int
    context: int


@dataclass(frozen=True)
class Theirs:
    """Bytes of the same network in TFLite-Micro.

    constants: in the file. model: the file, without names of inner tensors. tensors: activations, states in
    and out, scratch. bookkeeping: of the interpreter (an upper bound, see `tinydsn.bench.tflite_arena`),
    with its parts. arena: both.
    """

    constants: int
    model: int
    tensors: int
    bookkeeping: int
    arena: int
    bookkeeping_parts: dict[str, int]


@dataclass(frozen=True)
class MemoryRow:
    """One network both ways; ``gates`` is "" for a model without any.

    bits: "equal", or "close" for the same graph with other roundings where TFLite needs fewer operators or
    memory for these.
    """

    model: str
    gates: str
    board: str
    bits: str
    operators: int
    tflite_operators: int
    ours: Ours
    tflite_micro: Theirs


def compare_memory(board: str, progress: Callable[[int, int], None] | None = None) -> list[MemoryRow]:
    """Every shipped model on one board, gated ones with all gates on and with all off.

    Raises MissingTool without a compiler, ConfigError without ``tinydsn[oracle]``.
    """
    jobs = []
    for model in map(load_model, pretrained()):
        jobs += [(model, gates) for gates in (("max", "min") if model.graph.gates else (None,))]
    rows = []
    for model, gates in jobs:
        rows.append(memory_row(model, gates, board))
        if progress:
            progress(len(rows), len(jobs))
    return rows


def memory_row(model: Model, gates: str | None, board: str) -> MemoryRow:
    """One model with its gates forced, on one board."""
    graph = static_graph(model.graph, gates)
    close = any(operator.kind in CLOSE for operator in graph.operators())
    file = step_model(graph, close)
    return MemoryRow(
        model=graph.name,
        gates=gates or "",
        board=board,
        bits="close" if close else "equal",
        operators=len(list(graph.operators())),
        tflite_operators=len(file.steps),
        ours=_ours(graph, model, board),
        tflite_micro=_theirs(file),
    )


def _ours(graph: IntegerGraph, model: Model, board: str) -> Ours:
    network = graph.replace(frontend=None)
    assert isinstance(network, IntegerGraph)
    with tempfile.TemporaryDirectory(prefix="tinydsn-memory-") as name:
        firmware = build_firmware(
            Model(network, model.path, model.sha256), board, Path(name) / "project", emulated=False
        )
        design, built = firmware.project.design, firmware.built
        symbols = flash.flash_symbols(built.elf, built.elf.parent, design, built.flash)

    def total(groups: Sequence[str]) -> int:
        return sum(symbol.bytes for symbol in symbols if symbol.group in groups)

    return Ours(
        constants=total((flash.WEIGHTS, flash.TABLES)),
        model=total(MODEL_GROUPS),
        kernels=total(KERNEL_GROUPS),
        arena=design.plan.arena_bytes,
        states=design.plan.state_bytes,
        context=design.context_bytes,
    )


def _theirs(file: File) -> Theirs:
    content = to_flatbuffer(file, named=False)
    arena = measure_arena(content)
    constants = sum(values.nbytes for values in file.constants.values())
    return Theirs(constants, len(content), arena.tensors, arena.bookkeeping, arena.total, arena.parts)


def as_json(rows: Sequence[MemoryRow]) -> dict[str, Any]:
    """What ``tinydsn bench --tflite-micro --json`` prints."""
    return {"schema": 1, "note": NOT_MEASURED, "networks": [asdict(row) for row in rows]}


def tables(rows: Sequence[MemoryRow]) -> dict[str, list[dict[str, Any]]]:
    """A table a network: what takes memory, ours beside TFLite-Micro's, in bytes."""
    made = {}
    for row in rows:
        ours, theirs = row.ours, row.tflite_micro
        lines = (
            ("operators in the graph", row.operators, row.tflite_operators),
            ("flash: constants", ours.constants, theirs.constants),
            ("flash: the model with them", ours.model, theirs.model),
            ("flash: kernels", ours.kernels, None),
            ("RAM: tensors and states", ours.arena + ours.states, theirs.tensors),
            ("RAM: bookkeeping", ours.context - ours.arena - ours.states, theirs.bookkeeping),
            ("RAM: all", ours.context, theirs.arena),
        )
        title = f"{row.model}, gates {row.gates}, {row.board}" if row.gates else f"{row.model}, {row.board}"
        made[title] = [{"bytes": name, "tinydsn": one, "TFLite-Micro": two} for name, one, two in lines]
    return made
