"""Makes the integer graph that is shipped beside a checkpoint, and measures it beside the float network.

``python -m tinydsn.workflow.ship dsn-s --corpus DIR``: calibrates on mixtures of the corpus's valid split,
writes ``dsn-s.tdsn``, and adds the scores of the integer firmware (host build) on the test split to the card.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quant.convert import quantize
from quant.errors import TinydsnError
from quant.gates import GatePattern
from quant.model_file import save, write_atomically
from tinydsn.audio.corpus import load_bank, read_manifest, select
from tinydsn.audio.files import to_int16
from tinydsn.audio.mixing import MixOptions, draw_batch
from tinydsn.models.checkpoint import card_path
from tinydsn.training.evaluate import Enhance, evaluate_checkpoint, lines
from tinydsn.workflow.firmware import Firmware, build_firmware, run_firmware
from tinydsn.workflow.models import Model, checkpoint_path
from tinydsn.workflow.quantization import float_graph, summary

CALIBRATION_MIXTURES = 24
CALIBRATION_SAMPLES = 4 * 16000
SEED = 11


def calibration_mixtures(corpus: Path) -> list[np.ndarray]:
    """int16 mixtures of the valid split, at all levels and SNRs that training knows."""
    clips = read_manifest(corpus)
    speech, noise, rooms = (load_bank(select(clips, kind, "valid")) for kind in ("speech", "noise", "rir"))
    options = MixOptions(samples=CALIBRATION_SAMPLES)
    drawn = draw_batch(speech, noise, rooms, options, SEED, 0, CALIBRATION_MIXTURES)
    return [to_int16(mixture.noisy) for mixture in drawn]


def firmware_enhancer(firmware: Firmware) -> Enhance:
    """The integer firmware as something that enhances float waves, for evaluation."""
    front = firmware.model.graph.frontend
    assert front is not None

    def enhance(noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        result = run_firmware(firmware, to_int16(noisy), GatePattern("learned"))
        whole = len(noisy) // front.hop * front.hop
        return (result.pcm[front.latency : whole] / 32768.0).astype(np.float32), result.gates

    return enhance


def ship(name: str, corpus: Path, precision: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Quantize, evaluate, and complete the card of the shipped checkpoint ``name``."""
    checkpoint = checkpoint_path(name)
    if checkpoint is None:
        raise TinydsnError(f"{name}: no shipped checkpoint of this name")
    graph = quantize(float_graph(name), calibration_mixtures(corpus), precision)
    path = checkpoint.with_suffix(".tdsn")
    sha256 = save(graph, path)
    say(f"{path}: {sha256}")
    with tempfile.TemporaryDirectory() as folder:
        firmware = build_firmware(Model(graph, path, sha256), "host", Path(folder) / "project")
        measured = evaluate_checkpoint(checkpoint, corpus, enhancer=firmware_enhancer(firmware))
    for line in lines(measured):
        say(line)
    card = json.loads(card_path(checkpoint).read_text())
    card["integer"] = {"precision": precision, "sha256": sha256, **summary(graph), "test": measured}
    write_atomically(card_path(checkpoint), (json.dumps(card, indent=2) + "\n").encode())
    return measured


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 2 after one line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tinydsn.workflow.ship", description=__doc__)
    parser.add_argument("name", help="a shipped checkpoint, such as dsn-s")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--precision", default="w8a16", help="w8a8, w8a16, or a TOML file")
    options = parser.parse_args(arguments)
    try:
        ship(options.name, options.corpus, options.precision, print)
    except TinydsnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
