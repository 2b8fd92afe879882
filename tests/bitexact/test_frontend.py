"""The front end's C, compiled for the host under sanitizers, equals its NumPy reference bit for bit."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import jinja2
import numpy as np
import pytest

from quant.frontend import FrontEnd
from quant.frontend.reference import FrontEndReference
from quant.frontend.tables import c_tables, front_end_memory

RUNTIME = Path(__file__).resolve().parents[2] / "firmware_templates" / "runtime"
SANITIZE = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")
SEED = 20240607

# Reads hop after hop: PCM, then the mask; writes the features, then the output.
HARNESS = r"""
#include <stdio.h>
#include <stdlib.h>
#include "tinydsn_frontend.h"

int main(void)
{
    tinydsn_frontend_t *state = malloc(sizeof *state);
    int32_t *spectrum = malloc(TINYDSN_FRONTEND_SPECTRUM_BYTES);
    int16_t *pcm = malloc(TINYDSN_FRONTEND_HOP * sizeof *pcm);
    int16_t *bins = malloc(TINYDSN_FRONTEND_BINS * sizeof *bins);
    printf("%zu\n", sizeof *state);
    tinydsn_frontend_reset(state);
    while (fread(pcm, sizeof *pcm, TINYDSN_FRONTEND_HOP, stdin) == TINYDSN_FRONTEND_HOP) {
        tinydsn_frontend_analysis(state, pcm, bins, spectrum);
        fwrite(bins, sizeof *bins, TINYDSN_FRONTEND_BINS, stdout);
        if (fread(bins, sizeof *bins, TINYDSN_FRONTEND_BINS, stdin) != TINYDSN_FRONTEND_BINS) {
            return 1;
        }
        tinydsn_frontend_synthesis(state, bins, pcm, spectrum);
        fwrite(pcm, sizeof *pcm, TINYDSN_FRONTEND_HOP, stdout);
    }
    free(state);
    free(spectrum);
    free(pcm);
    free(bins);
    return 0;
}
"""

CONFIGS = {
    "profile-a": FrontEnd(),
    "with-nyquist": FrontEnd(bins=257),
    "radix-4-by-2": FrontEnd(window=256, hop=128, bins=128, compression=0.5),
    "overlap-4": FrontEnd(window=1024, hop=256, bins=513),
    "overlap-8": FrontEnd(window=512, hop=64, bins=256, compression=0.05, feature_fraction_bits=14),
    "shortest": FrontEnd(window=32, hop=16, bins=17, compression=1.0, feature_fraction_bits=15),
    "longest": FrontEnd(window=8192, hop=4096, bins=4097, compression=1.0, feature_fraction_bits=0),
}


@lru_cache(maxsize=1)
def compiler() -> str:
    found = shutil.which("gcc")
    if not found:
        pytest.skip("gcc not found")
    return found


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def build(config: FrontEnd, folder: Path) -> Path:
    """The harness with the front end of ``config``, strict warnings and sanitizers on."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    for suffix in ("c", "h"):
        template = (RUNTIME / f"tinydsn_frontend_tables.{suffix}.j2").read_text()
        text = environment.from_string(template).render(**c_tables(config))
        (folder / f"tinydsn_frontend_tables.{suffix}").write_text(text)
    (folder / "main.c").write_text(HARNESS)
    sources = [folder / "main.c", folder / "tinydsn_frontend_tables.c"]
    sources += sorted(RUNTIME.glob("tinydsn_frontend*.c"))
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *SANITIZE]
    includes = [f"-I{folder}", f"-I{RUNTIME}"]
    program = folder / "frontend"
    run([compiler(), *flags, *includes, *map(str, sources), "-o", str(program)])
    return program


def signal(frames: int, hop: int, rng: np.random.Generator) -> np.ndarray:
    """int16 [frames, hop]: voiced bursts in noise from full scale down to silence, then the hard cases."""
    time = np.arange(frames * hop)
    pitch = np.cumsum(0.05 + 0.01 * np.sin(time / 3000))
    voice = sum(np.sin(k * pitch) / k for k in range(1, 20)) * (np.sin(time / 5000) > 0)
    level = 10 ** (-4.8 * np.repeat(rng.random(frames), hop))
    noise = rng.standard_normal(len(time))
    pcm = np.clip(np.round(32768 * level * (voice + 0.3 * noise)), -32768, 32767).astype(np.int16)
    pcm = pcm.reshape(frames, hop)
    square = np.where(np.arange(hop) // 8 % 2, 32767, -32768)
    impulse = (np.arange(hop) == hop // 3) * 32767
    hard = [
        0,
        0,
        1,
        -1,
        -32768,
        -32768,
        -32768,
        32767,
        32767,
        square,
        square,
        -square - 1,
        0,
        0,
        impulse,
        0,
        -impulse,
    ]
    for index, value in enumerate(hard):
        pcm[5 + index] = value
    pcm[5 + len(hard) : 9 + len(hard)] = rng.choice([-32768, 32767], (4, hop))
    return pcm


def masks(frames: int, bins: int, rng: np.random.Generator) -> np.ndarray:
    """int16 [frames, bins]: all gains, open, closed, tiny and (out of contract) negative frames too."""
    values = rng.integers(0, 32768, (frames, bins))
    values[::7] = 32767
    values[3::11] = 0
    values[4::13] = rng.integers(0, 3, values[4::13].shape)
    values[6::17] = rng.integers(-32768, 32768, values[6::17].shape)
    values[9::23] = -32768
    return values.astype(np.int16)


@pytest.mark.parametrize("name", CONFIGS)
def test_c_equals_reference(name: str, tmp_path: Path) -> None:
    config = CONFIGS[name]
    program = build(config, tmp_path)
    rng = np.random.default_rng(SEED)
    frames = 600 if name == "profile-a" else 150
    pcm, mask = signal(frames, config.hop, rng), masks(frames, config.bins, rng)
    data = np.concatenate([pcm, mask], axis=1).tobytes()
    done = subprocess.run([str(program)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    head, _, body = done.stdout.partition(b"\n")
    assert int(head) == front_end_memory(config).state
    got = np.frombuffer(body, dtype=np.int16).reshape(frames, config.bins + config.hop)
    reference = FrontEndReference(config)
    for t in range(frames):
        features, out = reference.analysis(pcm[t]), reference.synthesis(mask[t])
        differing = np.flatnonzero(got[t] != np.concatenate([features, out]))
        assert differing.size == 0, f"frame {t}, seed {SEED}: first difference at {differing[0]}"
