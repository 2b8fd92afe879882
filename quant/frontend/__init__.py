"""The fixed-point audio front end: PCM to features, mask to PCM, without a float operation."""

from __future__ import annotations

from quant.frontend.config import FrontEnd
from quant.frontend.reference import FrontEndReference

__all__ = ["FrontEnd", "FrontEndReference"]
