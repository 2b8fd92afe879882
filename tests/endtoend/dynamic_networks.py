"""What firmware tests of all dynamic networks share: a sound, and equality under gate patterns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.graph import IntegerGraph
from quant.reference import Pipeline
from tinydsn.workflow.firmware import build_firmware, run_firmware
from tinydsn.workflow.models import Model

HOP = 256


def noise(frames: int) -> np.ndarray:
    """int16 samples whose level goes up and down."""
    rng = np.random.default_rng(4)
    level = 0.002 + 0.3 * np.sin(np.linspace(0, 9, frames * HOP)) ** 4
    return np.clip(rng.normal(size=frames * HOP) * level * 32768, -32768, 32767).astype(np.int16)


def equal_means(
    graph: IntegerGraph, board: str, pcm: np.ndarray, patterns: Sequence[GatePattern], folder: Path
) -> dict[str, float] | None:
    """Asserts that firmware and reference agree in samples and gates under each pattern; mean instructions a
    frame by pattern, None on the host. Skips without the tools."""
    try:
        firmware = build_firmware(Model(graph, folder / "net.tdsn", "0" * 64), board, folder / "project")
    except MissingTool as error:
        pytest.skip(str(error))
    means = {}
    for pattern in patterns:
        found, wanted = run_firmware(firmware, pcm, pattern), Pipeline(graph).run(pcm, pattern)
        np.testing.assert_array_equal(found.pcm, wanted.pcm)
        np.testing.assert_array_equal(found.gates, wanted.gates)
        if found.instructions is not None:
            means[pattern.name] = float(np.mean(found.instructions))
    return means or None


def assert_rising(means: dict[str, float] | None, levels: Sequence[GatePattern]) -> None:
    """Each level costs more than the one before it, and what the network decides lies between the ends."""
    if means is not None:
        steps = [means[pattern.name] for pattern in levels]
        assert steps == sorted(steps) and len(set(steps)) == len(steps)
        assert steps[0] < means["learned"] < steps[-1]
