"""Which kind of work an operator or a function does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from quant import ops
from quant.graph import Graph, Operator
from tinydsn.profiling.data import MAC_KERNELS

STAGES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("analysis", "tinydsn_frontend_first_pass"): "window, first FFT pass",
        ("analysis", "tinydsn_fft_forward"): "FFT forward",
        ("analysis", "tinydsn_frontend_split"): "FFT forward, real lines",
        ("analysis", "tinydsn_frontend_compress"): "magnitude and compression",
        ("analysis", "tinydsn_frontend_analysis"): "analysis: calls",
        ("analysis", "memcpy"): "analysis: history",
        ("analysis", "memmove"): "analysis: history",
        ("synthesis", "tinydsn_frontend_join"): "mask, inverse FFT, real lines",
        ("synthesis", "tinydsn_fft_inverse"): "inverse FFT",
        ("synthesis", "tinydsn_frontend_overlap_add"): "window, overlap-add",
        ("synthesis", "tinydsn_frontend_synthesis"): "synthesis: calls",
    }
)
"""(half of the front end, function without the compiler's suffixes) -> step of the front end."""

COPIES = frozenset({"memcpy", "memmove", "memset", "fill_s8", "fill_s16"})
"""Functions that the runtime calls to copy states and to fill outputs of skipped regions."""

CELL_UPDATE = "tinydsn_gru_update"
"""How the functions of a whole GRU cell start that do not multiply matrices."""

MAC_KINDS = frozenset({"fully_connected", "conv2d", "depthwise_conv2d", "batch_matmul"})
MOST_PRODUCTS = 2
"""Products an element that norms, products and updates need; kernels above it multiply and accumulate."""

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("sigmoid", "tanh", "table", "softmax"), "tables"),
        **dict.fromkeys(("layer_norm",), "norms"),
        **dict.fromkeys(("gru_update",), "GRU updates"),
        **dict.fromkeys(("transpose", "concat", "slice", "pad", "reshape"), "copies"),
    }
)
OTHER_OPERATORS = "element by element"


def gate_names(graph: Graph) -> list[str]:
    """A short name for each gate: the first part of its region's name that no other gate has."""
    regions = {branch.gate: branch.name for branch in reversed(graph.branches)}
    names = [regions[gate] for gate in sorted(regions)]
    short = [name.split(".")[0] for name in names]
    return short if len(set(short)) == len(short) else names


def operator_group(operator: Operator, graph: Graph) -> str:
    """What kind of work an operator is."""
    macs = ops.definition(operator.kind).macs(operator, graph.tensors)
    written = sum(graph.tensors[name].size for name in operator.outputs)
    if operator.kind in MAC_KINDS or macs > MOST_PRODUCTS * written:
        return MAC_KERNELS
    return GROUPS.get(operator.kind, OTHER_OPERATORS)


def stage(half: str, function: str) -> str | None:
    """The step of the front end to which a function belongs; None for a function that has none."""
    return STAGES.get((half, function.split(".")[0]))
