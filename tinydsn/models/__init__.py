"""Speech networks, one file a system of the literature."""

from __future__ import annotations

from tinydsn.models.dsn import GATES, Dsn, DsnConfig, DsnOutput, DsnStep

__all__ = ["GATES", "Dsn", "DsnConfig", "DsnOutput", "DsnStep"]
