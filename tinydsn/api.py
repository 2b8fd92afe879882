"""The verbs as functions: each takes what the command line takes and returns what ``--json`` prints."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.errors import BoardError, ConfigError
from quant.model_file import check_output, write_atomically

if TYPE_CHECKING:
    from tinydsn.bench import KernelRow
    from tinydsn.bench.rows import ModelRow
    from tinydsn.workflow.export_memory import MemoryRow

Say = Callable[[str], None]
Count = Callable[[int, int], None]


def quantize(
    target: str, calibration: Path, output: Path, precision: str = "w8a16", progress: Count | None = None
) -> dict[str, Any]:
    """Lower, calibrate and convert a checkpoint or ``package.module:function``; writes ``output``."""
    from tinydsn.workflow.quantization import quantize as make

    return make(target, calibration, output, precision, progress)


def generate(
    model: str,
    board: str,
    output: Path,
    selftest: bool = False,
    renode: bool = False,
    kernels: str = "auto",
    example: bool = False,
) -> dict[str, Any]:
    """Write the C project of ``model`` for ``board`` into ``output``; ``renode`` adds a folder for Renode,
    ``example`` one with an application.

    ``kernels`` (here and below): whose kernels run where both can: "auto", "tinydsn" or "cmsis-nn".
    """
    from tinydsn.codegen.board import load_board
    from tinydsn.codegen.project import generate as write
    from tinydsn.workflow.firmware import measure, record_selftest
    from tinydsn.workflow.kernel_costs import header_lines
    from tinydsn.workflow.models import load_model

    found = load_model(model)
    recorded = record_selftest(found.graph) if selftest else None
    target = load_board(board)
    figures = measure(found, target, recorded, kernels)
    project = write(
        found.graph,
        target,
        output,
        model_sha256=found.sha256,
        selftest=recorded,
        memory=figures.memory if figures else None,
        lines=(*(figures.lines if figures else ()), *header_lines(found.graph, target, kernels)),
        kernels=kernels,
        example=record_selftest(found.graph) if example else None,
    )
    result = {"project": str(project.folder), "model_sha256": found.sha256, "board": board}
    if renode:
        from tinydsn.workflow.renode import write_renode_folder

        recording = record_selftest(found.graph).pcm
        folder = write_renode_folder(found, target, recording, project.folder / "renode")
        result["renode"] = str(folder)
    return result


def build(
    source: str, board: str | None = None, output: Path | None = None, kernels: str = "auto"
) -> dict[str, Any]:
    """Link a generated project, or generate and link a model for ``board``."""
    from tinydsn.codegen.board import board_names, load_board
    from tinydsn.codegen.build import build as link
    from tinydsn.codegen.project import read_manifest
    from tinydsn.workflow.firmware import build_firmware
    from tinydsn.workflow.models import load_model

    folder = Path(source)
    if folder.is_dir():
        made_for = read_manifest(folder)["board"]
        if board is None and made_for not in board_names():
            raise ConfigError(f"{folder}: made for a board of yours; name its file (--board {made_for}.toml)")
        name = board or made_for
        target = load_board(name)
        if target.name != made_for:
            raise ConfigError(
                f"{folder}: made for {made_for}, not for {target.name} (generate a project for that board)"
            )
        built = link(folder, target)
    else:
        found = load_model(source)
        if board is None:
            raise ConfigError("building a model needs --board NAME (see `tinydsn boards`)")
        name = load_board(board).name
        folder = output or Path("out") / name
        built = build_firmware(found, board, folder, emulated=False, kernels=kernels).built
    return {
        "board": name,
        "elf": str(built.elf),
        "flash": built.flash,
        "ram": built.ram,
        "weights": built.weights,
    }


def run(
    model: str,
    board: str,
    wav: Path,
    out: Path,
    gates: str = "learned",
    progress: Say | None = None,
    kernels: str = "auto",
) -> dict[str, Any]:
    """Send a WAV through the firmware on one emulated board and write what comes out."""
    import numpy as np

    from quant.gates import parse_pattern
    from tinydsn.audio.files import read_wav, write_wav
    from tinydsn.codegen.toolchain import versions
    from tinydsn.workflow.firmware import (
        build_firmware,
        load_share,
        memory,
        overload,
        run_firmware,
        statistics,
    )
    from tinydsn.workflow.models import load_model
    from tinydsn.workflow.verification_table import SCHEMA

    check_output(out)
    found = load_model(model)
    rate = found.graph.frontend.sample_rate if found.graph.frontend else 16000
    pcm = read_wav(wav, rate)
    pattern = parse_pattern(gates)
    with tempfile.TemporaryDirectory() as folder:
        firmware = build_firmware(found, board, Path(folder) / "project", kernels=kernels)
        if progress:
            progress(f"running {len(pcm) / rate:.1f} s of audio on {board}")
        result = run_firmware(firmware, pcm, pattern)
        instructions = None if result.instructions is None else statistics(result.instructions)
        load = load_share(firmware, instructions) if instructions else None
        if load and load["status"] == "error":
            raise BoardError(overload(firmware.board, load))
        sizes = memory(firmware, result.stack)
    write_wav(out, result.pcm[..., : len(pcm)], rate)
    return {
        "schema": SCHEMA,
        "model_sha256": found.sha256,
        "toolchain": versions(),
        "board": board,
        "gates": gates,
        "frames": len(result.gates),
        "samples": len(pcm),
        "out": str(out),
        "usage": [round(float(share), 4) for share in np.mean(result.gates, axis=0)],
        "instructions": instructions,
        "load": load,
        "memory": sizes,
    }


def verify(
    model: str,
    wav: Path,
    boards: Sequence[str],
    gates: Sequence[str],
    frames: int | None = None,
    progress: Say | None = None,
    kernels: str = "auto",
) -> dict[str, Any]:
    """Compare firmware and reference bit for bit: boards x gate patterns, over the recording."""
    from quant.reference import hop_of
    from tinydsn.audio.files import read_wav
    from tinydsn.workflow.models import load_model
    from tinydsn.workflow.verification import verify_model
    from tinydsn.workflow.verification_table import expand_boards, renode_rows, verification_json

    found = load_model(model)
    rate = found.graph.frontend.sample_rate if found.graph.frontend else 16000
    pcm = read_wav(wav, rate)
    if frames is not None:
        pcm = pcm[: frames * hop_of(found.graph)]
    with tempfile.TemporaryDirectory() as folder:
        result = verify_model(
            found, pcm, expand_boards(boards), gates, Path(folder), progress, kernels=kernels
        )
        table = verification_json(result, found.sha256)
    if "learned" in result.reference:
        table["renode"] = renode_rows(found, pcm, result)
    return table


def evaluate(
    checkpoint: str,
    noisy: Path | None = None,
    clean: Path | None = None,
    corpus: Path | None = None,
    board: str = "mps2-an386",
    save: Path | None = None,
    against: Sequence[str] = (),
    limit: int | None = None,
    speaker: str | None = None,
    bias: int = 0,
    fresh: bool = False,
    progress: Callable[[str], Count] | None = None,
    check: int | None = None,
    force: str | None = None,
) -> dict[str, Any]:
    """Score a model on two folders of equally named files, or on mixtures made from a corpus.

    ``force``: a word such as "110", the gates of ``checkpoint`` in every frame, gate 0 first.
    """
    from tinydsn.workflow.separation import evaluate_any

    given = (noisy, clean, corpus)
    return evaluate_any(
        checkpoint, given, board, save, against, limit, speaker, bias, fresh, progress, check, force
    )


def diff(
    a: str,
    b: str,
    board: str | None = None,
    wav: Path | None = None,
    frames: int = 400,
    kernels: str = "auto",
    kernels_b: str | None = None,
    corpus: Path | None = None,
    limit: int | None = None,
    progress: Say | None = None,
) -> dict[str, Any]:
    """What changed between two models or generated projects; ``corpus``: quality on the list, too."""
    from tinydsn import profiling
    from tinydsn.audio.files import read_wav
    from tinydsn.workflow.diff import chosen_board, open_side, quality
    from tinydsn.workflow.diff import diff as compare

    board = chosen_board(a, b, board)
    with tempfile.TemporaryDirectory() as folder:
        first = open_side(a, board, Path(folder) / "a", kernels)
        second = open_side(b, board, Path(folder) / "b", kernels_b or kernels)
        samples = frames * first.hop
        rate = first.rate
        pcm = profiling.speech_like(samples, rate) if wav is None else read_wav(wav, rate)[:samples]
        if progress:
            progress(f"running {len(pcm) // first.hop} frames of both on {board}")
        found = compare(first, second, pcm)
    found["quality"] = quality(a, b, board, corpus, limit) if corpus else None
    return found


def bench(
    kernels: Sequence[str] = (),
    boards: Sequence[str] = (),
    picture: Path | None = None,
    progress: Count | None = None,
) -> tuple[list[KernelRow], list[ModelRow]]:
    """Measure kernels (all without names) on emulated boards, ours beside CMSIS-NN's; write an SVG.

    Without names of kernels the shipped models are measured too.
    """
    from tinydsn.bench import bench as measure
    from tinydsn.bench.catalog import cases
    from tinydsn.bench.measure import BOARDS, choose
    from tinydsn.bench.picture import draw
    from tinydsn.codegen.board import load_board

    if picture is not None:
        check_output(picture)
    chosen = [load_board(name) for name in boards or BOARDS]
    rows = measure(choose(cases(), kernels), chosen, progress)
    if picture is not None:
        write_atomically(picture, draw(rows).encode())
    if kernels:
        return rows, []
    from tinydsn.workflow.benchmarks import bench_models

    return rows, bench_models([board.name for board in chosen], progress)


def export(
    model: str, to: str, output: Path, gates: str | None = None, bits: str = "equal"
) -> dict[str, Any]:
    """Write a model's streaming step as a ``.tflite`` file; see `tinydsn.workflow.export.export`."""
    from tinydsn.workflow.export import export as work

    return work(model, to, output, gates, bits)


def import_tflite(source: Path, output: Path) -> dict[str, Any]:
    """Write a quantized ``.tflite`` file as an integer graph; see `tinydsn.workflow.importing`."""
    from tinydsn.workflow.importing import import_tflite as work

    return work(source, output)


def compare_memory(board: str, progress: Count | None = None) -> list[MemoryRow]:
    """Flash and RAM of the shipped networks on a board, ours beside TFLite-Micro's."""
    from tinydsn.workflow.export_memory import compare_memory as work

    return work(board, progress)


def boards() -> dict[str, Any]:
    """Every board: core, memory, clock, emulator."""
    from tinydsn.codegen.board import board_names, load_board

    return {"boards": [load_board(name).describe() for name in board_names()]}


def ops(
    board: str | None = None, measure: bool = False, complete: bool = True, progress: Count | None = None
) -> dict[str, Any]:
    """The table of supported operators, with the sentences of their constraints.

    With ``board`` also kernels and their measured costs; ``measure``: what the cache does not hold.
    ``complete``: every measurement, as ``--json`` prints them.
    """
    from quant.ops.listing import describe

    rows = describe()
    if board is None:
        if measure:
            raise ConfigError("--measure needs --board NAME (see `tinydsn boards`)")
        return {"operators": rows}
    from tinydsn.workflow.kernel_costs import with_kernels

    return with_kernels(rows, board, measure, complete, progress)


def profile(
    model: str,
    board: str,
    wav: Path | None = None,
    gates: str = "learned",
    frames: int = 400,
    output: Path | None = None,
    complete: bool = True,
    progress: Say | None = None,
) -> dict[str, Any]:
    """What a frame of ``model`` costs on an emulated board, by cause; ``output``: a page or a picture.

    ``complete``: all rows, as ``--json`` prints them; otherwise the tables of the terminal.
    """
    from quant.gates import parse_pattern
    from quant.reference import hop_of
    from tinydsn import profiling
    from tinydsn.audio.files import read_wav
    from tinydsn.codegen.board import load_board
    from tinydsn.profiling.page import check_path
    from tinydsn.workflow.firmware import build_firmware
    from tinydsn.workflow.models import load_model

    pattern = parse_pattern(gates)
    profiling.require_counts(load_board(board))
    if output is not None:
        check_path(output)
        check_output(output)
    found = load_model(model)
    rate = found.graph.frontend.sample_rate if found.graph.frontend else 16000
    samples = frames * hop_of(found.graph)
    pcm = profiling.speech_like(samples, rate) if wav is None else read_wav(wav, rate)[:samples]
    signal = profiling.signal.DESCRIPTION if wav is None else str(wav)
    with tempfile.TemporaryDirectory() as folder:
        firmware = build_firmware(found, board, Path(folder) / "project")
        if progress:
            progress(f"running {len(pcm) / rate:.1f} s of audio on {board}, gates {gates}, min and max")
        made = profiling.profile_firmware(firmware, pcm, [pattern], signal)
    if output is not None:
        profiling.write_page(made, output)
    written = {} if output is None else {"profile": str(output)}
    return {**(profiling.as_json(made) if complete else profiling.tables(made)), **written}


def report(run_dir: Path, search: Path | None = None) -> dict[str, Any]:
    """Write the HTML page of a finished run again from what it left on disk, with the front of a search."""
    from tinydsn.workflow.run_report import write_run_report

    return {"report": str(write_run_report(run_dir, search))}


def demo(wav: Path | None, snr: float, output: Path, progress: Say | None = None) -> dict[str, Any]:
    """The whole way from a shipped checkpoint to verified firmware and a report."""
    from tinydsn.workflow.demonstration import demonstrate

    return demonstrate(wav, snr, output, progress)
