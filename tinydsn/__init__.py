"""tinydsn: gated speech networks in PyTorch become integer C firmware, proven bit for bit in an emulator.

``lower`` and ``quantize`` are the way from a module to an integer graph; the command line
(``tinydsn --help``) does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

    from quant.graph import Graph, IntegerGraph

__all__ = ["__version__", "lower", "quantize"]

__version__ = "0.1.0"


def lower(module: torch.nn.Module, example: torch.Tensor, name: str = "model") -> Graph:
    """Lower a streaming module to a float graph.

    ``module`` takes one frame, shaped like ``example``, and keeps its state in registered buffers.
    Raises UnsupportedOperator, naming the operator, the line that made it, and the nearest supported form.
    """
    from tinydsn.lowering import lower as lower_module

    return lower_module(module, example, name=name)


def quantize(graph: Graph, clips: Sequence[np.ndarray], precision: str = "w8a16") -> IntegerGraph:
    """Calibrate a float graph on int16 ``clips`` and convert it to integers.

    ``precision`` is "w8a8", "w8a16", or the path of a TOML file that gives bits to names. Raises
    QuantizationError when a range is unknown or an accumulator could overflow.
    """
    from quant.convert import quantize as convert

    return convert(graph, clips, precision)
