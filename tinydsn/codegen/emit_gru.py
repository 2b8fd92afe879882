"""A whole GRU cell as one operator: both matrix products, gates and state (``tinydsn_gru_s16``).

The stored graph has three operators, whose integer meaning stays: both products are requantized to int16 on
their own before ``gru_update`` sums them. The generator joins them (`join_cells`): ``gru_update`` becomes a
``gru_cell`` with inputs (x, weights, bias, h, weights, bias, state) and the products' attributes, each under
``x.`` or ``h.``; the two fully_connected become ``absorbed``, without inputs, outputs and code. A few rows
at a time go through the cell, so that the products need scratch for those only, and no tensor of the arena.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quant.graph import Attribute, Branch, IntegerGraph, Operator, node_reads
from tinydsn.codegen.call import Call, CodeTarget, Request
from tinydsn.codegen.emit_linear import matrix_of, row_stride
from tinydsn.codegen.layouts import whole_columns
from tinydsn.codegen.linear import narrow_is_proven, stored_bits, window_of
from tinydsn.codegen.text import Array

CELL, ABSORBED = "gru_cell", "absorbed"
SIDES = ("x", "h")
"""Products of a cell: of its input and of its state, which are inputs 0 and 3 of a ``gru_cell``."""
TOGETHER = 8
"""Rows that go through a cell at a time (``TINYDSN_GRU_ROWS``)."""


def join_cells(graph: IntegerGraph, target: CodeTarget) -> IntegerGraph:
    """The graph with every ``gru_update`` that can be joined with its products as a ``gru_cell``."""
    if target.kernels == "cmsis-nn" or not target.cells:
        return graph
    changed: dict[str, Operator] = {}
    for operator in graph.operators():
        if operator.kind == "gru_update":
            products = _products(operator, graph, target)
            if products:
                changed[operator.name] = _cell(operator, products)
                changed |= {made.name: _absorbed(made, operator) for made in products}
    nodes = [
        replace(node, body=tuple(changed.get(made.name, made) for made in node.body))
        if isinstance(node, Branch)
        else changed.get(node.name, node)
        for node in graph.nodes
    ]
    joined = graph.replace(nodes=tuple(nodes))
    assert isinstance(joined, IntegerGraph)
    return joined


def gru_cell(request: Request) -> Call:
    """``tinydsn_gru_s16``."""
    hidden = request.output.shape[-1]
    rows = request.output.size // hidden
    together = min(rows, TOGETHER)
    values: dict[str, object] = {
        "rows": rows,
        "multiplier": int(request.operator.attributes.get("multiplier", 3)),  # type: ignore[arg-type]
    }
    arrays: list[Array] = []
    packed = 0  # elements of a packed row
    for side in SIDES:
        product = replace(
            request, operator=product_of(request.operator, side), prefix=f"{request.prefix}_{side}"
        )
        columns = product.input().shape[-1]
        matrix, made = matrix_of(product, columns)
        values[f"{side}_side"] = {**matrix, "stride": row_stride(product)}
        arrays += made
        packed = max(packed, whole_columns(columns, 8, request.target))
    copied = min(rows, 4) * packed if request.target.interleaved else 0
    scratch = 2 * (2 * 3 * hidden * together + copied)
    return Call(
        CELL,
        values,
        tuple(arrays),
        (
            "tinydsn_gru_s16",
            "tinydsn_fully_connected_s16",
            "tinydsn_gru_update_s16",
            "tinydsn_activation_table",
            "tinydsn_clamp",
        ),
        scratch=scratch,
        packed=(1, 2, 4, 5),
    )


def product_of(cell: Operator, side: str) -> Operator:
    """The fully_connected of one side of a ``gru_cell`` as it was."""
    start, mark = 3 * SIDES.index(side), f"{side}."
    own = {name.removeprefix(mark): value for name, value in cell.attributes.items() if name.startswith(mark)}
    inputs = cell.inputs[start : start + (3 if cell.inputs[start + 2] else 2)]
    return Operator(
        str(own.pop("name")), "fully_connected", inputs, (str(own.pop("output")),), own, cell.source
    )


def _products(update: Operator, graph: IntegerGraph, target: CodeTarget) -> tuple[Operator, ...]:
    """The fully_connected operators of both operands; empty where they cannot be joined."""
    found = tuple(_product(name, update, graph, target) for name in update.inputs[:2])
    return found if all(found) and update.inputs[0] != update.inputs[1] else ()  # type: ignore[return-value]


def _product(name: str, update: Operator, graph: IntegerGraph, target: CodeTarget) -> Operator | None:
    """What writes an operand, where nothing else reads it, and our kernel computes it without a clamp.

    It may run outside of the region of the update, but not in another region.
    """
    writers = [operator for operator in graph.operators() if name in operator.outputs]
    readers = [operator for operator in graph.operators() if name in node_reads(operator)]
    kept = {*graph.outputs, *(state.next for state in graph.states)}
    kept |= {joined for b in graph.branches for o in b.outputs for joined in (o.taken, o.held)}
    if len(writers) != 1 or readers != [update] or name in kept or writers[0].kind != "fully_connected":
        return None
    regions = graph.region_of()
    if regions[writers[0].name] not in (None, regions[update.name]):
        return None
    request = Request(writers[0], graph, target, "")
    low, high = request.integer("activation_min"), request.integer("activation_max")
    whole = (low, high) == (-(2**15), 2**15 - 1) and "result_of" not in writers[0].attributes
    wide = request.input().dtype == request.output.dtype == "int16" and stored_bits(request) == 8
    same = window_of(request).out[1] == request.output.size // request.output.shape[-1]
    return writers[0] if whole and wide and same and narrow_is_proven(request) else None


def _cell(update: Operator, products: tuple[Operator, ...]) -> Operator:
    inputs: list[str] = []
    attributes: dict[str, Attribute] = dict(update.attributes)
    for side, product in zip(SIDES, products, strict=True):
        inputs += (*product.inputs, "")[:3]
        own: Mapping[str, Attribute] = {
            **product.attributes,
            "name": product.name,
            "output": product.outputs[0],
        }
        attributes |= {f"{side}.{name}": value for name, value in own.items()}
    return replace(update, kind=CELL, inputs=(*inputs, update.inputs[2]), attributes=attributes)


def _absorbed(product: Operator, update: Operator) -> Operator:
    return replace(product, kind=ABSORBED, inputs=(), outputs=(), attributes={"into": update.name})
