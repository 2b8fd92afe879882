"""The cache folder: downloaded sources, built libraries and voice prompts, shared by all checkouts.

Lies below every other part of tinydsn and imports none of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def cache_dir() -> Path:
    """The folder for everything that can be fetched or built again: ``$TINYDSN_CACHE`` or ~/.cache/tinydsn.

    The folder is not created here.
    """
    chosen = os.environ.get("TINYDSN_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".cache" / "tinydsn"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file beside ``path`` (``path`` + ".lock"), waiting for other processes that hold it.

    The lock is advisory and ends with the process, so that a killed build leaves nothing to clean up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as ``path``, removed at the end.

    What is made in it is published by ``os.replace``, which is atomic only within one file system.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
