"""Makes a checkpoint ready to be shipped: weights, the integer graph beside them, and the card.

``python -m tinydsn.workflow.ship RUN --corpus DIR --to FILE.safetensors`` takes the averaged weights of a
finished run (the folder that ``tinydsn train`` wrote); ``python -m tinydsn.workflow.ship NAME --corpus DIR``
quantizes and measures a shipped checkpoint again, in place. It calibrates on mixtures of the corpus's valid
split and measures on the committed test list; with ``--levels`` each level of a gated network, too. The three
files appear together, at the end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quant.convert import quantize
from quant.errors import ConfigError, ModelFileError, TinydsnError
from quant.model_file import save
from quant.precision import Precision, from_toml, load_precision, to_toml
from quant.reference import channels_of
from tinydsn.audio.corpus import load_bank, read_manifest, select
from tinydsn.audio.files import replace_file, to_int16
from tinydsn.audio.mixing import MixOptions, draw_batch
from tinydsn.audio.voices import VoiceOptions, draw_voices_batch, load_speakers
from tinydsn.cache import scratch_beside
from tinydsn.cards import card_path, read_card
from tinydsn.models.checkpoint import load_checkpoint, load_scales, save_checkpoint
from tinydsn.workflow.card import make_card, training_of
from tinydsn.workflow.comparison_points import SHIPPED
from tinydsn.workflow.integer_training import PRECISION_FILE
from tinydsn.workflow.levels import level_words, measure_levels
from tinydsn.workflow.models import checkpoint_path
from tinydsn.workflow.quantization import float_graph, summary
from tinydsn.workflow.separation import evaluate_any

CALIBRATION_MIXTURES = 24
CALIBRATION = MixOptions(
    samples=4 * 16000, babble_share=0.15, colour_share=0.3, clip_share=0.05, silent_share=0.03
)
SEED = 11
BOARD = "mps2-an386"
WEIGHTS = "model.safetensors"

Say = Callable[[str], None]


def calibration_mixtures(corpus: Path, voices: int = 1) -> list[np.ndarray]:
    """int16 mixtures of the valid split, at all levels and SNRs that training knows, and more varied;
    ``voices``: how many waves come out, so two are of two speakers each."""
    if voices > 1:
        speakers = load_speakers(corpus, "valid")
        two = draw_voices_batch(speakers, CALIBRATION, VoiceOptions(), SEED, 0, CALIBRATION_MIXTURES)
        return [to_int16(mixture.mixed) for mixture in two]
    clips = read_manifest(corpus)
    speech, noise, rooms = (load_bank(select(clips, kind, "valid")) for kind in ("speech", "noise", "rir"))
    drawn = draw_batch(speech, noise, rooms, CALIBRATION, SEED, 0, CALIBRATION_MIXTURES)
    return [to_int16(mixture.noisy) for mixture in drawn]


def source_of(text: str, to: Path | None, corpus: Path) -> tuple[Path, Path, dict[str, Any]]:
    """(weights, checkpoint to write, the card's part about training) of a run or of a checkpoint.

    Raises ModelFileError when there is no such run or checkpoint, ConfigError for a run without ``to``.
    """
    if Path(text).is_dir():
        if to is None:
            raise ConfigError(f"{text}: a run needs --to FILE.safetensors")
        return Path(text) / WEIGHTS, to, training_of(Path(text), corpus)
    checkpoint = checkpoint_path(text)
    if checkpoint is None or not checkpoint.is_file():
        raise ModelFileError(
            f"{text}: no such run or checkpoint (a folder of `tinydsn train`, or a checkpoint)"
        )
    return checkpoint, to or checkpoint, read_card(checkpoint)["training"]


def widths_of(weights: Path, wanted: str | None) -> Precision:
    """Bit widths by ``wanted``, or those kept beside ``weights``: of a run, or in a card; else w8a16."""
    card, kept = card_path(weights), weights.with_name(PRECISION_FILE)
    if wanted is not None:
        return load_precision(wanted)
    if not card.is_file():
        return load_precision(str(kept) if kept.is_file() else SHIPPED)
    integer = read_card(weights)["integer"]
    if "widths" in integer:
        return from_toml(integer["widths"], integer["precision"])
    return load_precision(integer["precision"])


def ship(
    source: str,
    corpus: Path,
    to: Path | None = None,
    precision: str | None = None,
    limit: int | None = None,
    say: Say = print,
    board: str = BOARD,
    check: int | None = None,
    levels: bool = False,
) -> dict[str, Any]:
    """Quantize and measure ``source`` and write checkpoint, graph and card; returns the card.

    ``precision``: a preset's name or a file; without one those of a run that was fine-tuned for integers, or
    of the card of a checkpoint that is measured again, else w8a16. ``levels``: what each level of a gated
    network is worth goes into the card, see `measure_levels`.
    Raises ConfigError when ``to`` is not a .safetensors file, and the firmware's difference from the
    reference as ModelFileError: such a model is not shipped.
    """
    weights, target, training = source_of(source, to, corpus)
    if target.suffix != ".safetensors":
        raise ConfigError(f"{target}: must end with .safetensors")
    model, scales = load_checkpoint(weights), load_scales(weights)
    widths = widths_of(weights, precision)
    with scratch_beside(target) as folder:
        checkpoint = folder / target.name
        save_checkpoint(model, checkpoint, scales=scales)
        lowered = float_graph(str(checkpoint))
        graph = quantize(lowered, calibration_mixtures(corpus, channels_of(lowered)), widths)
        sha256 = save(graph, checkpoint.with_suffix(".tdsn"))
        say(f"{target.with_suffix('.tdsn').name}: {sha256}")
        folders = (None, None, corpus)
        table = evaluate_any(
            str(checkpoint), folders, board, None, (), limit, None, 0, False, _steps(say), check
        )
        if table["equal"]["status"] != "equal":
            raise ModelFileError(
                f"{source}: firmware and reference differ: {table['equal']['first_difference']}"
            )
        if levels and model.gates:
            table |= measure_levels(
                str(checkpoint), level_words(model), corpus, board, limit, _levels(say), check
            )
        integer = {"precision": widths.name, "sha256": sha256, **summary(graph)}
        if widths.rules:
            integer["widths"] = to_toml(widths)
        card = make_card(target.stem, model, training, integer, table)
        save_checkpoint(model, checkpoint, card, scales)
        for path in (checkpoint, checkpoint.with_suffix(".tdsn"), card_path(checkpoint)):
            replace_file(target.with_name(path.name), path.read_bytes())
    return card


def _steps(say: Say) -> Callable[[str], Callable[[int, int], None]]:
    def of(name: str) -> Callable[[int, int], None]:
        return lambda done, total: say(f"{done}/{total}") if done % 30 == 0 or done == total else None

    return of


def _levels(say: Say) -> Callable[[str], Callable[[int, int], None]]:
    return lambda word: _steps(lambda text: say(f"gates {word}: {text}"))(word)


def line(card: dict[str, Any]) -> str:
    """One line of what was reached: noisy -> firmware."""
    test = card["test"]
    instructions = test["instructions"]
    spent = f", {instructions['mean']:,} instructions a frame" if instructions else ""
    if "conditions" in test:
        gain = test["conditions"]["all"]["improvement"]["firmware"]["mean"]
        return f"{card['name']}: SISDR improvement {gain:.2f} dB{spent}"
    changes = [
        f"{metric} {test['noisy'][metric]['mean']:.2f} -> {test['firmware'][metric]['mean']:.2f}"
        for metric in ("SISDR", "PESQ", "SIG", "BAK", "OVRL")
    ]
    return f"{card['name']}: {', '.join(changes)}{spent}"


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 2 after one line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tinydsn.workflow.ship", description=__doc__)
    parser.add_argument("source", help="a run's folder, a checkpoint, or a shipped name such as dsn-s")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--to", type=Path, help="checkpoint to write; a run needs it")
    parser.add_argument("--precision", help="w2a8 to w8a16, or a TOML or JSON file; else the run's or w8a16")
    parser.add_argument("--limit", type=int, help="only so many test mixtures, for a quick look")
    parser.add_argument("--board", default=BOARD, help="where the firmware runs")
    parser.add_argument("--check", type=int, help="compare only so many files with the integer reference")
    parser.add_argument("--levels", action="store_true", help="measure each level of a gated network, too")
    options = parser.parse_args(arguments)
    try:
        card = ship(
            options.source,
            options.corpus,
            options.to,
            options.precision,
            options.limit,
            print,
            options.board,
            options.check,
            options.levels,
        )
    except TinydsnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(line(card))
    return 0


if __name__ == "__main__":
    sys.exit(main())
