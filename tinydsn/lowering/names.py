"""Names and source lines: what a user recognises of the model in the graph."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH = str(Path(torch.__file__).parent)


class Names:
    """Gives every name once: a name that is taken gets ``_1``, ``_2``, ... at its end."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, wanted: str) -> str:
        """``wanted``, or ``wanted`` with the first free number."""
        name, number = wanted, 0
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def join(*parts: str) -> str:
    """Module path from its parts; empty ones are left out."""
    return ".".join(part for part in parts if part)


def source_line(stack_trace: str | None) -> str:
    """``file.py:12`` of the innermost frame that is the user's own (not torch's, not generated code)."""
    for path, line in reversed(_FRAME.findall(stack_trace or "")):
        if not path.startswith((_TORCH, "<")):
            return f"{Path(path).name}:{line}"
    return ""


def module_path(node: torch.fx.Node) -> str:
    """Path of the module in whose forward a node was made; "" for the outermost, or when it is not known."""
    stack = node.meta.get("nn_module_stack") or {}
    path = list(stack.values())[-1][0] if stack else ""
    return str(path).split(".parametrizations.")[0]


def owner(parameter: str) -> str:
    """Module path that a parameter's name suggests: ``gru.weight_ih`` -> ``gru``, ``scale`` -> ``scale``."""
    path, _, leaf = parameter.rpartition(".")
    if leaf in ("in_proj_weight", "in_proj_bias"):
        return join(path, "in_proj")
    return path if path and leaf.startswith(("weight", "bias")) else parameter


def common_path(parameters: Iterable[str]) -> str:
    """Longest module path that all parameters share: ``a.b.w``, ``a.b.c.w`` -> ``a.b``."""
    paths = [name.split(".")[:-1] for name in parameters]
    if not paths:
        return ""
    shared = []
    for column in zip(*paths, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ".".join(shared)


def parametrized(node: torch.fx.Node) -> str:
    """Name of the parameter that torch's parametrization computes, such as a normed ``conv.weight``."""
    stack = node.meta.get("nn_module_stack") or {}
    for path, _ in reversed(list(stack.values())):
        base, found, leaf = str(path).partition(".parametrizations.")
        if found:
            return join(base, leaf.split(".")[0])
    return ""
