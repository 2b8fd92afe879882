"""Names of what an operator costs: equal names, equal code and sizes, so one measurement serves both.

A name holds the kernel, the shapes, the stored bits and the types, and which of a kernel's ways the generator
chose; not weights, scales or zero points. In front stands a hash of everything that decides the machine code:
the kernel's source and headers, the template of the call, compiler and flags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import lru_cache
from typing import Any

from quant.graph import INTEGER_RANGE, Operator
from tinydsn.codegen.board import Board
from tinydsn.codegen.build import COMPILE_FLAGS
from tinydsn.codegen.design import Design
from tinydsn.codegen.templates import template_root
from tinydsn.codegen.toolchain import find_compiler, versions
from tinydsn.codegen.writer import body

DATA = re.compile(
    r"(multiplier|shift|offset|epsilon|padding|scales|exp$|reciprocal|names|function$|_place$|factor\d?$|constant$)"
)
"""Values that are data of one network, or places: they do not change which instructions run."""
STRIDE = re.compile(r"(_row|_batch|stride)$")
"""Steps between rows: kernels only look at their alignment."""
WORD = 4
STEADY = frozenset({"relu", "leaky_relu", "table", "activation", "requantize", "add", "mul"})
"""Templates whose cost is a straight line in the number of elements."""


@dataclass(frozen=True)
class CostKey:
    """``form`` says everything but the number of elements where the cost is linear in it (then ``size``,
    else 0)."""

    form: str
    size: int = 0

    @property
    def text(self) -> str:
        """The name in the table's file."""
        return f"{self.form} size={self.size}" if self.size else self.form


def operator_keys(made: Design, board: Board) -> dict[str, CostKey]:
    """Operator -> key, of operators that execute instructions of their own."""
    compiler = find_compiler(board).banner
    found = {}
    for operator in made.graph.operators():
        call = made.calls.get(operator.name)
        if call is None:
            continue
        runs = -1
        if call.template == "concat":
            runs = body(made, operator).count("memcpy")
            if not runs:
                continue
        code = _code(call.template, call.kernels, compiler, board.flags)
        found[operator.name] = _key(made, operator, code, runs)
    return found


def _key(made: Design, operator: Operator, code: str, runs: int) -> CostKey:
    call, tensors = made.calls[operator.name], made.graph.tensors
    output = tensors[operator.outputs[0]]
    types = ",".join(tensors[name].dtype for name in operator.inputs if name)
    values = dict(call.values)
    if runs >= 0:
        values["runs"] = f"{runs} of {output.nbytes}"
    ends = INTEGER_RANGE.get(output.dtype, (0, 0))
    texts = [f"{name}={_limit(name, value, ends)}" for name, value in _flat(values)]
    size = output.size
    if values.get("b_size") == size:
        # one kernel serves any size where the second operand does not repeat
        texts = [text for text in texts if not text.startswith("b_size=")]
    linear = call.template in STEADY and "b_size" not in " ".join(texts)
    words = [code, call.template, str(values.get("function", "")), f"{types}>{output.dtype}", *texts]
    words += [] if linear or call.template in ("fully_connected", "conv2d") else [f"size={size}"]
    return CostKey(" ".join(word for word in words if word), size if linear else 0)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Values that decide what runs, as text, in the order of their names."""
    for name, value in sorted(values.items()):
        if DATA.search(name) or value is None:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif is_dataclass(value) and not isinstance(value, type):
            yield prefix + name, ";".join(f"{key}{_plain(item)}" for key, item in asdict(value).items())
        elif isinstance(value, list | tuple):
            yield prefix + name, ";".join(_plain(item) for item in value)
        elif STRIDE.search(name):
            yield prefix + name, f"{int(value) % WORD}mod{WORD}"
        else:
            yield prefix + name, _plain(value)


def _plain(value: object) -> str:
    return re.sub(r"[\s']", "", str(value))


def _limit(name: str, value: str, ends: tuple[int, int]) -> str:
    """A clamp's limit: whether it is the type's own."""
    last = name.rsplit(".", 1)[-1]
    if last == "low":
        return "whole" if value == str(ends[0]) else "cut"
    if last == "high":
        return "whole" if value == str(ends[1]) else "cut"
    return value


def front_end_key(made: Design, board: Board) -> str:
    """Name of the front end's two halves."""
    front = made.graph.frontend
    root = template_root() / "runtime"
    digest = hashlib.sha256(repr((find_compiler(board).banner, board.flags, COMPILE_FLAGS)).encode())
    for path in sorted(root.iterdir()):
        digest.update(path.read_bytes())
    return f"{digest.hexdigest()[:12]} front end {_plain(front.to_json() if front else None)}"


@lru_cache(maxsize=1024)
def _code(template: str, kernels: tuple[str, ...], compiler: str, flags: tuple[str, ...]) -> str:
    """12 hex digits over what becomes machine code."""
    root = template_root()
    digest = hashlib.sha256(repr((compiler, flags, COMPILE_FLAGS, versions()["cmsis_nn"])).encode())
    files = [*sorted((root / "kernels").glob("*.h")), *(root / "kernels" / f"{name}.c" for name in kernels)]
    files += [
        root / "ops" / f"{template}.c.j2",
        root / "ops" / "cmsis.j2",
        root / "runtime" / "tinydsn_port.h",
    ]
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
