"""Fetching the CMSIS sources: pinned hash, only what is needed, nothing outside the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from quant.errors import ToolchainError
from tinydsn.codegen import cmsis
from tinydsn.codegen.cmsis import CMSIS_NN, SourceArchive, install_archive

NN_MEMBERS = {
    f"{CMSIS_NN.prefix}/Include/arm_nnfunctions.h": b"/* $Revision:    V.1.2.3 */",
    f"{CMSIS_NN.prefix}/Source/Deep/er/a.c": b"int a;",
    f"{CMSIS_NN.prefix}/Tests/huge.c": b"not needed",
    f"{CMSIS_NN.prefix}/README.md": b"not needed",
    f"{CMSIS_NN.prefix}/Source/../../../../../evil.c": b"escaped",
    "/absolute/evil.c": b"escaped",
    CMSIS_NN.licence: b"the license",
}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CMSIS_NN_ROOT", raising=False)
    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pinned(archive: SourceArchive, packed: Path) -> SourceArchive:
    """The archive with the hash of a file made here."""
    return dataclasses.replace(archive, sha256=hashlib.sha256(packed.read_bytes()).hexdigest())


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / CMSIS_NN.file_name
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_wheel_is_unpacked_to_what_is_needed(tmp_path: Path, empty_cache: Path) -> None:
    packed = wheel(tmp_path, NN_MEMBERS)
    root = install_archive(pinned(CMSIS_NN, packed), packed)
    assert files_below(root) == ["Include/arm_nnfunctions.h", "LICENSE", "Source/Deep/er/a.c"]
    assert root.parent == empty_cache / "sources"
    assert [path.name for path in root.parent.iterdir()] == [root.name]
    assert list(tmp_path.rglob("evil.c")) == []


def test_wrong_hash_is_refused(tmp_path: Path, empty_cache: Path) -> None:
    packed = wheel(tmp_path, NN_MEMBERS)
    found = hashlib.sha256(packed.read_bytes()).hexdigest()
    with pytest.raises(ToolchainError) as caught:
        install_archive(CMSIS_NN, packed)
    assert str(caught.value) == (
        f"{CMSIS_NN.file_name} has SHA-256 {found}, expected {CMSIS_NN.sha256}; the download is damaged or "
        "was replaced: delete it and try again, or set CMSIS_NN_ROOT"
    )
    assert not empty_cache.exists()


def test_archive_without_the_sources_leaves_nothing(tmp_path: Path, empty_cache: Path) -> None:
    packed = wheel(tmp_path, {"other.txt": b"?"})
    with pytest.raises(ToolchainError, match=f"{CMSIS_NN.file_name} holds no {CMSIS_NN.prefix}/Include/"):
        install_archive(pinned(CMSIS_NN, packed), packed)
    assert list((empty_cache / "sources").iterdir()) == []


def test_missing_sources_say_how_to_get_them() -> None:
    with pytest.raises(ToolchainError) as caught:
        cmsis.cmsis_nn_root()
    assert str(caught.value) == (
        "the CMSIS-NN sources are not on this machine; run `tinydsn doctor --fix` (or `make setup`), or set "
        "CMSIS_NN_ROOT to a checkout"
    )


def test_a_root_of_the_user_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMSIS_NN_ROOT", str(tmp_path))
    with pytest.raises(ToolchainError) as caught:
        cmsis.cmsis_nn_root()
    assert str(caught.value) == (
        f"CMSIS_NN_ROOT={tmp_path} is no CMSIS-NN source tree: it must hold Include/arm_nnfunctions.h and "
        "Source/"
    )
    (tmp_path / "Include").mkdir()
    (tmp_path / "Source").mkdir()
    (tmp_path / "Include/arm_nnfunctions.h").write_text("* $Revision:    V.19.0.0\n")
    assert cmsis.cmsis_nn_root() == tmp_path
    assert cmsis.cmsis_nn_version() == "V.19.0.0"


def test_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    """pip without an index: the message of pip's last error, and no folder left."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(ToolchainError) as caught:
        cmsis.fetch_cmsis()
    assert str(caught.value) == (
        "cannot download aidge-export-arm-cortexm==0.2.1 with pip (ERROR: No matching distribution found for "
        "aidge-export-arm-cortexm==0.2.1); check the network, or set CMSIS_NN_ROOT to a checkout of CMSIS-NN"
    )
    assert [path.suffix for path in (empty_cache / "sources").iterdir()] == [".lock"]


def test_cached_sources_need_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    marker = CMSIS_NN.cached_root / CMSIS_NN.marker
    marker.parent.mkdir(parents=True)
    marker.write_text("")

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("pip was called")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert cmsis.fetch_cmsis() == CMSIS_NN.cached_root
