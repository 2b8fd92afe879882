"""A real voice for the demo: recorded telephone prompts at 16 kHz.

No speech is part of this repository. Debian's ``asterisk-core-sounds-en-g722`` holds some five hundred
prompts read by one speaker (Allison Smith, CC-BY-SA 3.0), coded with G.722 at 16 kHz. An installed
copy is used when there is one; else the package is unpacked into the cache, which needs no root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from quant.errors import AudioError
from tinydsn.cache import cache_dir, locked, scratch_beside

if TYPE_CHECKING:
    import numpy as np

PACKAGE = "asterisk-core-sounds-en-g722"
VERSION = "1.6.1-1"
"""The version that was tried; another one is taken when the package archive has no longer this one."""

CREDIT = "Prompts: Asterisk core sounds (English), read by Allison Smith, CC-BY-SA 3.0"

SAMPLE_RATE = 16000
G722_BYTES_PER_SECOND = 8000

PROMPT_SECONDS = (2.0, 9.0)
"""Shorter ones are single words; longer ones are few."""

# Sound effects among the prompts.
NO_SPEECH = ("silence/", "beep", "tone", "monkeys", "weasels")

ENGLISH = "en"

INSTALLED = Path("/usr/share/asterisk/sounds")
"""Where the package, and Asterisk itself, put one folder a speaker."""


def find_prompts() -> Path | None:
    """The folder of an installed or cached copy, the English one first; None when there is none."""
    for root in (_cached_root(), INSTALLED):
        folders = [path for path in sorted(root.glob("*")) if path.is_dir() and prompt_files(path)]
        if folders:
            return min(folders, key=lambda path: not path.name.startswith(ENGLISH))
    return None


def fetch_prompts() -> Path:
    """The folder of ``find_prompts()``; without one the Debian package is downloaded into the cache.

    Raises AudioError when it cannot be had.
    """
    found = find_prompts()
    if found is not None:
        return found
    root = _cached_root()
    with locked(root):
        found = find_prompts()
        if found is None:
            _download(root)
            found = find_prompts()
    if found is None:
        raise AudioError(f"the package {PACKAGE} holds no prompts; give a recording of your own with --wav")
    return found


def prompt_files(folder: Path) -> tuple[Path, ...]:
    """The prompts that are whole sentences, in an order that is mixed but always the same."""
    shortest, longest = (seconds * G722_BYTES_PER_SECOND for seconds in PROMPT_SECONDS)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.g722")]
    spoken = [name for name in names if not any(mark in name for mark in NO_SPEECH)]
    # By the hash of the name: neighbours in the alphabet say nearly the same.
    spoken.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    return tuple(folder / name for name in spoken if shortest <= (folder / name).stat().st_size <= longest)


def read_prompts(seconds: float, pause: float = 0.4) -> np.ndarray:
    """Prompts joined with ``pause`` seconds of silence: int16 at 16 kHz, shape [round(seconds * 16000)].

    The same request gives the same samples; a request longer than all prompts starts over. Raises
    AudioError when there is no voice to be had or nothing to decode it with.
    """
    import numpy as np

    length = round(seconds * SAMPLE_RATE)
    if length <= 0:
        raise AudioError(f"cannot make {seconds} seconds of speech (must be more than 0)")
    files = prompt_files(fetch_prompts())
    silence = np.zeros(round(pause * SAMPLE_RATE), dtype=np.int16)
    parts: list[np.ndarray] = []
    total = 0
    while total < length:
        parts += [silence, decode(files[(len(parts) // 2) % len(files)])]
        total += len(parts[-1]) + len(silence)
    return np.concatenate(parts)[:length]


def decode(path: Path) -> np.ndarray:
    """One G.722 file as int16 samples at 16 kHz; raises AudioError."""
    import numpy as np

    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise AudioError(
            "decoding the voice prompts needs ffmpeg; install it: apt-get install ffmpeg, or give a "
            "recording of your own with --wav"
        )
    command = [ffmpeg, "-nostdin", "-v", "error", "-f", "g722", "-i", str(path)]
    command += ["-f", "s16le", "-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        lines = done.stderr.decode(errors="replace").splitlines() or ["no samples"]
        raise AudioError(f"{path}: ffmpeg cannot decode it ({lines[-1]}); give another recording with --wav")
    return np.frombuffer(done.stdout, dtype="<i2").astype(np.int16)


def _cached_root() -> Path:
    return cache_dir() / "voices" / PACKAGE


def _download(root: Path) -> None:
    """Fetch the Debian package (apt checks its signature) and unpack it without installing it."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise AudioError(
                f"the demo's voice comes from the Debian package {PACKAGE}, and {tool} is not on this "
                "machine; give a recording of your own with --wav"
            )
    with scratch_beside(root) as scratch:
        for name in (f"{PACKAGE}={VERSION}", PACKAGE):
            command = ["apt-get", "download", name]
            done = subprocess.run(command, cwd=scratch, capture_output=True, check=False)
            if done.returncode == 0:
                break
        packages = sorted(scratch.glob("*.deb"))
        if not packages:
            lines = done.stderr.decode(errors="replace").splitlines() or ["no file came"]
            raise AudioError(
                f"cannot fetch the Debian package {PACKAGE} ({lines[-1].strip()}); try apt-get update, or "
                "give a recording of your own with --wav"
            )
        tree = scratch / "tree"
        unpack = ["dpkg-deb", "-x", str(packages[0]), str(tree)]
        done = subprocess.run(unpack, capture_output=True, check=False)
        if done.returncode != 0:
            raise AudioError(f"{packages[0].name} is damaged; give a recording of your own with --wav")
        sounds = tree / "usr/share/asterisk/sounds"
        shutil.copy(tree / "usr/share/doc" / PACKAGE / "copyright", sounds / "copyright")
        os.replace(sounds, root)
