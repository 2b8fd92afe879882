"""Results of the bench, and what ``--json`` prints of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class KernelRow:
    """Executed instructions of one call: ``ours`` and ``cmsis_nn`` (None where it has no such kernel)."""

    kernel: str
    shape: str
    core: str
    macs: int
    ours: int
    cmsis_nn: int | None

    @property
    def ratio(self) -> float | None:
        """Ours over CMSIS-NN's."""
        return round(self.ours / self.cmsis_nn, 4) if self.cmsis_nn else None


@dataclass(frozen=True)
class ModelRow:
    """Mean executed instructions a frame of a shipped model, all gates on.

    skipped_region: the most instructions that a region costs when it is skipped. non_mac_share: share (0..1)
    of ``ours`` outside kernels that multiply and accumulate.
    """

    model: str
    core: str
    ours: int
    cmsis_nn: int
    skipped_region: int
    non_mac_share: float


def as_json(kernels: Sequence[KernelRow], models: Sequence[ModelRow] = ()) -> list[dict[str, Any]]:
    """One list: rows of kernels, then rows of models."""
    return [*({**asdict(row), "ratio": row.ratio} for row in kernels), *map(asdict, models)]


def table_rows(rows: Sequence[KernelRow]) -> list[dict[str, Any]]:
    """Rows as a person reads them: instructions a multiply-accumulate (or an element) beside the totals."""
    return [
        {
            "kernel": row.kernel,
            "shape": row.shape,
            "core": row.core,
            "MACs": row.macs,
            "ours": row.ours,
            "CMSIS-NN": row.cmsis_nn,
            "ours/MAC": row.ours / row.macs,
            "CMSIS-NN/MAC": row.cmsis_nn / row.macs if row.cmsis_nn else None,
            "ratio": row.ratio,
        }
        for row in rows
    ]
