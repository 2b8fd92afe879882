"""Turns a finished run into a shipped checkpoint with its card.

``python -m tinydsn.training.publish --run DIR --corpus DIR --to FILE.safetensors [--recipe FILE.toml]``
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from quant.errors import ModelFileError, TinydsnError
from quant.frontend import FrontEnd
from tinydsn.audio.corpus import read_manifest, select
from tinydsn.models.checkpoint import load_checkpoint, save_checkpoint
from tinydsn.models.dsn import GATES, Dsn
from tinydsn.training.evaluate import evaluate_checkpoint, lines
from tinydsn.training.recipe import Recipe, read_recipe

NOTE = (
    "After Zhao et al. 2026 (dynamically slimmable speech enhancement); gate internals, sizes and training "
    "are this project's. The gates were guided by the SNR of the mixture, not by DNSMOS."
)


def corpus_hours(corpus: Path) -> dict[str, float]:
    """Hours of the train split by kind."""
    clips = read_manifest(corpus)
    kinds = ("speech", "noise")
    return {kind: round(sum(c.seconds for c in select(clips, kind, "train")) / 3600, 2) for kind in kinds}


def corpus_sources(corpus: Path) -> dict[str, list[str]]:
    """Names of the sources in the train split by kind."""
    clips = read_manifest(corpus)
    kinds = ("speech", "noise", "rir")
    return {kind: sorted({clip.source for clip in select(clips, kind, "train")}) for kind in kinds}


def last_entry(run: Path) -> dict[str, Any]:
    """The last line of a run's log. Raises ModelFileError when there is none."""
    path = run / "log.jsonl"
    try:
        return json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    except (OSError, IndexError, ValueError) as error:
        raise ModelFileError(f"{path}: no log of a training run ({error}); train first") from None


def make_card(
    model: Dsn, recipe: Recipe, log: dict[str, Any], corpus: Path, quality: dict[str, Any]
) -> dict[str, Any]:
    """What a reader of a shipped checkpoint must know, ready for JSON."""
    static, gated = model.macs()
    rate = FrontEnd().sample_rate / FrontEnd().hop
    seconds = log["step"] * recipe.train.batch * recipe.mix.samples / FrontEnd().sample_rate
    return {
        "name": "dsn-s",
        "note": NOTE,
        "parameters": sum(value.numel() for value in model.parameters()),
        "cost": {
            "macs_per_frame_always": static,
            "macs_per_frame_per_gate": dict(zip(GATES, gated, strict=True)),
            "mmacs_per_second_all_on": round((static + sum(gated)) * rate / 1e6, 3),
            "mmacs_per_second_all_off": round(static * rate / 1e6, 3),
        },
        "training": {
            "complete": log["done"] >= 1,
            "steps": log["step"],
            "seconds_of_computing": log["seconds"],
            "hours_of_mixtures": round(seconds / 3600, 1),
            "seed": recipe.train.seed,
            "recipe": recipe.as_dict(),
            "hours_of_source_audio": corpus_hours(corpus),
            "sources": corpus_sources(corpus),
            "validation": log,
        },
        "test": quality,
    }


def publish(run: Path, corpus: Path, to: Path, recipe: Recipe) -> dict[str, Any]:
    """Evaluates the run's averaged weights and writes checkpoint and card; returns the card."""
    source = run / "model.safetensors"
    log = last_entry(run)
    model = load_checkpoint(source)
    card = make_card(model, recipe, log, corpus, evaluate_checkpoint(source, corpus))
    save_checkpoint(model, to, card)
    return card


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 2 after one line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tinydsn.training.publish")
    parser.add_argument("--run", type=Path, required=True, help="folder that the training wrote")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--to", type=Path, required=True, help="checkpoint to write, *.safetensors")
    parser.add_argument("--recipe", type=Path, help="the recipe of the run, if it had one")
    options = parser.parse_args(arguments)
    try:
        recipe = read_recipe(options.recipe) if options.recipe else Recipe()
        card = publish(options.run, options.corpus, options.to, recipe)
    except TinydsnError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(lines(card["test"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
