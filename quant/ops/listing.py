"""The table of operators as data, for ``tinydsn ops`` and the documentation."""

from __future__ import annotations

from typing import Any

from quant.graph import Operator
from quant.ops import TABLE


def describe() -> list[dict[str, Any]]:
    """One row an operator: kind, summary, legal activation types, and the sentences of its constraints."""
    return [
        {
            "kind": kind,
            "summary": definition.summary,
            "activations": _types(kind),
            "constraints": [(check.__doc__ or "").strip() for check in definition.constraints],
        }
        for kind, definition in sorted(TABLE.items())
    ]


def _types(kind: str) -> list[str]:
    """Activation types that the operator's slots leave open."""
    probe = Operator("probe", kind, ("a", "b", "c")[: 3 if kind == "gru_update" else 2], ("y",))
    slots = TABLE[kind].slots(probe, "int8")
    demanded = {slot.dtype for slot in (*slots.inputs, *slots.outputs) if slot is not None}
    return ["int16"] if "int16" in demanded else ["int8", "int16"]
