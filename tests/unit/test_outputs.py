"""Outputs are whole or not there: folders, devices, a full disk."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from quant.errors import ConfigError
from quant.model_file import check_output, write_atomically
from tinydsn.cli import invoke


@pytest.mark.parametrize("name", [".", "/dev/null", "there/below/x", "there"])
def test_what_cannot_be_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("a file")
    if name == "there":
        return check_output(Path(name))
    messages = {
        ".": ".: is a folder (name the file to write)",
        "/dev/null": "/dev/null: is no file but a device or a pipe (name the file to write)",
        "there/below/x": f"there/below/x: cannot be written (Not a directory: {tmp_path / 'there'})",
    }
    for refuse in (check_output, lambda path: write_atomically(path, b"x")):
        with pytest.raises(ConfigError) as caught:
            refuse(Path(name))
        assert str(caught.value) == messages[name]
    assert Path("/dev/null").is_char_device()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.tdsn"
    path.write_bytes(b"before")
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, kept[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_atomically(path, bytes(9999))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert os.listdir(tmp_path) == ["model.tdsn"] and path.read_bytes() == b"before"


@pytest.mark.parametrize(
    "command",
    [
        "quantize dsn-s --calibration . -o .",
        "run dsn-s --board host --wav a.wav --out .",
        "export dsn-s --gates max -o x.tflite",
        "profile dsn-s --board mps2-an386 -o x.html",
        "bench --picture .",
    ],
)
def test_verbs_refuse_before_they_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.tflite", "x.html"):
        (tmp_path / name).mkdir()
    assert invoke(command.split()) == 2
    assert capsys.readouterr().err.endswith(": is a folder (name the file to write)\n")
