"""From a checkpoint or a user's module to an integer graph on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quant.convert import quantize as quantize_graph
from quant.errors import AudioError, ConfigError
from quant.graph import Graph, IntegerGraph
from quant.learned import with_learned_scales
from quant.model_file import check_output, save
from quant.nearest import unknown
from quant.precision import load_precision
from tinydsn.workflow.models import checkpoint_path, pretrained

Progress = Callable[[int, int], None]

# A minute of audio settles the ranges of int16 tensors to within their headroom.
CALIBRATION_SECONDS = 60
MOST_CALIBRATION_FILES = 64
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus")


def float_graph(target: str) -> Graph:
    """Lower a checkpoint (or shipped model's name), with the scales learned for it, or
    ``package.module:function``."""
    checkpoint = checkpoint_path(target)
    if checkpoint is None and ":" not in target:
        further = "a checkpoint (.safetensors), or package.module:function"
        raise ConfigError(unknown("network", target, pretrained(), further))
    from tinydsn.lowering import load_target, lower

    if checkpoint is None:
        module, example = load_target(target)
        return lower(module, example)
    import torch

    from tinydsn.models.checkpoint import features_of, load_network, load_scales

    model = load_network(checkpoint)
    graph = lower(model.streaming(), torch.zeros(features_of(model)), name=checkpoint.stem)
    return with_learned_scales(graph, load_scales(checkpoint))


def calibration_files(folder: Path) -> list[Path]:
    """The audio files of a folder and of those below it, by name, thinned out to a bearable number.

    Raises AudioError when there is none.
    """
    if not folder.is_dir():
        raise AudioError(f"{folder}: no such folder (--calibration takes a folder of WAV or FLAC files)")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise AudioError(f"{folder}: holds no audio (must be mono WAV, FLAC or Ogg files)")
    return files[:: max(1, len(files) // MOST_CALIBRATION_FILES)]


def calibration_clips(
    files: Sequence[Path], sample_rate: int, seconds: float = CALIBRATION_SECONDS
) -> list[np.ndarray]:
    """int16 clips of the beginning of each file, ``seconds`` in all and at least one second each.

    Raises AudioError for a file at another rate, with more channels, silent, or damaged.
    """
    share = max(int(seconds * sample_rate / len(files)), sample_rate)
    return [_read(path, sample_rate)[:share] for path in files]


def _read(path: Path, sample_rate: int) -> np.ndarray:
    """int16 samples of a WAV, FLAC or Ogg file."""
    from tinydsn.audio.files import read_wav

    if path.suffix.lower() == ".wav":
        return read_wav(path, sample_rate)
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="int16")
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: cannot be read ({error}); remove it or convert it to WAV") from error
    if rate != sample_rate or samples.ndim != 1 or not samples.any():
        raise AudioError(f"{path}: must be mono at {sample_rate} Hz and not silent")
    return samples


def quantize(
    target: str, calibration: Path, output: Path, precision: str = "w8a16", progress: Progress | None = None
) -> dict[str, Any]:
    """Lower, calibrate and convert ``target``; writes ``output`` and returns what it holds."""
    check_output(output)
    table, files = load_precision(precision), calibration_files(calibration)
    graph = float_graph(target)
    rate = graph.frontend.sample_rate if graph.frontend else 16000
    integer = quantize_graph(graph, calibration_clips(files, rate), table, progress)
    sha256 = save(integer, output)
    return {"model": str(output), "model_sha256": sha256, "precision": table.name, **summary(integer)}


def summary(graph: IntegerGraph) -> dict[str, Any]:
    """Sizes of an integer graph."""
    from quant import ops

    macs = {op.name: ops.definition(op.kind).macs(op, graph.tensors) for op in graph.operators()}
    gated = {op.name for branch in graph.branches for op in branch.body}
    states = {state.tensor for state in graph.states}
    weights = [array for name, array in graph.constants.items() if name not in states]
    return {
        "name": graph.name,
        "operators": len(macs),
        "gates": graph.gates,
        "macs": sum(macs.values()),
        "macs_gated": sum(count for name, count in macs.items() if name in gated),
        "weight_bytes": int(sum(array.nbytes for array in weights)),
        "state_bytes": sum(graph.tensors[name].nbytes for name in states),
    }
