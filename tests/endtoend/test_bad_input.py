"""Wrong input at the command line: exit code 2, one line that names the remedy, and nothing left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from refusals import CORE, HOP, Refused, board_file, needs_emulator

from tinydsn.audio.files import write_wav
from tinydsn.cli import invoke
from tinydsn.codegen.board import board_root, load_board
from tinydsn.workflow.models import load_model, pretrained


def memory_file(folder: Path, flash: int, ram: int) -> Path:
    """The shipped board with other amounts of memory, in bytes."""
    path = board_file(folder, stack_bytes="1_024")
    first, second = path.read_text().split("[ram]")
    sizes = (first.replace("size = 0x0040_0000", f"size = {flash}"), second.replace("0x0040_0000", str(ram)))
    path.write_text("[ram]".join(sizes))
    board = load_board(path)
    assert board.flash and board.ram and (board.flash.size, board.ram.size) == (flash, ram)
    return path


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("rate", "8000 Hz (must be 16000 Hz); convert it: ffmpeg"),
        ("stereo", "2 channels (must be 1, mono); convert it: ffmpeg"),
        ("nothing", "empty file (0 bytes)"),
        ("no samples", "empty: a header and no samples"),
        ("truncated", "bytes of samples and 1000 are there; copy it again"),
        ("silent", "silent: all 1536 samples are 0; use a recording with sound"),
        ("text", "not a WAV file (no RIFF/WAVE header); convert it: ffmpeg"),
        ("missing", "cannot be read (No such file or directory)"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "verify"])
def test_recordings(damage: str, words: str, verb: str, wav: Path, refused: Refused) -> None:
    whole = wav.read_bytes()
    if damage == "missing":
        wav.unlink()
    elif damage == "rate":
        write_wav(wav, np.full(99, 7, np.int16), 8000)
    elif damage == "no samples":
        write_wav(wav, np.zeros(0, np.int16))
    elif damage == "silent":
        write_wav(wav, np.zeros(6 * HOP, np.int16))
    else:
        changed = {"nothing": b"", "truncated": whole[:1044], "text": b"speech " * 9}
        wav.write_bytes(changed.get(damage, whole[:22] + b"\2" + whole[23:]))
    place = ["--out", "out.wav"] if verb == "run" else []
    assert words in refused(verb, "dsn-s", "--board", "host", "--wav", wav, *place)


@pytest.mark.parametrize("verb", ["generate", "build", "run", "verify"])
def test_an_unknown_board_names_the_nearest(verb: str, wav: Path, refused: Refused) -> None:
    more = {"run": ["--wav", wav, "--out", "out.wav"], "verify": ["--wav", wav]}.get(verb, ["-o", "made"])
    line = refused(verb, "dsn-s", "--board", "mps2-an368", *more)
    assert line.startswith("error: unknown board 'mps2-an368', did you mean 'mps2-an386'? (must be host, ")


def test_an_unknown_model_names_the_nearest(wav: Path, refused: Refused) -> None:
    line = refused("generate", "dsn_s", "--board", "host", "-o", "made")
    assert line == "error: unknown model 'dsn_s', did you mean 'dsn-s'?"
    assert "ffmpeg" not in refused("verify", "gone.tdsn", "--wav", wav)
    # A folder that is not there is not taken for a model without a board.
    assert refused("build", "firmware") == (
        f"error: unknown model 'firmware' (must be {', '.join(pretrained())}, a .tdsn file, or a checkpoint)"
    )


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def garbage(data: bytes) -> bytes:
    return bytes(reversed(data))


def wrong_json(data: bytes) -> bytes:
    return with_metadata({"format": "tinydsn integer graph", "graph": '{"schema": 1, "name": '})


def wrong_format(data: bytes) -> bytes:
    return with_metadata({"format": "something else"})


def future_schema(data: bytes) -> bytes:
    return with_metadata({"format": "tinydsn integer graph", "graph": '{"schema": 99}'})


def with_metadata(metadata: dict[str, str]) -> bytes:
    from safetensors.numpy import save

    return save({"weight": np.zeros(3, np.int8)}, metadata)


@pytest.mark.parametrize("change", [truncated, garbage, wrong_json, wrong_format, future_schema])
@pytest.mark.parametrize("verb", ["generate", "verify"])
def test_damaged_integer_graphs(
    change: Callable[[bytes], bytes], verb: str, wav: Path, refused: Refused
) -> None:
    path = wav.parent / "model.tdsn"
    path.write_bytes(change(load_model("dsn-s").path.read_bytes()))
    more = ["--wav", wav] if verb == "verify" else ["-o", "made"]
    line = refused(verb, path, "--board", "host", *more)
    assert str(path) in line
    assert "quantize the model again" in line or "make one with `tinydsn quantize" in line


def test_a_damaged_checkpoint(clips: Path, refused: Refused) -> None:
    path = clips.parent / "mine.safetensors"
    shipped = pretrained()["dsn-s"].read_bytes()
    command = ("quantize", path, "--calibration", clips, "-o", "mine.tdsn")
    for damaged in (shipped[: len(shipped) // 2], b"", b"\xff" * 999):
        path.write_bytes(damaged)
        assert "damaged or no safetensors file" in refused(*command)
        assert "copy or download it again" in refused(*command)
    line = refused("generate", path, "--board", "host", "-o", "made")
    assert "no integer graph beside it (make one: `tinydsn quantize" in line


def test_a_folder_without_audio(clips: Path, refused: Refused) -> None:
    for path in clips.iterdir():
        path.rename(clips / "noisy.txt")
    line = refused("quantize", "dsn-s", "--calibration", clips, "-o", "mine.tdsn")
    assert line == f"error: {clips}: holds no audio (must be mono WAV, FLAC or Ogg files)"
    assert "no such folder" in refused("quantize", "dsn-s", "--calibration", "gone", "-o", "mine.tdsn")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[default]\nweight = 8",
            "unknown key 'weight', did you mean 'weights'? (must be weights, activations or states)",
        ),
        (
            "[defaults]\nweights = 8",
            "unknown table 'defaults', did you mean 'default'? (must be [default] or [[rule]])",
        ),
        ("[default]\nactivations = 12", "activations = 12 (must be 8 or 16 bits)"),
        ("[default]\nactivations = 8.0", "activations = 8.0 (must be 8 or 16 bits)"),
        ("default = 8", "default and rule must be tables"),
        ("[[rule]]\nactivations = 8", 'a [[rule]] needs match = "name pattern"'),
        ('[[rule]]\nmatch = "decodr.*"\nactivations = 8', "matches no operator with a result, did you mean"),
        ("[default]\nweights = 9", "weights = 9 (must be 2, 3, 4, 5, 6, 7 or 8 bits)"),
        ('"first.weigth" = 4', "first.weigth = 4 (must be 8 or 16 bits)"),
        ('"firts.weight" = 4', "'firts.weight' is no name of model 'dsn-s', did you mean 'first.weight'?"),
        ("[default", "not a TOML file"),
    ],
)
def test_precision_files(text: str, words: str, clips: Path, refused: Refused) -> None:
    path = clips.parent / "bits.toml"
    path.write_text(text)
    line = refused("quantize", "dsn-s", "--calibration", clips, "-o", "mine.tdsn", "--precision", path)
    assert words in line and "bits" in line


def test_an_unknown_precision(clips: Path, refused: Refused) -> None:
    line = refused("quantize", "dsn-s", "--calibration", clips, "-o", "x.tdsn", "--precision", "w4a4")
    assert line == (
        "error: unknown precision 'w4a4', did you mean 'w4a8'? "
        "(must be w2 to w8 with a8 or a16, such as w8a16, or a TOML or JSON file)"
    )


USERS = """
import torch
from torch import nn


class Upsampler(nn.Module):
    def __init__(self):
        super().__init__()
        self.frontend = None
        self.up = nn.ConvTranspose1d(1, 1, 4, stride=2, padding=1)

    def forward(self, x):
        return self.up(x.view(1, 1, -1)).view(-1)[::2]


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.frontend = None
        self.cell = nn.LSTM(64, 64)

    def forward(self, x):
        return self.cell(x.view(1, 1, -1))[0].view(-1)


def upsampler():
    return Upsampler(), torch.zeros(64)


def lstm():
    return Lstm(), torch.zeros(64)


def broken():
    raise RuntimeError("no weights")
"""


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("bad_input_nets:upsampler", ("conv_transpose", "bad_input_nets.py:13")),
        ("bad_input_nets:lstm", ("lstm", "bad_input_nets.py:23")),
        ("bad_input_nets:broken", ("bad_input_nets:broken failed: RuntimeError: no weights",)),
        ("bad_input_nets:gone", ("module 'bad_input_nets' has no function 'gone'",)),
        ("no_such_module:net", ("cannot import 'no_such_module'", "must be importable from")),
        ("dsn-x", ("unknown network 'dsn-x', did you mean 'dsn-xs'?",)),
        ("hmm", ("unknown network 'hmm' (must be ", "package.module:function)")),
    ],
)
def test_what_cannot_be_lowered(target: str, words: tuple[str, ...], clips: Path, refused: Refused) -> None:
    (clips.parent / "bad_input_nets.py").write_text(USERS)
    line = refused("quantize", target, "--calibration", clips, "-o", "mine.tdsn")
    for word in words:
        assert word in line


@pytest.mark.parametrize(("flash", "ram", "region"), [(32768, 65536, "FLASH"), (1 << 20, 12288, "RAM")])
def test_a_model_that_does_not_fit(
    flash: int, ram: int, region: str, tmp_path: Path, refused: Refused
) -> None:
    needs_emulator()
    line = refused("build", "dsn-s", "--board", memory_file(tmp_path, flash, ram), "-o", "made")
    assert line.startswith(f"error: the model does not fit mine: it overflows {region} by ")
    overflow = int(line.split(f"{region} by ")[1].split(" bytes")[0].replace(",", ""))
    assert 0 < overflow < 200_000
    assert re.search(
        r"; largest parts in bytes: (\w+ [\d,]+, ){4}\w+ [\d,]+; largest tensors in memory: [a-z]", line
    )
    assert line.endswith("(use a larger board, a smaller model, or fewer bits)")


def test_a_board_that_is_too_slow(wav: Path, refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    needs_emulator()
    slow = board_file(wav.parent, clock_hz="1_000_000", prototype="")
    line = refused("run", "dsn-s", "--board", slow, "--wav", wav, "--out", "out.wav")
    assert line.startswith("error: mine: the worst frame needs ")
    assert line.endswith("more than the clock's 1,000,000 cycles; use a faster board or a smaller model")
    assert (
        invoke(["verify", "dsn-s", "--board", str(slow), "--wav", str(wav), "--gates", "max", "--json"]) == 1
    )
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["status"] == "failed" and "more than the clock's 1,000,000 cycles" in row["reason"]


def test_a_slow_prototype_is_no_error(wav: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_emulator()
    slow = board_file(wav.parent, clock_hz="1_000_000")
    out = wav.parent / "out.wav"
    arguments = ["run", "dsn-s", "--board", str(slow), "--wav", str(wav), "--out", str(out), "--json"]
    assert invoke(arguments) == 0
    assert json.loads(capsys.readouterr().out)["load"]["status"] == "warning"
    assert out.is_file()


def test_two_boards_of_one_name(wav: Path, refused: Refused) -> None:
    folder = wav.parent / "boards"
    folder.mkdir()
    shutil.copy(board_root() / f"{CORE}.toml", folder)
    line = refused("verify", "dsn-s", "--wav", wav, "--board", f"{CORE},{folder / CORE}.toml")
    assert line == f"error: {folder / CORE}.toml: another board is named {CORE} too; rename the file"


@pytest.mark.parametrize("verb", ["generate", "build"])
def test_a_folder_with_other_files(verb: str, tmp_path: Path, refused: Refused) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("all of it")
    line = refused(verb, "dsn-s", "--board", "host", "-o", folder)
    assert line == (
        f"error: {folder}: holds files that tinydsn did not generate (no tinydsn.json); "
        "name a new or empty folder"
    )
    assert "is a file (must be a folder" in refused(
        verb, "dsn-s", "--board", "host", "-o", folder / "thesis.txt"
    )
    assert refused("build", folder).startswith(
        f"error: {folder}: not a project that `tinydsn generate` wrote"
    )


def test_outputs_that_cannot_be_written(clips: Path, wav: Path, refused: Refused) -> None:
    below = clips / "noisy.wav" / "below"
    assert "Not a directory" in refused("quantize", "dsn-s", "--calibration", clips, "-o", below / "x.tdsn")
    assert "cannot be read or written: " in refused("generate", "dsn-s", "--board", "host", "-o", below)
    line = refused("run", "dsn-s", "--board", "host", "--wav", wav, "--out", below / "out.wav")
    assert "Not a directory" in line or "File exists" in line


@pytest.mark.parametrize("verb", ["run", "verify"])
def test_gate_traces(verb: str, wav: Path, refused: Refused) -> None:
    gates = load_model("dsn-s").graph.gates
    trace = wav.parent / "trace.txt"
    place = ["--out", "out.wav"] if verb == "run" else []
    command = (verb, "dsn-s", "--board", "host", "--wav", wav, "--gates", trace, *place)
    trace.write_text(f"{'0 ' * (gates + 1)}\n" * 6)
    wanted = f"(must be at least 6 rows of {gates}, one row a frame)"
    assert f"has 6 rows of {gates + 1} gates {wanted}" in refused(*command)
    trace.write_text(f"{'0 ' * gates}\n" * 5)
    assert f"has 5 rows of {gates} gates {wanted}" in refused(*command)
    for wrong in (b"0 1\n0 1 1\n", b"0 2\n", b"", b"\xff\xfe\x00"):
        trace.write_bytes(wrong)
        line = refused(*command)
        assert "a gate trace has one row a frame" in line or "cannot be read as a gate trace" in line
    trace.unlink()
    assert "(must be learned, min, max, cycle, or a trace file)" in refused(*command)
