"""``tinydsn demo``: from a shipped checkpoint and a real voice to verified firmware and a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quant.convert import quantize
from quant.errors import ConfigError
from quant.graph import IntegerGraph
from quant.model_file import save
from tinydsn.audio.files import write_wav
from tinydsn.audio.metrics import dnsmos, dnsmos_available, si_sdr
from tinydsn.report import Memory, PatternRow, ReportData, save_data
from tinydsn.workflow.firmware import Firmware, load_share, memory
from tinydsn.workflow.models import Model
from tinydsn.workflow.profile import (
    Counts,
    gate_names,
    instructions_by_operator,
    operator_rows,
    plan_rows,
    state_rows,
)
from tinydsn.workflow.quantization import float_graph, summary
from tinydsn.workflow.run_report import built_with, write_run_report
from tinydsn.workflow.scene import Scene, make_scene
from tinydsn.workflow.verification import Cell, Verification, verify_model

Say = Callable[[str], None]

BOARD = "mps2-an386"
CHECKPOINT = "dsn-s"
PATTERNS = ("learned", "min", "max")


def demonstrate(wav: Path | None, snr: float, output: Path, progress: Say | None = None) -> dict[str, Any]:
    """Run the whole way; everything lands in ``output``. Returns the table that the verb prints."""
    if not -100 <= snr <= 100:
        raise ConfigError(f"--snr {snr:g} (must be a number of dB from -100 to 100)")
    say = progress or (lambda line: None)
    say(f"mixing speech and noise at {snr:g} dB")
    scene = make_scene(wav, snr)
    output.mkdir(parents=True, exist_ok=True)
    write_wav(output / "clean.wav", scene.clean)
    write_wav(output / "noisy.wav", scene.noisy)
    say(f"lowering and quantizing {CHECKPOINT} (w8a16)")
    graph = quantize(float_graph(CHECKPOINT), scene.calibration)
    path = output / f"{CHECKPOINT}.tdsn"
    model = Model(graph, path, save(graph, path))
    say(f"building and running on {BOARD}: {', '.join(PATTERNS)}")
    latency = graph.frontend.latency if graph.frontend else 0
    fed = np.concatenate([scene.noisy, np.zeros(latency, np.int16)])
    result = verify_model(model, fed, [BOARD, "host"], PATTERNS, output / "firmware", say)
    learned = next(cell for cell in result.cells if cell.board == BOARD and cell.pattern == "learned")
    enhanced = result.reference["learned"].pcm if learned.enhanced is None else learned.enhanced
    enhanced = enhanced[latency : latency + len(scene.noisy)]
    write_wav(output / "enhanced.wav", enhanced)
    quality = measure_quality(scene, enhanced)
    say("writing the report")
    page = _write_report(model, result, learned, scene, enhanced, quality, output)
    return _table(graph, result, learned, quality, output, page)


def measure_quality(scene: Scene, enhanced: np.ndarray) -> dict[str, tuple[float, float] | None]:
    """SI-SDR and, where the extra ``metrics`` is installed, DNSMOS: (before, after)."""
    quality: dict[str, tuple[float, float] | None] = {
        "SI-SDR": (si_sdr(scene.noisy, scene.clean), si_sdr(enhanced, scene.clean))
    }
    if not dnsmos_available():
        return quality | {"SIG": None, "BAK": None, "OVRL": None}
    before, after = dnsmos(scene.noisy), dnsmos(enhanced)
    for name in ("SIG", "BAK", "OVRL"):
        quality[name] = (getattr(before, name.lower()), getattr(after, name.lower()))
    return quality


def usage(graph: IntegerGraph, result: Verification) -> dict[str, float]:
    """Share of the frames in which each gate was taken, by the learned policy."""
    shares = np.mean(result.reference["learned"].gates, axis=0)
    return {name: round(float(share), 3) for name, share in zip(gate_names(graph), shares, strict=True)}


def _write_report(
    model: Model,
    result: Verification,
    learned: Cell,
    scene: Scene,
    enhanced: np.ndarray,
    quality: Mapping[str, tuple[float, float] | None],
    output: Path,
) -> Path:
    firmware = result.firmware.get(BOARD)
    patterns = [
        PatternRow(cell.pattern, **cell.result["instructions"])
        for cell in result.cells
        if cell.board == BOARD and cell.result["instructions"]
    ]
    counts = {
        cell.pattern: _counts(firmware, cell)
        for cell in result.cells
        if firmware and cell.board == BOARD and cell.operator_instructions is not None
    }
    front = model.graph.frontend
    frames = -(-len(scene.noisy) // front.hop) if front else 0
    gates = result.reference["learned"].gates
    skip = front.latency // front.hop if front else 0
    data = ReportData(
        title=f"{model.graph.name} on {BOARD}",
        model_name=model.graph.name,
        model_sha256=model.sha256,
        board=BOARD,
        sample_rate=front.sample_rate if front else 16000,
        hop=front.hop if front else 1,
        clock_hz=firmware.board.clock_hz if firmware else None,
        noisy=scene.noisy,
        enhanced=enhanced,
        clean=scene.clean,
        gates=gates[skip : skip + frames],
        gate_names=gate_names(model.graph),
        memory=_memory(firmware, learned.stack),
        instructions=None if learned.instructions is None else learned.instructions[skip : skip + frames],
        patterns=patterns,
        operators=operator_rows(model.graph, counts.get(learned.pattern), counts),
        results=[cell.result for cell in result.cells],
        toolchain=built_with(firmware, {"noisy": scene.noisy, "enhanced": enhanced}),
        metrics=quality,
        notes=[*scene.notes, "Counts are executed instructions in the emulator, not cycles."],
        states=state_rows(model.graph),
    )
    save_data(data, output)
    return write_run_report(output)


def _counts(firmware: Firmware, cell: Cell) -> Counts:
    assert cell.operator_instructions is not None
    functions = firmware.project.design.functions
    return instructions_by_operator(functions, cell.operator_names, cell.operator_instructions)


def _memory(firmware: Firmware | None, stack: int | None) -> Memory:
    if firmware is None:
        return Memory(None, None, None, None, None)
    design = firmware.project.design
    return Memory(
        firmware.built.flash,
        firmware.built.ram,
        stack,
        design.weight_bytes,
        design.context_bytes,
        plan_rows(design),
        firmware.board.flash.size if firmware.board.flash else None,
        firmware.board.ram.size if firmware.board.ram else None,
    )


def _table(
    graph: IntegerGraph,
    result: Verification,
    learned: Cell,
    quality: Mapping[str, tuple[float, float] | None],
    output: Path,
    page: Path,
) -> dict[str, Any]:
    firmware = result.firmware.get(BOARD)
    instructions = learned.result["instructions"]
    return {
        "results": [cell.result for cell in result.cells],
        "model": summary(graph),
        "memory": memory(firmware, learned.stack) if firmware else None,
        "load": load_share(firmware, instructions) if firmware and instructions else None,
        "gate_usage": usage(graph, result),
        "quality": {
            name: "not measured (install tinydsn[metrics])"
            if pair is None
            else f"{pair[0]:.2f} -> {pair[1]:.2f}"
            for name, pair in quality.items()
        },
        "enhanced": str(output / "enhanced.wav"),
        "report": str(page),
    }
