"""Rows about operators and memory, for reports: what an operator is, and what it cost in the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quant import bits, ops
from quant.graph import Branch, Graph, Operator
from tinydsn.profiling.memory import plan_rows
from tinydsn.profiling.stages import gate_names
from tinydsn.report import OperatorRow, StateRow

__all__ = ["gate_names", "instructions_by_operator", "operator_rows", "plan_rows", "state_rows"]

Counts = Mapping[str, np.ndarray]
"""Operator (or ``runtime``) -> instructions [frames]."""

RUNTIME = "runtime"
BITS: Mapping[str, int] = {"int8": 8, "int16": 16, bits.DTYPE: 1}
"""Bits of an element of a result or a state."""


def instructions_by_operator(
    functions: Mapping[str, str], names: tuple[str, ...], counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Operator -> instructions [frames]; ``functions`` is operator -> C function, ``names`` the columns.

    The key ``runtime`` is what belongs to no operator: branches, copies, and the front end.
    """
    columns = {name: counts[:, index] for index, name in enumerate(names)}
    found = {operator: columns[function] for operator, function in functions.items() if function in columns}
    claimed = set(functions.values())
    rest = [column for name, column in columns.items() if name not in claimed]
    found[RUNTIME] = np.sum(rest, axis=0) if rest else np.zeros(len(counts), counts.dtype)
    return found


def operator_rows(
    graph: Graph, counts: Counts | None, patterns: Mapping[str, Counts] | None = None
) -> list[OperatorRow]:
    """One row an operator, and one for the rest; ``counts`` from ``instructions_by_operator``.

    ``patterns``: the same for each gate pattern that was counted.
    """
    regions, names = graph.region_of(), gate_names(graph)
    total = float(sum(np.sum(column) for column in counts.values())) if counts else 0.0
    rows = [
        _row(graph, operator, regions[operator.name], names, counts, total) for operator in graph.operators()
    ]
    if counts:
        rest = counts[RUNTIME]
        share = float(np.sum(rest)) / total if total else None
        rows.append(
            OperatorRow("runtime and front end", RUNTIME, "", "", 0, float(np.mean(rest)), share, None, None)
        )
    keys = [*(operator.name for operator in graph.operators()), RUNTIME]
    return [replace(row, patterns=_means(key, patterns or {})) for row, key in zip(rows, keys, strict=False)]


def state_rows(graph: Graph) -> list[StateRow]:
    """The states of an integer graph, the largest first."""
    tensors = [graph.tensors[state.tensor] for state in graph.states]
    rows = [StateRow(tensor.name, BITS[tensor.dtype], tensor.nbytes) for tensor in tensors]
    return sorted(rows, key=lambda row: (-row.bytes, row.name))


def _means(key: str, patterns: Mapping[str, Counts]) -> dict[str, float]:
    """Mean instructions a frame of an operator by gate pattern, over all frames."""
    return {name: float(np.mean(counts[key])) for name, counts in patterns.items() if key in counts}


def _row(
    graph: Graph,
    operator: Operator,
    region: Branch | None,
    names: list[str],
    counts: Counts | None,
    total: float,
) -> OperatorRow:
    column = counts.get(operator.name) if counts else None
    ran = column[column > 0] if column is not None else np.zeros(0)
    output = graph.tensors[operator.outputs[0]]
    width = operator.attributes.get("weight_bits")
    return OperatorRow(
        name=operator.name,
        kind=operator.kind,
        region=names[region.gate] if region else "",
        shape="x".join(map(str, output.shape)) or "1",
        macs=ops.definition(operator.kind).macs(operator, graph.tensors),
        instructions=float(np.mean(ran)) if len(ran) else None,
        share=float(np.sum(ran)) / total if total and column is not None else None,
        weight_bits=int(width) if isinstance(width, int) else None,
        activation_bits=BITS.get(output.dtype),
        source=operator.source,
        weights=graph.tensors[operator.inputs[1]].size if isinstance(width, int) else 0,
    )
