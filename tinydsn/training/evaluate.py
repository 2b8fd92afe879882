"""Measures a checkpoint on mixtures of the corpus's test split, with the device's gates.

``python -m tinydsn.training.evaluate MODEL --corpus DIR [--json]``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quant.errors import TinydsnError
from quant.frontend import FrontEnd
from tinydsn.audio.corpus import RATE, Bank, load_bank, read_manifest, select
from tinydsn.audio.metrics import Dnsmos, dnsmos, dnsmos_available, si_sdr
from tinydsn.audio.mixing import MixOptions, draw
from tinydsn.audio.stft import analysis, features, synthesis
from tinydsn.models.checkpoint import load_checkpoint
from tinydsn.models.dsn import GATES, Dsn

SECONDS = 10
SNRS = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
SEED = 20


@dataclass(frozen=True)
class Result:
    """One mixture, before and after; ``gates`` is each gate's share of open frames."""

    snr_db: float
    si_sdr_noisy: float
    si_sdr_enhanced: float
    dnsmos_noisy: Dnsmos | None
    dnsmos_enhanced: Dnsmos | None
    gates: tuple[float, ...]
    switches: float
    """Changes of a gate per second, mean over the gates."""


def enhance(model: Dsn, noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``noisy`` ``[samples]`` float through the model, and the gates ``[frames, K]``; delay removed.

    The output is ``window - hop`` samples shorter than the whole hops of the input.
    """
    front_end = FrontEnd()
    with torch.no_grad():
        spectrum = analysis(torch.from_numpy(noisy)[None], front_end)
        output = model(features(spectrum, front_end))
        wave = synthesis(spectrum * output.mask, front_end)[0]
    return wave[front_end.window - front_end.hop :].numpy(), output.gates[0].numpy()


Enhance = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Noisy float ``[samples]`` -> enhanced float, delay removed, and gates ``[frames, K]``."""


def evaluate_mixture(enhancer: Enhance, noisy: np.ndarray, target: np.ndarray, snr_db: float) -> Result:
    """Scores of one mixture of at least 9.01 s."""
    wave, gates = enhancer(noisy)
    noisy, target = noisy[: len(wave)], target[: len(wave)]
    rated = dnsmos_available()
    frames_per_second = FrontEnd().sample_rate / FrontEnd().hop
    return Result(
        snr_db,
        si_sdr(noisy, target),
        si_sdr(wave, target),
        dnsmos(noisy) if rated else None,
        dnsmos(wave) if rated else None,
        tuple(float(share) for share in gates.mean(0)),
        float(np.abs(np.diff(gates.astype(np.float32), axis=0)).mean() * frames_per_second),
    )


def evaluate(
    enhancer: Enhance, speech: Bank, noise: Bank, rooms: Bank, count: int = 42
) -> tuple[Result, ...]:
    """Scores of ``count`` mixtures of 10 s at the SNRs -5, 0, ... 20 dB in turn; a fixed seed, no rooms."""
    results = []
    for index in range(count):
        snr = SNRS[index % len(SNRS)]
        options = MixOptions(
            samples=SECONDS * RATE, snr_low=snr, snr_high=snr, high_snr_share=0.0, rir_share=0.0,
            level_low=-28.0, level_high=-28.0,
        )  # fmt: skip
        mixture = draw(speech, noise, rooms, options, np.random.default_rng([SEED, index]))
        results.append(evaluate_mixture(enhancer, mixture.noisy, mixture.target, snr))
    return tuple(results)


def summary(model: Dsn, results: tuple[Result, ...]) -> dict[str, Any]:
    """Means over all mixtures and per SNR, ready for JSON; compute counts only open gates."""
    static, gated = model.macs()
    rows = {f"{snr:+.0f} dB": [r for r in results if r.snr_db == snr] for snr in SNRS}
    tables = {name: _means(chosen, static, gated) for name, chosen in rows.items() if chosen}
    return {"mixtures": len(results), "all": _means(list(results), static, gated), "per_snr": tables}


def _means(results: list[Result], static: int, gated: tuple[int, ...]) -> dict[str, Any]:
    gates = np.mean([r.gates for r in results], axis=0)
    rate = FrontEnd().sample_rate / FrontEnd().hop
    row: dict[str, Any] = {
        "si_sdr_noisy": _round(r.si_sdr_noisy for r in results),
        "si_sdr_enhanced": _round(r.si_sdr_enhanced for r in results),
    }
    for name in Dnsmos._fields:
        for when in ("noisy", "enhanced"):
            values = [getattr(r, f"dnsmos_{when}") for r in results]
            if None not in values:
                row[f"{name}_{when}"] = _round(getattr(value, name) for value in values)
    row["gates"] = {name: round(float(share), 3) for name, share in zip(GATES, gates, strict=True)}
    row["gated_compute_used"] = round(float(gates @ np.array(gated)) / sum(gated), 3)
    row["mmacs_per_second"] = round((static + float(gates @ np.array(gated))) * rate / 1e6, 2)
    row["switches_per_second"] = _round(r.switches for r in results)
    return row


def _round(values: Any) -> float:
    return round(float(np.mean(list(values))), 3)


def evaluate_checkpoint(
    path: Path, corpus: Path, count: int = 42, enhancer: Enhance | None = None
) -> dict[str, Any]:
    """`summary` of a checkpoint on a corpus's test split; ``enhancer`` takes the float network's place."""
    model = load_checkpoint(path)
    clips = read_manifest(corpus)
    speech, noise, rooms = (load_bank(select(clips, kind, "test")) for kind in ("speech", "noise", "rir"))
    return summary(model, evaluate(enhancer or partial(enhance, model), speech, noise, rooms, count))


def lines(report: dict[str, Any]) -> list[str]:
    """The summary as text, one line an SNR."""
    result = []
    for name, row in {**report["per_snr"], "all": report["all"]}.items():
        rated = "  ".join(
            f"{key.upper()} {row[f'{key}_noisy']:.2f} -> {row[f'{key}_enhanced']:.2f}"
            for key in Dnsmos._fields
            if f"{key}_noisy" in row
        )
        gates = " ".join(f"{share:.2f}" for share in row["gates"].values())
        result.append(
            f"{name:>7}  SI-SDR {row['si_sdr_noisy']:6.2f} -> {row['si_sdr_enhanced']:6.2f}  {rated}  "
            f"gates {gates}  {row['mmacs_per_second']:.1f} MMAC/s"
        )
    return result


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 2 after one line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tinydsn.training.evaluate")
    parser.add_argument("model", type=Path, help="checkpoint, *.safetensors")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--count", type=int, default=42, help="number of mixtures")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    try:
        report = evaluate_checkpoint(options.model, options.corpus, options.count)
    except TinydsnError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2) if options.json else "\n".join(lines(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
