"""What a run was: kept beside its weights, so that a card can tell it."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from quant.errors import ConfigError, ModelFileError
from tinydsn.audio.files import replace_file
from tinydsn.cards import card_path, read_card
from tinydsn.training.recipe import Recipe

NAME = "run.json"


def file_hash(path: Path) -> str:
    """SHA-256 of a file. Raises ModelFileError when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None


def commit() -> str | None:
    """The commit of the checkout that this code runs from; None where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of the run that wrote into ``folder``, None where there is none."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ModelFileError(f"{path}: damaged ({error}); delete it to start again") from None


def record_of(checkpoint: Path) -> dict[str, Any] | None:
    """The record of what trained a checkpoint: its run's, or what the card beside it keeps of that.

    None where there is neither. Raises ModelFileError for a damaged one.
    """
    if not card_path(checkpoint).is_file():
        return read_record(checkpoint.parent)
    try:
        return dict(read_card(checkpoint)["training"])
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{card_path(checkpoint)}: damaged ({error}); ship its run again") from None


def write_record(
    out: Path,
    name: str,
    recipe: Recipe,
    corpus: Path,
    start: Path | None,
    device: str,
    meter: Path | None = None,
) -> dict[str, Any]:
    """Notes what this run is made of in ``out``, or checks that a resumed run is the same one.

    ``hours_before`` counts the mixtures that the start weights had seen. Raises ConfigError when ``out``
    holds a run of another recipe, corpus, start or meter.
    """
    import torch

    before = record_of(start) if start else None
    record: dict[str, Any] = {
        "name": name,
        "recipe": recipe.as_dict(),
        "hours": recipe.steps * recipe.train.batch * recipe.mix.samples / 16000 / 3600,
        "hours_before": sum(before.get(key, 0.0) for key in ("hours", "hours_before")) if before else 0.0,
        "start": {
            "name": before.get("name", start.stem) if before else start.name,
            "sha256": file_hash(start),
        }
        if start
        else None,
        "corpus_sha256": file_hash(corpus / "manifest.csv"),
    }
    if meter is not None:
        made = read_record(meter.parent)
        record["meter"] = {"name": made["recipe"] if made else meter.name, "sha256": file_hash(meter)}
    old = read_record(out)
    plain = json.loads(json.dumps(record))
    if old is not None:
        wrong = [key for key in plain if old.get(key) != plain[key]]
        if wrong:
            raise ConfigError(
                f"{out}: holds another run ({', '.join(wrong)} differ); choose another --out or delete it"
            )
        return old
    plain |= {
        "commit": commit(),
        "torch": torch.__version__,
        "device": device,
        "python": platform.python_version(),
    }
    replace_file(out / NAME, (json.dumps(plain, indent=2) + "\n").encode())
    return plain
