"""What tflite-micro's arena holds for a ``.tflite`` file.

tflite-micro writes its figures to standard error, so the file is loaded in a process of its own:
``python -m tinydsn.bench.tflite_arena FILE``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.errors import ToolchainError

LARGE_ARENA = 1 << 24
LINE = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
PART = re.compile(r"'([^']+)' used (\d+) bytes")


@dataclass(frozen=True)
class Arena:
    """Bytes that tflite-micro's recording allocator reports after a call, on this 64-bit machine.

    tensors: the head, memory that tensors and scratch buffers share over time. bookkeeping: the tail, what
    the interpreter keeps about tensors, operators and quantization; its pointers have 8 bytes here and 4 on
    a Cortex-M, so it is an upper bound. parts: of the tail, by tflite-micro's own names.
    """

    total: int
    tensors: int
    bookkeeping: int
    parts: dict[str, int]


def measure_arena(content: bytes) -> Arena:
    """The arena of a ``.tflite`` file after one call. Raises ToolchainError when tflite-micro refuses it."""
    with tempfile.TemporaryDirectory(prefix="tinydsn-tflite-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        command = [sys.executable, "-m", "tinydsn.bench.tflite_arena", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {name: int(count) for name, count in LINE.findall(done.stderr)}
    if done.returncode != 0 or len(found) != 3:
        said = (done.stderr.strip().splitlines() or ["nothing printed"])[-1]
        raise ToolchainError(f"tflite-micro did not report its arena: {said}")
    parts = {name: int(count) for name, count in PART.findall(done.stderr)}
    return Arena(found["total"], found["head"], found["tail"], parts)


def _report(path: Path) -> None:
    """Call the model once with zeros, and let tflite-micro print what its arena holds."""
    from quant.tflite.runtime import Session, input_details

    content = path.read_bytes()
    session = Session(content, str(path), LARGE_ARENA)
    session.run([np.zeros(shape, dtype) for shape, dtype in input_details(content)], 0)
    session.print_allocations()


if __name__ == "__main__":
    _report(Path(sys.argv[1]))
