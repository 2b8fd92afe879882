"""Measures kernels in the emulator: ours beside CMSIS-NN's, in executed instructions."""

from tinydsn.bench.case import Case, Side
from tinydsn.bench.measure import bench
from tinydsn.bench.rows import KernelRow, ModelRow, as_json

__all__ = ["Case", "KernelRow", "ModelRow", "Side", "as_json", "bench"]
