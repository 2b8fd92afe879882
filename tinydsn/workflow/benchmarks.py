"""Whole shipped models on the bench: our kernels beside CMSIS-NN's, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from quant.gates import GatePattern
from quant.reference import hop_of
from tinydsn.bench.rows import ModelRow
from tinydsn.profiling.collect import profile_firmware
from tinydsn.profiling.signal import speech_like
from tinydsn.workflow.firmware import build_firmware, run_firmware
from tinydsn.workflow.models import Model, load_model, pretrained

FRAMES = 60


def bench_models(boards: Sequence[str], progress: Callable[[int, int], None] | None = None) -> list[ModelRow]:
    """Every shipped model on every board, all gates on, with speech-like sound.

    Raises ToolchainError when a tool is missing, or when both builds do not give the same samples.
    """
    models = [load_model(name) for name in pretrained()]
    rows = []
    for model in models:
        for board in boards:
            rows.append(bench_model(model, board))
            if progress:
                progress(len(rows), len(models) * len(boards))
    return rows


def bench_model(model: Model, board: str) -> ModelRow:
    """One model on one board; see `bench_models`."""
    from quant.errors import ToolchainError

    graph, everything = model.graph, GatePattern("max")
    rate = graph.frontend.sample_rate if graph.frontend else 16000
    pcm = speech_like(FRAMES * hop_of(graph), rate)
    with tempfile.TemporaryDirectory(prefix="tinydsn-bench-") as name:
        ours = build_firmware(model, board, Path(name) / "ours")
        theirs = build_firmware(model, board, Path(name) / "theirs", kernels="cmsis-nn")
        profile = profile_firmware(ours, pcm, (), "speech-like")
        other = run_firmware(theirs, pcm, everything)
        if not np.array_equal(run_firmware(ours, pcm, everything).pcm, other.pcm):
            raise ToolchainError(f"{graph.name} on {board}: the two builds give different samples")
    assert other.instructions is not None
    return ModelRow(
        model=graph.name,
        core=profile.core,
        ours=round(profile.totals["max"].mean),
        cmsis_nn=round(float(np.mean(other.instructions))),
        skipped_region=round(max((gate.skipped for gate in profile.gates), default=0)),
        non_mac_share=round(profile.non_mac_share("max"), 4),
    )
