"""Runs ``.tflite`` models in tflite-runtime's reference kernels: a program for a Python of its own.

``python tflite_runtime_worker.py FOLDER``: for each ``NAME.tflite`` reads its inputs ``NAME.in0.npy`` ... and
writes ``NAME.out.npy``. It imports nothing of this project, whose packages that Python does not have.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tflite_runtime.interpreter import Interpreter, OpResolverType


def run(path: Path) -> None:
    """One model."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    for index, details in enumerate(interpreter.get_input_details()):
        values = np.load(path.with_suffix(f".in{index}.npy"))
        interpreter.set_tensor(details["index"], values.reshape(details["shape"]))
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    np.save(path.with_suffix(".out.npy"), interpreter.get_tensor(output["index"]))


if __name__ == "__main__":
    for model in sorted(Path(sys.argv[1]).glob("*.tflite")):
        run(model)
