"""Speech networks, one file a system of the literature."""

from __future__ import annotations

from tinydsn.models.dsn import GATES, Dsn, DsnConfig, DsnStep
from tinydsn.models.network import MaskNetwork, MaskOutput

__all__ = ["GATES", "Dsn", "DsnConfig", "DsnStep", "MaskNetwork", "MaskOutput"]
