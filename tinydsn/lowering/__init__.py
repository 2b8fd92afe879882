"""From a PyTorch streaming module to a float graph: ``torch.export``, one handler an operator, passes."""

from __future__ import annotations

from tinydsn.lowering.lower import lower
from tinydsn.lowering.target import load_target

__all__ = ["load_target", "lower"]
