"""Where a difference begins: the first operator of a frame whose output is not the reference's."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from quant.gates import GatePattern
from quant.graph import Operator
from quant.reference import Pipeline, hop_of, split_hops
from tinydsn.workflow.firmware import Firmware, trace_firmware
from tinydsn.workflow.models import Model


def reference_outputs(
    model: Model, pcm: np.ndarray, pattern: GatePattern, frame: int
) -> dict[str, np.ndarray]:
    """Operator -> its first output in ``frame``, for the operators that ran in it."""
    graph = model.graph
    outputs: dict[str, np.ndarray] = {}

    def observe(operator: Operator | None, name: str, value: np.ndarray) -> None:
        if operator is not None and name == operator.outputs[0]:
            outputs[operator.name] = value

    pipeline = Pipeline(graph, observe)
    hops = split_hops(pcm, hop_of(graph))
    forced = pattern.forced(len(hops), graph.gates)
    for index in range(frame + 1):
        outputs.clear()
        pipeline.process(hops[index], None if forced is None else forced[index])
    return outputs


def first_operator(
    firmware: Firmware, pcm: np.ndarray, pattern: GatePattern, frame: int, reference: Model | None = None
) -> str | None:
    """Name of the first operator that differs in ``frame``, ``"front end"`` when all operators are equal,
    or None when nothing was traced.

    Builds the firmware once more, with tracing. ``reference`` stands in for the firmware's own model.
    """
    end = (frame + 1) * hop_of(firmware.model.graph)
    expected = reference_outputs(reference or firmware.model, pcm[:end], pattern, frame)
    with tempfile.TemporaryDirectory() as folder:
        records = trace_firmware(firmware, Path(folder) / "project", pcm[:end], pattern, frame)
    return first_difference(firmware.model, expected, records)


def first_difference(
    model: Model, expected: dict[str, np.ndarray], records: tuple[tuple[int, bytes], ...]
) -> str | None:
    """Compare the bytes of each traced output, in the order of execution, with the reference's."""
    if not records:
        return None
    names = [operator.name for operator in model.graph.operators()]
    for index, data in records:
        value = expected.get(names[index])
        if value is None or np.ascontiguousarray(value).tobytes() != data:
            return names[index]
    return "front end"
