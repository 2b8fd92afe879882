"""``tinydsn evaluate``: quality and cost of a model, in float and on the emulated board."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tinydsn.cli import completion
from tinydsn.cli.options import Board
from tinydsn.cli.output import Json, count, emit, say

EXAMPLE = "Example: tinydsn evaluate dsn-s --noisy noisy/ --clean clean/ --save enhanced/ --json"

METRICS = ("SIG", "BAK", "OVRL", "PESQ", "STOI", "SISDR")
SYSTEMS = ("noisy", "float", "integer", "firmware")


def command(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="A shipped name, a checkpoint with its .tdsn beside it, or a .tdsn alone (no float row).",
            autocompletion=completion.models,
        ),
    ],
    noisy: Annotated[Path | None, typer.Option(help="Folder of noisy WAV files.")] = None,
    clean: Annotated[Path | None, typer.Option(help="Folder of their targets, of equal names.")] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="A corpus; the committed list of 180 mixtures is made from it (for separators, their own)."
        ),
    ] = None,
    board: Board = "mps2-an386",
    save: Annotated[Path | None, typer.Option(help="Folder for the enhanced files.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Another model, for paired differences (repeat for more).", autocompletion=completion.models
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many files, for a quick look.")] = None,
    speaker: Annotated[
        str | None,
        typer.Option(help="Regular expression whose first group in a file's name is the speaker."),
    ] = None,
    bias: Annotated[
        int,
        typer.Option(
            min=-32768,
            max=32767,
            help="Shift of the policy's threshold, as by tinydsn_set_bias; 32767 opens all gates.",
        ),
    ] = 0,
    force: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="Gates of every frame instead of the policy's: 0 or 1 for each gate, in their order. For "
            "example 110: the first two of three (exit 2 of nsNet2).",
        ),
    ] = None,
    check: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Compare only so many files with the integer reference (it takes most of the time).",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Take nothing from an earlier run.")] = False,
    as_json: Json = False,
) -> None:
    """Score noisy, float, integer and emulated firmware; exit 1 when firmware and reference differ."""
    from tinydsn import api

    result = api.evaluate(
        checkpoint,
        noisy=noisy,
        clean=clean,
        corpus=corpus,
        board=board,
        save=save,
        against=against or [],
        limit=limit,
        speaker=speaker,
        bias=bias,
        fresh=fresh,
        check=check,
        force=force,
        progress=steps,
    )
    told = separation_tables if result.get("kind") == "separation" else readable
    emit(result if as_json else told(result), as_json)
    for fault in result["faults"]:
        say(f"fault: {fault}")
    if result["equal"]["status"] != "equal":
        say(f"the firmware differs from the integer reference: {result['equal']['first_difference']}")
        raise typer.Exit(1)


def steps(name: str) -> Callable[[int, int], None]:
    """Progress of one model: rewritten in place on a terminal, a line every tenth part elsewhere."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            count(done, total)
        elif done == total or done * 10 // total > (done - 1) * 10 // total:
            say(f"{name}: {done}/{total}")

    return show


def readable(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result as tables for people; numbers are ``mean [low, high]``."""
    tables: dict[str, Any] = {
        "quality": [quality_row(name, result[name]) for name in SYSTEMS if name in result]
    }
    for key, title in (("by_snr", "SNR, dB"), ("by_input_sisdr", "input SI-SDR, dB")):
        tables[key] = [range_row(title, part) for part in result[key]]
    tables["frames"] = [
        behaviour_row("class of frames", name, part) for name, part in result["frames"].items() if part
    ]
    tables["mixes"] = [behaviour_row("mix", name, part) for name, part in result["mixes"].items() if part]
    for other in result["against"]:
        ratio = {"metric": "cost ratio", "difference": span(other["cost_ratio"])}
        tables[f"beside {other['model']}"] = [*paired_rows(other["firmware"]), ratio]
    if result["front"]:
        front = result["front"]
        title = f"at equal cost between {front['below']} and {front['above']}"
        tables[title] = paired_rows(front["firmware"])
    usage = result["usage"]
    scalars = {
        "files": result["files"],
        "board": result["board"],
        "bits": result["equal"]["status"],
        **forced_gates(result),
        **{f"usage {name}": span(part) for name, part in usage.items() if part["gates"]},
        **{f"gates {name}": gates(part["gates"]) for name, part in usage.items() if part["gates"]},
        "instructions": result["instructions"],
        **{f"spearman {name}": span(part) for name, part in result["spearman"].items()},
        "leak": result["leak"],
        "undefined": result["undefined"],
    }
    return {**tables, **scalars}


def separation_tables(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a separator as tables for people: SI-SDR improvement in dB by condition."""
    rows = [
        {
            "mixtures": name,
            "files": part["files"],
            "SI-SDR, dB": span(part["mixed"]),
            **{f"{system} gain": span(gain, signed=True) for system, gain in part["improvement"].items()},
            "instructions": part["instructions"]["mean"] if part["instructions"] else None,
        }
        for name, part in result["conditions"].items()
    ]
    tables: dict[str, Any] = {"improvement": rows}
    for other in result["against"]:
        tables[f"beside {other['model']}"] = paired_rows(other["firmware"], "mixtures")
    front = result["front"]
    if front:
        tables[f"at equal cost between {front['below']} and {front['above']}"] = paired_rows(
            front["firmware"], "mixtures"
        )
    return {
        **tables,
        "board": result["board"],
        "bits": result["equal"]["status"],
        **forced_gates(result),
        **{f"gates {name}": gates(shares) for name, shares in result["usage"].items() if shares},
        "instructions": result["instructions"],
    }


def forced_gates(result: Mapping[str, Any]) -> dict[str, str]:
    """The word that was forced, where there was one."""
    return {} if result["forced"] is None else {"gates forced to": result["forced"]}


def paired_rows(differences: Mapping[str, Any], of: str = "metric") -> list[dict[str, Any]]:
    """A line a metric, or a kind of mixture: the paired difference and what it says."""
    return [
        {
            of: name,
            "difference": span(part, signed=True),
            "verdict": part["verdict"],
            "direction": part["direction"],
        }
        for name, part in differences.items()
    ]


def quality_row(name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A system's metrics."""
    return {"system": name, **{metric: span(metrics[metric]) for metric in METRICS}}


def range_row(title: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """A range of SNR: noisy -> firmware, usage and cost."""
    ends = ["" if part[key] is None else f"{part[key]:g}" for key in ("from", "to")]
    changes = {
        metric: f"{short(part['noisy'][metric])} -> {short(part['firmware'][metric])}" for metric in METRICS
    }
    cost = part["instructions"]
    usage = part["usage"]["firmware"]["mean"]
    return {
        title: " to ".join(ends),
        "files": part["files"],
        **changes,
        "usage": usage,
        "instructions": cost["mean"] if cost else None,
    }


def behaviour_row(title: str, name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """A class of frames, or a named mix: how far the level falls, and usage."""
    row: dict[str, Any] = {title: name, "files": part["files"], "frames": part.get("frames")}
    for network in ("float", "firmware"):
        if network in part:
            row[f"{network} reduction, dB"] = span(part[network]["reduction_db"])
            row[f"{network} usage"] = span(part[network]["usage"])
    cost = part.get("instructions")
    return {**row, "instructions": cost["mean"] if cost else None}


def span(part: Mapping[str, Any] | None, signed: bool = False) -> str:
    """``mean [low, high]``; a dash where there is nothing."""
    if part is None or part["mean"] is None:
        return "-"
    sign = "+" if signed else ""
    return f"{part['mean']:{sign}.3f} [{part['low']:{sign}.3f}, {part['high']:{sign}.3f}]"


def short(part: Mapping[str, Any]) -> str:
    """The mean alone."""
    return "-" if part["mean"] is None else f"{part['mean']:.2f}"


def gates(shares: Mapping[str, float]) -> str:
    """Each gate's share of open frames."""
    return "  ".join(f"{name} {share:.3f}" for name, share in shares.items())
