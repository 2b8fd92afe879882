"""Measured costs of kernels on a core: what ``tinydsn ops --board`` and the generated header show.

Measurements are those of ``tinydsn bench``: executed instructions in QEMU, one call. They are kept in the
cache under a key of the kernels' and the generator's sources, the compiler, its flags and CMSIS-NN, so that
a number is never shown for code that it was not measured with.
"""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from quant.errors import BoardError
from quant.graph import IntegerGraph, Operator
from quant.model_file import write_atomically
from quant.ops import TABLE
from tinydsn.bench.case import Case
from tinydsn.bench.catalog import cases
from tinydsn.bench.elementwise import elementwise_cases
from tinydsn.bench.measure import bench
from tinydsn.cache import cache_dir
from tinydsn.codegen.board import Board, load_board
from tinydsn.codegen.build import COMPILE_FLAGS
from tinydsn.codegen.cmsis import cmsis_nn_version
from tinydsn.codegen.design import Design, design
from tinydsn.codegen.kernels import LINEAR, code_target, kernel_names
from tinydsn.codegen.templates import template_root
from tinydsn.codegen.toolchain import find_compiler
from tinydsn.codegen.writer import body

CELL = "gru"
"""The bench's name of whole GRU cells: products and ``gru_update`` together."""
PER_MAC = frozenset({*LINEAR, "batch_matmul", CELL})
CALL = re.compile(r"^ {4,}((?:tinydsn|arm)_\w+)\(", re.MULTILINE)
CELL_KERNEL = "tinydsn_gru_s"
FORMS_WITH_WEIGHTS = frozenset({*LINEAR, CELL})
"""Kinds whose cases are named by the bits of activations and weights."""
HEADER_WIDTH = 106


@dataclass(frozen=True)
class Cost:
    """Instructions of one call; ``units``: its multiply-accumulates, or its results (``per`` says which)."""

    kind: str
    kernel: str
    shape: str
    per: str
    units: int
    ours: int
    cmsis_nn: int | None

    @property
    def each(self) -> float:
        """Instructions a unit."""
        return round(self.ours / self.units, 3)


def kernel_costs(
    board: Board, measure: bool, progress: Callable[[int, int], None] | None = None
) -> tuple[Cost, ...] | None:
    """Costs of all kernels on the board's core: from the cache, or measured now (``measure``), a minute.

    None when they are not in the cache and ``measure`` is False. Raises BoardError when a board without an
    emulator is to be measured, MissingTool without a compiler or emulator.
    """
    if board.qemu is None:
        if measure:
            raise BoardError(f"{board.name}: QEMU does not have this board, so nothing can be measured on it")
        return None
    all_cases = (*cases(), *elementwise_cases())
    path = cache_path(board)
    known = _read(path)
    missing = [case for case in all_cases if _key(case) not in known]
    if missing and not measure:
        return None
    if missing:
        rows = bench(missing, [board], progress)
        for case, row in zip(missing, rows, strict=True):
            known[_key(case)] = asdict(_cost(case, row.ours, row.cmsis_nn))
        write_atomically(path, (json.dumps(known, indent=2) + "\n").encode())
    return tuple(Cost(**known[_key(case)]) for case in all_cases)  # type: ignore[arg-type]


def cached_costs(board: Board) -> tuple[Cost, ...]:
    """As `kernel_costs` without measuring; nothing where there are none, or no compiler."""
    from quant.errors import ToolchainError

    try:
        return kernel_costs(board, measure=False) or ()
    except ToolchainError:
        return ()


def cache_path(board: Board) -> Path:
    """Where a core's measurements are kept. Raises MissingTool without a compiler."""
    parts = [find_compiler(board).version, *board.flags, *COMPILE_FLAGS, cmsis_nn_version()]
    digest = hashlib.sha256("\0".join(parts).encode())
    for path in sorted(_sources()):
        digest.update(path.name.encode() + path.read_bytes())
    return cache_dir() / "bench" / f"{board.core}-{digest.hexdigest()[:16]}.json"


def _sources() -> Iterable[Path]:
    """Whatever makes the measured code."""
    for folder in ("kernels", "ops", "runtime"):
        yield from (path for path in (template_root() / folder).iterdir() if path.is_file())
    for package in ("tinydsn.codegen", "tinydsn.bench"):
        yield from Path(str(resources.files(package))).glob("*.py")


def _read(path: Path) -> dict[str, dict[str, object]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(case: Case) -> str:
    return f"{case.kernel} {case.shape}"


def _cost(case: Case, ours: int, theirs: int | None) -> Cost:
    kind = kind_of(case.kernel)
    per = "MAC" if kind in PER_MAC else "result"
    units = case.macs if per == "MAC" else int(case.expected.size)
    return Cost(kind, case.kernel, case.shape, per, units, ours, theirs)


def kind_of(kernel: str) -> str:
    """The operator's kind of a case such as ``depthwise_16x8``; ``gru`` for whole cells."""
    name = kernel.rsplit("_", 1)[0]
    if name in TABLE or name == CELL:
        return name
    return next((kind for kind in TABLE if kind.startswith(name)), name)


def kinds_costs(costs: Sequence[Cost]) -> Mapping[str, str]:
    """Operator kind -> its costs in words, such as ``16x8: 1.3 to 2.6 a MAC``."""
    grouped: dict[str, dict[str, list[Cost]]] = {}
    for cost in costs:
        form = cost.kernel.rsplit("_", 1)[1]
        grouped.setdefault(cost.kind, {}).setdefault(form, []).append(cost)
    words = {
        kind: "; ".join(_words(form, rows) for form, rows in forms.items()) for kind, forms in grouped.items()
    }
    if CELL in words:
        words["gru_update"] = f"whole cell, {words.pop(CELL)}"
    return words


def _words(form: str, rows: Sequence[Cost]) -> str:
    return f"{form}: {span(rows)}"


def span(rows: Sequence[Cost]) -> str:
    """Instructions a unit, such as ``1.32 to 2.61 a MAC``."""
    low, high = min(row.each for row in rows), max(row.each for row in rows)
    numbers = f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
    return f"{numbers} a {rows[0].per}"


def header_lines(graph: IntegerGraph, board: Board, kernels: str = "auto") -> tuple[str, ...]:
    """Lines of the generated header: which operators use each kernel, and what it was measured to cost."""
    made = design(graph, code_target(board, kernels))
    costs = cached_costs(board)
    users: dict[tuple[str, str], list[str]] = {}
    for operator in made.graph.operators():
        name = kernel_of(made, operator)
        if name:
            users.setdefault((name, _class(made, operator, costs)), []).append(operator.name)
    source = (
        f"instructions measured on {board.core}"
        if costs
        else f"not measured: tinydsn ops --board {board.name} --measure"
    )
    lines = [f"Operators by kernel ({source}):"]
    for (kernel, cost), names in sorted(users.items()):
        text = f"{kernel}{f' ({cost})' if cost else ''}: {', '.join(names)}"
        lines += textwrap.wrap(text, HEADER_WIDTH, initial_indent="  ", subsequent_indent="    ")
    return tuple(lines)


def kernel_of(made: Design, operator: Operator) -> str:
    """The function that an operator's C calls first; empty for views and comparisons."""
    found = CALL.search(body(made, operator))
    return found.group(1) if found else ""


def _class(made: Design, operator: Operator, costs: Sequence[Cost]) -> str:
    """The measured span of the forms that an operator has."""
    kind = CELL if kernel_of(made, operator).startswith(CELL_KERNEL) else operator.kind
    form: str = made.graph.tensors[operator.inputs[0]].dtype
    if kind in FORMS_WITH_WEIGHTS:
        bits = int(operator.attributes.get("weight_bits", 8))  # type: ignore[arg-type]
        form = f"{form.removeprefix('int')}x{4 if bits <= 4 else 8}"
    rows = [cost for cost in costs if cost.kind == kind and cost.kernel.endswith(f"_{form}")]
    return span(rows) if rows else ""


def with_kernels(
    rows: Sequence[Mapping[str, Any]],
    board: str,
    measure: bool,
    complete: bool,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """What ``tinydsn ops --board`` prints: the operators with their kernels on a board and measured costs."""
    chosen = load_board(board)
    costs = kernel_costs(chosen, True, progress) if measure else cached_costs(chosen)
    words = kinds_costs(costs or ())
    table = [
        {**row, "kernel": kernel_names(row["kind"], chosen), "cost": words.get(row["kind"])} for row in rows
    ]
    if costs:
        note = f"executed instructions on {chosen.core}, one call, from the cases of `tinydsn bench`"
    elif chosen.qemu is None:
        note = f"{chosen.name}: QEMU does not have this board, so its kernels cannot be measured"
    else:
        note = f"not measured with these sources and this compiler: tinydsn ops --board {board} --measure"
    made = {"operators": table, "board": chosen.name, "core": chosen.core, "costs": note}
    measured = [{**asdict(cost), "each": cost.each} for cost in costs or ()]
    return made | ({"measurements": measured} if complete else {})
