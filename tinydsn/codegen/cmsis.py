"""Where the CMSIS-NN sources are, and how they get there.

They are not copied into this repository. They are fetched from the Python package index, where they ship
inside a package, by pinned version and checked SHA-256; or the user names a checkout with ``CMSIS_NN_ROOT``.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from quant.errors import MissingTool, ToolchainError
from tinydsn.cache import cache_dir, locked, scratch_beside


@dataclass(frozen=True)
class SourceArchive:
    """One package of the Python index that carries C sources.

    ``prefix`` is the folder inside the archive that becomes the source root; of it only the sub-folders
    ``folders`` and the ``licence`` (a path in the archive) are unpacked. ``marker`` is a file that
    every usable source root has, the user's own included.
    """

    title: str
    requirement: str
    file_name: str
    sha256: str
    prefix: str
    folders: tuple[str, ...]
    licence: str
    marker: str
    environment: str

    @property
    def cached_root(self) -> Path:
        """The folder in the cache; its name holds the hash, so that a new pin never meets an old tree."""
        name, version = self.requirement.split("==")
        return cache_dir() / "sources" / f"{name}-{version}-{self.sha256[:12]}"


CMSIS_NN = SourceArchive(
    title="CMSIS-NN",
    requirement="aidge-export-arm-cortexm==0.2.1",
    file_name="aidge_export_arm_cortexm-0.2.1-py3-none-any.whl",
    sha256="0ea6a694b8c1397bf52158c27854bbd4ddfca433ed4cf06a4c92843b480acbf0",
    prefix="aidge_export_arm_cortexm/_CMSIS-NN/CMSIS-NN",
    folders=("Include", "Source"),
    licence="aidge_export_arm_cortexm-0.2.1.dist-info/licenses/LICENSE",
    marker="Include/arm_nnfunctions.h",
    environment="CMSIS_NN_ROOT",
)


def cmsis_nn_root() -> Path:
    """The folder with CMSIS-NN's ``Include`` and ``Source``: ``$CMSIS_NN_ROOT``, else the cache.

    Raises MissingTool when there is neither.
    """
    return _root(CMSIS_NN)


def cmsis_nn_version() -> str:
    """The revision that the header of CMSIS-NN states, such as "V.12.5.1"; raises ToolchainError."""
    header = (cmsis_nn_root() / CMSIS_NN.marker).read_text(encoding="utf-8", errors="replace")
    found = re.search(r"\$Revision:\s*(\S+)", header)
    return found.group(1) if found else "unknown"


def fetch_cmsis() -> Path:
    """Download and unpack the pinned sources unless they are in the cache; the root of CMSIS-NN.

    Needs the network only on the first call. Raises ToolchainError when a download fails or its hash is
    wrong; a failed call leaves the cache as it was.
    """
    return _fetch(CMSIS_NN)


def install_archive(archive: SourceArchive, packed: Path) -> Path:
    """Check ``packed`` against the archive's SHA-256 and unpack it into the cache; the source root."""
    _check_hash(archive, packed)
    root = archive.cached_root
    with scratch_beside(root) as scratch:
        tree = scratch / "tree"
        for name, data in _members(packed):
            wanted = _target_path(archive, name)
            if wanted is not None:
                path = tree / wanted
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        if not (tree / archive.marker).is_file():
            raise ToolchainError(f"{archive.file_name} holds no {archive.prefix}/{archive.marker}")
        os.replace(tree, root)
    return root


def _root(archive: SourceArchive) -> Path:
    chosen = os.environ.get(archive.environment)
    if chosen:
        root = Path(chosen).expanduser().absolute()
        if not (root / archive.marker).is_file() or not (root / "Source").is_dir():
            raise ToolchainError(
                f"{archive.environment}={chosen} is no {archive.title} source tree: it must hold "
                f"{archive.marker} and Source/"
            )
        return root
    if not (archive.cached_root / archive.marker).is_file():
        raise MissingTool(
            f"the {archive.title} sources are not on this machine; run `tinydsn doctor --fix` (or `make "
            f"setup`), or set {archive.environment} to a checkout"
        )
    return archive.cached_root


def _fetch(archive: SourceArchive) -> Path:
    root = archive.cached_root
    with locked(root):
        if (root / archive.marker).is_file():
            return root
        with scratch_beside(root) as scratch:
            return install_archive(archive, _download(archive, scratch))


def _download(archive: SourceArchive, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--dest", str(folder), archive.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    packed = folder / archive.file_name
    if done.returncode != 0 or not packed.is_file():
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no file came"]
        raise ToolchainError(
            f"cannot download {archive.requirement} with pip ({lines[-1]}); check the network, or set "
            f"{archive.environment} to a checkout of {archive.title}"
        )
    return packed


def _check_hash(archive: SourceArchive, packed: Path) -> None:
    found = hashlib.sha256(packed.read_bytes()).hexdigest()
    if found != archive.sha256:
        raise ToolchainError(
            f"{archive.file_name} has SHA-256 {found}, expected {archive.sha256}; the download is damaged or "
            f"was replaced: delete it and try again, or set {archive.environment}"
        )


def _members(packed: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file of a wheel."""
    with zipfile.ZipFile(packed) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, archive.read(info)


def _target_path(archive: SourceArchive, name: str) -> PurePosixPath | None:
    """Where a member goes below the source root; None when it is not needed or would leave the root."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        return None
    if name == archive.licence:
        return PurePosixPath("LICENSE")
    if not path.is_relative_to(archive.prefix):
        return None
    inner = path.relative_to(archive.prefix)
    return inner if len(inner.parts) > 1 and inner.parts[0] in archive.folders else None
