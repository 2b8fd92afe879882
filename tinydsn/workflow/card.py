"""The card of a checkpoint: data, recipe, seed, commit, metrics with intervals, and cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.errors import ModelFileError
from quant.frontend import FrontEnd
from tinydsn.audio.corpus import read_manifest, select

if TYPE_CHECKING:
    from tinydsn.models.network import MaskNetwork

GUIDED = {
    "none": "It has no usage objective.",
    "rating": "Its gates were guided by the DNSMOS OVRL of the noisy mixtures.",
    "snr": "Its gates were guided by the SNR of the mixtures, not by DNSMOS.",
    "constant": "Its gates were held to one usage for all mixtures.",
    "signal": "Its gates were priced by how good the output is already.",
    "benefit": "Its gates were paid where opening them lowers the error.",
    "regret": "Its policy was told beforehand where opening a gate lowers the error by more than it costs.",
}
TUNED = "It was fine-tuned through its integer graph; its gates were to stay as they are."
HEADS = "Last only its heads learned; its gates decide as those of the start."
STATIC = "It is a static sibling: the same network without policy and gates."

TEST_KEYS = (
    *("board", "source", "files", "speakers", "seconds", "toolchain", "memory", "equal", "faults"),
    *("noisy", "float", "firmware", "improvement", "quantization", "usage", "gate_weights", "instructions"),
    *("macs", "by_snr", "usage_falls_with_snr", "spearman", "frames", "mixes", "leak", "undefined"),
    *("kind", "speaker_pairs", "conditions", "levels", "beside_levels"),
)
"""What of an evaluation's table stands in the card."""


def note(model: MaskNetwork, recipe: Mapping[str, Any]) -> str:
    """The sentences at a card's head; ``recipe``: its tables, as far as they are known."""
    kind = recipe.get("guidance", {}).get("kind")
    heads = recipe.get("exits", {}).get("only_heads", False)
    how = TUNED if "quantization" in recipe else HEADS if heads else GUIDED.get(kind)
    return " ".join([model.origin, *([] if model.gates else [STATIC]), *([how] if how else [])])


def cost(model: MaskNetwork) -> dict[str, Any]:
    """Multiply-accumulates, by what always runs and by gate."""
    static, gated = model.macs()
    rate = FrontEnd().sample_rate / FrontEnd().hop / 1e6
    return {
        "macs_per_frame_always": static,
        "macs_per_frame_per_gate": dict(zip(model.gates, gated, strict=True)),
        "mmacs_per_second_all_on": round((static + sum(gated)) * rate, 3),
        "mmacs_per_second_all_off": round(static * rate, 3),
    }


def data_of(corpus: Path) -> dict[str, Any]:
    """Hours and sources of the train split by type."""
    clips = read_manifest(corpus)
    chosen = {kind: select(clips, kind, "train") for kind in ("speech", "noise", "rir")}
    return {
        "hours_of_source_audio": {
            kind: round(sum(clip.seconds for clip in chosen[kind]) / 3600, 2) for kind in ("speech", "noise")
        },
        "sources": {kind: sorted({clip.source for clip in rows}) for kind, rows in chosen.items()},
    }


def training_of(run: Path, corpus: Path) -> dict[str, Any]:
    """What a finished run was: its record, the corpus, the seed, and its last validation.

    Raises ModelFileError when the folder holds no run, or one that has not come to its end.
    """
    from tinydsn.training.record import read_record

    record = read_record(run)
    if record is None:
        raise ModelFileError(f"{run}: holds no run (no run.json; `tinydsn train` writes one)")
    last = last_entry(run)
    if last.get("done", 0) < 1:
        raise ModelFileError(
            f"{run}: the run is not at its end ({100 * last.get('done', 0):.0f} %); go on with it"
        )
    return {**record, "seed": record["recipe"]["train"]["seed"], **data_of(corpus), "validation": last}


def last_entry(run: Path) -> dict[str, Any]:
    """The last line of a run's log. Raises ModelFileError when there is none."""
    path = run / "log.jsonl"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8").splitlines()[-1]))
    except (OSError, IndexError, ValueError) as error:
        raise ModelFileError(f"{path}: no log of a training run ({error}); train first") from None


def make_card(
    name: str,
    model: MaskNetwork,
    training: Mapping[str, Any],
    integer: Mapping[str, Any],
    table: Mapping[str, Any],
) -> dict[str, Any]:
    """What a reader of a shipped checkpoint must know, ready for JSON; ``table``: of `evaluate`."""
    recipe = training.get("recipe", {})
    return {
        "name": name,
        "note": note(model, recipe),
        "parameters": sum(value.numel() for value in model.parameters()),
        "cost": cost(model),
        "training": dict(training),
        "integer": dict(integer),
        "test": {key: table[key] for key in TEST_KEYS if key in table},
    }
