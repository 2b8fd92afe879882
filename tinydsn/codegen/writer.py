"""The generated sources as text; no disk is touched here, and the same design gives the same bytes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant.errors import ConfigError
from quant.graph import ITEM_BYTES, Branch, Operator
from quant.reference import by_frame, channels_of, hop_of, real_zero
from tinydsn.codegen.design import (
    FRONTEND_SECOND_STATE,
    FRONTEND_STATE,
    SPECTRUM,
    SPECTRUM_COPY,
    Design,
    describe,
)
from tinydsn.codegen.planner import state_copies
from tinydsn.codegen.templates import render
from tinydsn.codegen.text import C_TYPES, Array, comment_safe, wrap

TEMPLATES = (
    "tinydsn.c",
    "tinydsn_internal.h",
    "tinydsn_operators.c",
    "tinydsn_weights.c",
    "tinydsn_weights.h",
)
LAID_OUT = ("tinydsn_fully_connected", "tinydsn_depthwise", "tinydsn_binary_conv2d")
"""Kernels whose constants lie in an order of the core's (`tinydsn.codegen.layouts`)."""
RAW_SAMPLE_RATE = 16000
"""Stated in the header for models without a front end, which do not know their rate."""


@dataclass(frozen=True)
class SelfTest:
    """A recording for ``tinydsn_selftest``: int16 ``pcm`` and the ``expected`` output, whole frames each, of
    several channels ``[channels, samples]``."""

    pcm: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True)
class Memory:
    """Figures of an earlier build for the header: bytes of flash, RAM and stack."""

    flash: int
    ram: int
    stack: int


@dataclass(frozen=True)
class Labels:
    """What the text says about its origin; ``lines`` are further comment lines of the header."""

    board: str
    model_sha256: str
    selftest: SelfTest | None = None
    memory: Memory | None = None
    lines: tuple[str, ...] = ()


def common_values(made: Design, labels: Labels) -> dict[str, Any]:
    """Names and sizes that all templates may use."""
    graph = made.graph
    return {
        "name": comment_safe(graph.name),
        "sha256": labels.model_sha256,
        "board": comment_safe(labels.board),
        "frontend": graph.frontend,
        "hop": hop_of(graph),
        "channels": channels_of(graph),
        "outputs": graph.tensors[graph.outputs[0]].size,
        "sample_rate": graph.frontend.sample_rate if graph.frontend else RAW_SAMPLE_RATE,
        "gates": graph.gates,
        "weight_bytes": made.weight_bytes,
        "context_bytes": made.context_bytes,
        "alignment": made.target.alignment,
        "state_bytes": made.plan.state_bytes,
        "arena_bytes": made.plan.arena_bytes,
        "memory": labels.memory,
        "settings": [comment_safe(line) for line in labels.lines],
        "selftest": _selftest(made, labels.selftest) if labels.selftest else None,
    }


def sources(made: Design, labels: Labels) -> dict[str, str]:
    """Text of every source file made from templates, by path in the project."""
    graph = made.graph
    bodies = operators(made)
    values = common_values(made, labels) | {
        "operator_count": len(bodies),
        "state_array": made.state_array,
        "arena_array": made.arena_array,
        "operators": bodies,
        "uses_cmsis": any("arm_" in operator["body"] for operator in bodies),
        "tensors": tensor_map(made),
        "scratches": scratch_map(made),
        "frame": frame(made),
        "resets": resets(made),
        "arrays": list(made.arrays.values()),
        "interleaved": int(made.target.interleaved),
        "mve": int(made.target.mve),
        "layout_matters": any(kernel.startswith(LAID_OUT) for kernel in made.kernels),
    }
    text = "\n".join((*values["frame"], *values["resets"]))
    values["fills"] = [suffix for suffix in ("s8", "s16") if f"fill_{suffix}(" in text]
    if graph.frontend:
        from quant.frontend.tables import front_end_memory

        values["frontend_bytes"] = front_end_memory(graph.frontend).state
        values["frontend_offset"] = made.plan.states[FRONTEND_STATE]
        values["spectrum_offset"] = made.plan.extras[SPECTRUM]
        values["second_offset"] = made.plan.states.get(FRONTEND_SECOND_STATE)
        values["spectrum_copy_offset"] = made.plan.extras.get(SPECTRUM_COPY)
    files = {f"src/{name}": render(f"{name}.j2", values) for name in TEMPLATES}
    files["include/tinydsn.h"] = render("tinydsn.h.j2", values)
    if labels.selftest:
        files["src/tinydsn_selftest.c"] = render("tinydsn_selftest.c.j2", values)
    if graph.frontend:
        from quant.frontend.tables import c_tables

        tables = c_tables(graph.frontend)
        for name in ("tinydsn_frontend_tables.c", "tinydsn_frontend_tables.h"):
            files[f"src/{name}"] = render(f"{name}.j2", tables)
    return files


def operators(made: Design) -> list[dict[str, Any]]:
    """Function, comments, body and output of each operator that has something to do."""
    rows = []
    places = {operator.name: index for index, operator in enumerate(made.graph.operators())}
    for operator in made.graph.operators():
        text = body(made, operator)
        if text:
            row = {
                "index": places[str(operator.attributes.get("result_of", operator.name))],
                "function": made.functions[operator.name],
                "title": comment_safe(f"{operator.name}: {operator.kind}"),
                "comment": _comment(made, operator),
                "body": text,
                "output": made.pointer(operator.outputs[0]),
                "bytes": made.graph.tensors[operator.outputs[0]].nbytes,
            }
            rows.append(row)
    return rows


def kernel_summary(made: Design) -> str:
    """The functions that operators call and how often, such as ``tinydsn_mul_s16 3, arm_softmax_s8 1``."""
    bodies = "\n".join(body(made, operator) for operator in made.graph.operators())
    counts = Counter(re.findall(r"^ {4,}((?:tinydsn|arm)_\w+)\(", bodies, re.MULTILINE))
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def body(made: Design, operator: Operator) -> str:
    """Statements of an operator's function; empty when nothing is left to do."""
    call = made.calls.get(operator.name)
    if call is None:
        return ""
    output = made.graph.tensors[operator.outputs[0]]
    values = {
        **call.values,
        "x": [made.pointer(name) if name else "" for name in operator.inputs],
        "y": [made.pointer(name) for name in operator.outputs],
        "size": output.size,
        "suffix": f"s{8 * ITEM_BYTES[output.dtype]}",
        "scratch": f"{made.scratch(operator)}(ctx)" if call.scratch else "",
        "scratch_bytes": call.scratch,
    }
    if operator.kind == "concat" and "runs" in call.values:
        values["runs"] = [run for run in call.values["runs"] if not _lies_at(made, operator, *run)]  # type: ignore[attr-defined]
    text = render(f"{call.template}.c.j2", values)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def frame(made: Design) -> list[str]:
    """Lines of tinydsn_process()."""
    graph = made.graph
    source, result = made.pointer(graph.inputs[0]), made.pointer(graph.outputs[0])
    first = f"memcpy({source}, in, TINYDSN_HOP * sizeof *in);"
    last = [f"memcpy(out, {result}, TINYDSN_HOP * sizeof *out);"]
    if graph.frontend:
        first = f"tinydsn_frontend_analysis(frontend_state(ctx), in, {source}, frontend_spectrum(ctx));"
        last = [f"tinydsn_frontend_synthesis(frontend_state(ctx), {result}, out, frontend_spectrum(ctx));"]
    if graph.frontend and graph.frontend.channels > 1:
        second = f"{result} + TINYDSN_FRONTEND_BINS, out + TINYDSN_HOP"
        last = [
            "memcpy(frontend_spectrum_copy(ctx), frontend_spectrum(ctx), "
            "TINYDSN_FRONTEND_WINDOW * sizeof(int32_t));",
            *last,
            f"tinydsn_frontend_synthesis(frontend_second_state(ctx), {second}, frontend_spectrum_copy(ctx));",
        ]
    if graph.frontend and not graph.frontend.masks:
        last = [
            f"memcpy(out, {result}, TINYDSN_OUTPUTS * sizeof *out);",
            "memset(out + TINYDSN_OUTPUTS, 0, (TINYDSN_HOP - TINYDSN_OUTPUTS) * sizeof *out);",
        ]
    lines = [f"    {first}"]
    for node in graph.nodes:
        lines += _branch(made, node) if isinstance(node, Branch) else _call(made, node, "    ")
    lines += [f"    {line}" for line in last]
    return lines + [f"    {_copy(made, state, new)}" for state, new in state_copies(graph, made.plan)]


def resets(made: Design) -> list[str]:
    """Statements that give states a first value other than integer zero."""
    lines = []
    for state in made.graph.states:
        tensor = made.graph.tensors[state.tensor]
        if state.tensor in made.graph.constants:
            constant = f"tinydsn_constant_{made.tensor_names[state.tensor]}"
            lines.append(f"memcpy({made.pointer(state.tensor)}, {constant}, {tensor.nbytes});")
        elif tensor.quantization and tensor.quantization.zero_point:
            lines.append(_zero(made, state.tensor))
    return lines


def tensor_map(made: Design) -> list[dict[str, Any]]:
    """Macros of all tensors that live in the context."""
    rows = []
    for name, place in made.plan.places.items():
        tensor = made.graph.tensors[name]
        if place.area != "constant":
            row = {
                "macro": f"tensor_{made.tensor_names[name]}",
                "ctype": "uint8_t" if tensor.dtype == "bool" else C_TYPES[tensor.dtype],
                "area": "arena" if place.area == "arena" else "states",
            }
            rows.append({**row, "offset": place.offset, "comment": describe(tensor)})
    return rows


def scratch_map(made: Design) -> list[dict[str, Any]]:
    """Macros of the kernels' scratch memory."""
    return [
        {
            "macro": made.scratch(operator),
            "bytes": made.calls[operator.name].scratch,
            "offset": made.plan.extras[f"scratch {operator.name}"],
        }
        for operator in made.graph.operators()
        if operator.name in made.calls and made.calls[operator.name].scratch
    ]


def _comment(made: Design, operator: Operator) -> list[str]:
    tensors = made.graph.tensors
    lines = [f"in   {describe(tensors[name])}" for name in operator.inputs if name]
    lines += [f"out  {describe(tensors[name])}" for name in operator.outputs]
    return [*lines, f"from {comment_safe(operator.source)}"] if operator.source else lines


def _lies_at(made: Design, operator: Operator, index: int, start: int, _bytes: int) -> bool:
    """Whether an input already stands at element ``start`` of the output."""
    first, second = (made.plan.places[name] for name in (operator.inputs[index], operator.outputs[0]))
    item = np.dtype(made.graph.tensors[operator.outputs[0]].dtype).itemsize
    return first.area == second.area != "constant" and first.offset == second.offset + start * item


def _call(made: Design, operator: Operator, indent: str) -> list[str]:
    if operator.kind == "gate":
        index, threshold = operator.attributes["index"], operator.attributes["threshold"]
        decision = f"{made.pointer(operator.inputs[0])}[{index}] + ctx->bias > {threshold}"
        return [f"{indent}*{made.pointer(operator.outputs[0])} = {decision};"]
    return [f"{indent}{made.functions[operator.name]}(ctx);"] if body(made, operator) else []


def _branch(made: Design, branch: Branch) -> list[str]:
    taken, skipped = [], []
    for operator in branch.body:
        taken += _call(made, operator, "        ")
    for output in branch.outputs:
        if not made.plan.same_place(output.taken, output.tensor):
            taken.append(f"        {_copy(made, output.tensor, output.taken)}")
        if output.skip == "zero":
            skipped.append(f"        {_zero(made, output.tensor)}")
        elif not made.plan.same_place(output.held, output.tensor):
            skipped.append(f"        {_copy(made, output.tensor, output.held)}")
    head = [f"    /* {comment_safe(branch.name)} */"]
    parts = [
        f"{'' if item.opened else '!'}take(ctx, {item.gate}, *{made.pointer(item.predicate)})"
        for item in branch.conditions
    ]
    head.append(f"    if ({' && '.join(parts)}) {{")
    return [*head, *taken, *(["    } else {", *skipped] if skipped else []), "    }"]


def _copy(made: Design, target: str, source: str) -> str:
    size = made.graph.tensors[target].nbytes
    return f"memmove({made.pointer(target)}, {made.pointer(source)}, {size});"


def _zero(made: Design, name: str) -> str:
    tensor = made.graph.tensors[name]
    value = int(real_zero(made.graph, name).flat[0])
    if value == 0:
        return f"memset({made.pointer(name)}, 0, {tensor.nbytes});"
    suffix = "s16" if tensor.dtype == "int16" else "s8"
    return f"fill_{suffix}({made.pointer(name)}, {tensor.size}, {value});"


def _selftest(made: Design, recorded: SelfTest) -> dict[str, Any]:
    hop = hop_of(made.graph)
    pcm, expected = recorded.pcm.astype(np.int16), recorded.expected.astype(np.int16)
    if len(pcm) == 0 or len(pcm) % hop or len(pcm) != expected.shape[-1]:
        raise ConfigError(
            f"self-test of {len(pcm)} samples in and {expected.shape[-1]} out "
            f"(must be as many, whole frames of {hop})"
        )
    rows = by_frame(expected, hop)
    hashes = [f"UINT32_C({fnv1a(row.astype('<i2').tobytes())})" for row in rows]
    array = Array("input", pcm, "")
    return {"frames": len(hashes), "input": {"size": pcm.size, "rows": array.rows}, "hashes": wrap(hashes)}


def fnv1a(data: bytes) -> int:
    """32-bit FNV-1a hash."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 % 2**32
    return value
