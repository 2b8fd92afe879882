"""A made-up but realistic run for the tests of the report: speech-like sound, gates, counts, a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinydsn.report import (
    Memory,
    OperatorRow,
    PatternRow,
    PlanRow,
    ReportData,
    SearchFront,
    SearchPoint,
    StateRow,
)

RATE, HOP = 16000, 256
GATES = ("encoder", "attention", "recurrence", "feedforward", "decoder")
STATIC, COSTS = 92_000, np.array([61_000, 48_000, 74_000, 22_000, 39_000])
PARTS = (
    ("policy.gru", "fully_connected", "", "16", 1_800),
    ("first.conv", "convolution", "", "1x64x8", 5_120),
    ("encoder.static.conv", "convolution", "", "1x16x24", 18_432),
    ("encoder.gated.conv", "convolution", "encoder", "1x16x24", 36_864),
    ("attention.static.query", "fully_connected", "", "16x8", 3_072),
    ("attention.gated.query", "fully_connected", "attention", "16x8", 3_072),
    ("attention.gated.scores", "batch_matmul", "attention", "2x16x16", 2_048),
    ("attention.gated.softmax", "softmax", "attention", "2x16x16", 0),
    ("attention.gated.norm", "layer_norm", "attention", "16x24", 0),
    ("recurrence.static.input", "fully_connected", "", "16x48", 18_432),
    ("recurrence.gated.input", "fully_connected", "recurrence", "16x48", 18_432),
    ("recurrence.gated.update", "gru_update", "recurrence", "16x16", 768),
    ("feedforward.gated.up", "fully_connected", "feedforward", "16x16", 6_144),
    ("decoder.static.conv", "transpose_convolution", "", "1x32x8", 9_216),
    ("decoder.gated.conv", "transpose_convolution", "decoder", "1x32x8", 9_216),
    ("last.conv", "convolution", "", "1x64x4", 6_144),
    ("mask.sigmoid", "logistic", "", "256", 0),
)


def voice(seconds: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Speech-like float samples in [-1, 1), and the envelope of its syllables."""
    count = int(seconds * RATE)
    time = np.arange(count) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.4 * time) + 12 * np.sin(2 * np.pi * 2.3 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    syllables = np.clip(np.sin(2 * np.pi * 1.9 * time + 1.5 * np.sin(2 * np.pi * 0.31 * time)), 0, 1)
    phrase = (np.sin(2 * np.pi * time / 4.1 + 0.6) > -0.35).astype(float)
    envelope = syllables**0.7 * np.convolve(phrase, np.hanning(801) / 400, "same")
    sound = np.zeros(count)
    for harmonic in range(1, 36):
        formant = 550 + 240 * np.sin(2 * np.pi * 0.9 * time), 1500 + 500 * np.sin(2 * np.pi * 0.63 * time)
        gain = sum(np.exp(-(((harmonic * pitch - centre) / 170) ** 2)) for centre in formant)
        sound += (gain + 0.15 / harmonic) * np.sin(harmonic * phase)
    consonants = np.clip(np.sin(2 * np.pi * 1.9 * time - 2.2), 0, 1) ** 8 * phrase
    sound = 0.12 * sound * envelope + 0.02 * np.diff(random.standard_normal(count + 1)) * consonants
    return np.clip(sound, -0.99, 0.99), envelope


def example(seconds: float = 12.0, **changes: Any) -> ReportData:
    """The whole run; ``changes`` replace fields."""
    random = np.random.default_rng(7)
    clean, envelope = voice(seconds, random)
    fan = np.convolve(random.standard_normal(len(clean)), np.hanning(33) / 16, "same")
    noise = 0.02 * fan + 0.006 * random.standard_normal(len(clean))
    noise += 0.012 * np.sin(2 * np.pi * 100 * np.arange(len(clean)) / RATE)
    frames = len(clean) // HOP
    energy = envelope[: frames * HOP].reshape(frames, HOP).mean(axis=1)
    thresholds = np.array([0.05, 0.25, 0.12, 0.4, 0.08])
    gates = energy[:, None] + 0.05 * random.standard_normal((frames, 5)) > thresholds
    counts = (STATIC + gates @ COSTS + random.integers(0, 900, frames)).astype(np.uint32)
    data = ReportData(
        title="DSN-S on an emulated Cortex-M4",
        model_name="dsn-s",
        model_sha256="5f" * 32,
        board="mps2-an386",
        sample_rate=RATE,
        hop=HOP,
        clock_hz=25_000_000,
        noisy=_pcm(clean + noise),
        enhanced=_pcm(0.97 * clean + 0.18 * noise),
        clean=_pcm(clean),
        gates=gates,
        gate_names=GATES,
        instructions=counts,
        patterns=patterns(counts),
        operators=operators(gates),
        memory=Memory(186_432, 31_780, 1_912, 121_300, 27_648, plan(), 4_194_304, 4_194_304),
        results=results(frames),
        toolchain={
            "cc": "arm-none-eabi-gcc 12.2.1",
            "qemu": "7.2.17",
            "cmsis_nn": "v7.0.0",
            "flags": "-O3 -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard -ffunction-sections",
            "python": "3.11.2",
            "tinydsn": "0.1.0",
        },
        metrics={"SI-SDR": (4.98, 11.62), "SIG": (3.12, 3.28), "BAK": (2.41, 3.77), "OVRL": (2.31, 2.94)},
        notes=("The noise is generated: fan, hum and hiss at 5 dB.",),
        states=(StateRow("recurrence.cell.h", 16, 1024), StateRow("attention.cell.h", 8, 512)),
        search=search(),
    )
    return replace(data, **changes)


def patterns(counts: np.ndarray) -> tuple[PatternRow, ...]:
    every = int(STATIC + COSTS.sum())
    ordered = np.sort(counts)
    learned = PatternRow(
        "learned", int(ordered[0]), float(counts.mean()), int(ordered[-len(ordered) // 100]), int(ordered[-1])
    )
    return (
        learned,
        PatternRow("min", STATIC, STATIC + 400.0, STATIC + 880, STATIC + 899),
        PatternRow("max", every, every + 450.0, every + 880, every + 899),
        PatternRow("cycle", STATIC + 87_000, STATIC + 122_000.5, STATIC + 157_000, STATIC + 157_800),
    )


def operators(gates: np.ndarray) -> tuple[OperatorRow, ...]:
    used = dict(zip(GATES, gates.mean(axis=0), strict=True))
    cost = [2_100 + 4.3 * macs + 9 * len(name) for name, _, _, _, macs in PARTS]
    spent = [value * used.get(part[2], 1.0) for value, part in zip(cost, PARTS, strict=True)]
    return tuple(
        OperatorRow(
            name=name,
            kind=kind,
            region=region,
            shape=shape,
            macs=macs,
            instructions=cost[index],
            share=spent[index] / sum(spent),
            weight_bits=8 if macs else None,
            activation_bits=16,
            source=f"dsn.py:{120 + 7 * index}",
            weights=macs // 4,
            patterns={
                "learned": spent[index],
                "min": 0.0 if region else cost[index],
                "max": cost[index],
            },
        )
        for index, (name, kind, region, shape, macs) in enumerate(PARTS)
    )


def search() -> SearchFront:
    points = [
        SearchPoint("", 1.2 / (1 + k) - 0.1, 9_000 + 900 * k, 210_000 + 4_000.5 * (k % 5), k == 3,
                    {"first.weight": 3 + k % 6, "second.weight": 8, "first": 8 + 8 * (k % 2)})
        for k in range(12)
    ]  # fmt: skip
    points[0] = replace(points[0], loss=40.0)
    presets = tuple(
        SearchPoint(name, loss, flash, 250_000.0, False, {})
        for name, loss, flash in (("w4a8", 0.7, 11_000), ("w8a16", 0.01, 20_000))
    )
    return SearchFront("dsn-s", "mps2-an386", "si-sdr", 480, tuple(points), presets)


def plan() -> tuple[PlanRow, ...]:
    sizes = (512, 1024, 2048, 768, 768, 256, 1024, 1024, 768, 1536, 1536, 512, 512, 1024, 1024, 1024, 512)
    rows: list[PlanRow] = []
    for index, (part, count) in enumerate(zip(PARTS, sizes, strict=True)):
        last = min(index + (5 if index in (1, 2) else 2), len(PARTS) - 1)
        live = sorted((row.offset, row.bytes) for row in rows if row.last >= index)
        offset = 0
        for start, taken in live:
            if offset + count <= start:
                break
            offset = max(offset, start + taken)
        rows.append(PlanRow(f"{part[0]}.out", offset, count, index, last))
    return tuple(rows)


def results(frames: int) -> list[dict[str, Any]]:
    rows = []
    for number, board in enumerate(("host", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547")):
        for pattern in ("learned", "min", "max", "cycle"):
            counts = {"min": 92_000, "mean": 241_000 + number, "p99": 335_000, "max": 336_800}
            rows.append(cell(board, pattern, frames, None if board == "host" else counts))
    return rows


def cell(board: str, pattern: str, frames: int, instructions: dict[str, int] | None) -> dict[str, Any]:
    return {
        "board": board,
        "gates": pattern,
        "status": "equal",
        "reason": "",
        "frames": frames,
        "samples": frames * HOP,
        "differing_samples": 0,
        "differing_gates": 0,
        "first_difference": None,
        "instructions": instructions,
    }


def _pcm(wave: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)
