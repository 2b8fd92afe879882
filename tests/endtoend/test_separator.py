"""The separator as firmware: both channels equal to the reference; C API, WAV tool, self-test."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from dynamic_networks import HOP, assert_rising, equal_means, noise
from typer.testing import CliRunner

from quant.convert import quantize
from quant.errors import ConfigError, MissingTool
from quant.frontend import FrontEnd
from quant.gates import GatePattern
from quant.graph import IntegerGraph
from quant.model_file import load, save
from quant.precision import PRESETS
from quant.reference import Pipeline, by_channel, by_frame
from tinydsn import api
from tinydsn.audio.files import write_wav
from tinydsn.audio.stft import analysis, features
from tinydsn.cli import app
from tinydsn.codegen.board import load_board
from tinydsn.codegen.build import build
from tinydsn.codegen.project import generate
from tinydsn.evaluation import separation as listed
from tinydsn.lowering import lower
from tinydsn.models.checkpoint import save_checkpoint
from tinydsn.models.separator import Separator, SeparatorConfig
from tinydsn.workflow import separation
from tinydsn.workflow.firmware import record_selftest
from tinydsn.workflow.verification import compare

FRAMES = 16
GATES = ("block0", "block1")
WIDTHS = tuple(
    GatePattern(f"{width} wide", np.tile(np.arange(len(GATES)) < width, (FRAMES, 1)))
    for width in range(len(GATES) + 1)
)
PATTERNS = (GatePattern("learned"), GatePattern("cycle"), *WIDTHS)


@cache
def network() -> Separator:
    """One in which several widths occur."""
    config = SeparatorConfig(channels=8, mixed=4, hidden=4, gated_mixed=4, gated_hidden=6)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = Separator(config).eval()
    wave = torch.from_numpy(noise(FRAMES) / 32768.0).float()[None]
    assert model.policy is not None
    with torch.no_grad():
        head = model.policy.head
        head.weight.copy_(20 * head.weight[:1].expand_as(head.weight))
        logits = model.policy(features(analysis(wave, FrontEnd()), FrontEnd()))[0][0, :, 0]
        head.bias.sub_(logits.quantile(torch.tensor([0.3, 0.7])))
    return model


@cache
def integer() -> IntegerGraph:
    """The same in integers."""
    return quantize(lower(network().streaming(), torch.zeros(256)), [noise(FRAMES)], PRESETS["w8a16"])


@pytest.mark.parametrize("board", ["host", "mps2-an386", "mps3-an547"])
def test_firmware_equals_the_reference_in_both_channels(board: str, tmp_path: Path) -> None:
    assert_rising(equal_means(integer(), board, noise(FRAMES), PATTERNS, tmp_path), WIDTHS)


def test_reference_has_two_channels_and_several_widths() -> None:
    found = Pipeline(integer()).run(noise(FRAMES))
    assert found.pcm.shape == (2, FRAMES * HOP)
    assert found.pcm[0].any() and found.pcm[1].any() and not np.array_equal(*found.pcm)
    assert len(set(found.gates.sum(1))) == 3


def test_each_channel_is_what_a_front_end_of_one_channel_makes_of_its_mask() -> None:
    """The witness of the reference: the same network behind two ordinary front ends."""
    from quant.frontend import FrontEndReference
    from quant.reference import Executor

    executor, fronts = Executor(integer()), [FrontEndReference(FrontEnd()) for _ in range(2)]
    wanted = []
    for hop in noise(FRAMES).reshape(-1, HOP):
        seen = [front.analysis(hop) for front in fronts][0]
        masks = executor.step(seen).outputs[0].reshape(2, -1)
        wanted.append([front.synthesis(mask) for front, mask in zip(fronts, masks, strict=True)])
    found = Pipeline(integer()).run(noise(FRAMES)).pcm
    np.testing.assert_array_equal(found, np.concatenate(np.array(wanted), axis=1))


def test_a_wrong_sample_of_the_second_channel_is_found() -> None:
    expected = Pipeline(integer()).run(noise(FRAMES))
    pcm = expected.pcm.copy()
    pcm[1, 5 * HOP + 3] ^= 1
    found = compare(expected, pcm, expected.gates, HOP)
    assert found["status"] == "differs" and found["differing_samples"] == 1
    assert found["first_difference"]["frame"] == 5 and found["samples"] == 2 * FRAMES * HOP


def test_frames_and_channels_are_each_others_reverse() -> None:
    raw = np.arange(24, dtype=np.int16)
    assert by_channel(raw, 4, 2).tolist() == [
        [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19],
        [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23],
    ]
    assert np.array_equal(by_frame(by_channel(raw, 4, 2), 4).reshape(-1), raw)
    assert np.array_equal(by_frame(by_channel(raw, 4, 1), 4).reshape(-1), raw)


def test_the_file_keeps_the_channels(tmp_path: Path) -> None:
    save(integer(), tmp_path / "net.tdsn")
    assert load(tmp_path / "net.tdsn")[0].frontend == FrontEnd(channels=2)


def test_header_states_the_channels_and_the_selftest_passes(tmp_path: Path) -> None:
    recorded = record_selftest(integer())
    project = generate(
        integer(), load_board("host"), tmp_path / "project", model_sha256="0" * 64, selftest=recorded
    )
    header = (project.folder / "include/tinydsn.h").read_text()
    assert re.search(r"^#define TINYDSN_OUTPUT_CHANNELS 2$", header, re.MULTILINE)
    assert "out[c * TINYDSN_HOP + n] is sample n of channel" in header
    assert json.loads((project.folder / "tinydsn.json").read_text())["frontend"]["channels"] == 2
    try:
        elf = build(project.folder, load_board("host")).elf
    except MissingTool as error:
        pytest.skip(str(error))
    assert subprocess.run([elf, "--selftest"], timeout=60).returncode == 0


def test_hashes_of_the_selftest_cover_the_second_channel(tmp_path: Path) -> None:
    texts = []
    for flipped in (0, 1):
        recorded = record_selftest(integer())
        recorded.expected[1, 0] ^= flipped
        project = generate(
            integer(), load_board("host"), tmp_path / "project", model_sha256="0" * 64, selftest=recorded
        )
        texts.append((project.folder / "src/tinydsn_selftest.c").read_text())
    assert texts[0] != texts[1]


def test_the_example_application_is_refused(tmp_path: Path) -> None:
    recorded = record_selftest(integer())
    with pytest.raises(ConfigError) as caught:
        generate(
            integer(), load_board("stm32f405"), tmp_path / "project", model_sha256="0" * 64, example=recorded
        )
    assert str(caught.value) == (
        "the example application plays one channel, and this model gives 2 (leave out --example)"
    )


def test_run_writes_a_wav_of_two_channels(tmp_path: Path) -> None:
    save(integer(), tmp_path / "net.tdsn")
    samples = noise(FRAMES)[:-100]
    write_wav(tmp_path / "mixed.wav", samples)
    try:
        told = api.run(str(tmp_path / "net.tdsn"), "host", tmp_path / "mixed.wav", tmp_path / "two.wav")
    except MissingTool as error:
        pytest.skip(str(error))
    found, rate = soundfile.read(tmp_path / "two.wav", dtype="int16", always_2d=True)
    assert rate == 16000 and told["samples"] == len(samples)
    np.testing.assert_array_equal(found.T, Pipeline(integer()).run(samples).pcm[:, : len(samples)])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three voices that are hummed notes, one noise, one room."""
    folder, rows = tmp_path / "corpus", ["file,type,split,source,speaker,seconds"]
    folder.mkdir()
    time = np.arange(12000) / 16000
    for name, pitch in (("ann", 210.0), ("bob", 120.0), ("cat", 330.0)):
        wave = 6000 * (0.5 + 0.5 * np.sin(19 * time)) * np.sin(2 * np.pi * pitch * time)
        write_wav(folder / f"{name}.wav", wave.astype(np.int16))
        rows.append(f"{name}.wav,speech,test,here,{name},1")
    write_wav(folder / "noise.wav", np.random.default_rng(1).integers(-3000, 3000, 30000).astype(np.int16))
    rows += ["noise.wav,noise,test,here,,1", "noise.wav,rir,test,here,,1"]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def test_evaluate_tells_the_improvement_of_float_and_firmware(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = 48 * HOP  # a voice may begin with half a second of silence
    monkeypatch.setattr(separation, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(listed, "MIX", replace(listed.MIX, samples=samples))
    save_checkpoint(network(), tmp_path / "net.safetensors")
    save(integer(), tmp_path / "net.tdsn")
    model = str(tmp_path / "net.safetensors")
    with pytest.raises(ConfigError) as caught:
        api.evaluate(model, noisy=corpus, clean=corpus)
    assert str(caught.value) == (
        f"{model}: separates speakers, and is judged on mixtures made from a corpus (give --corpus, without "
        "--noisy, --clean and --speaker)"
    )
    options = ["--corpus", str(corpus), "--board", "host", "--limit", "2"]
    told = CliRunner().invoke(app, ["evaluate", model, *options, "--save", str(tmp_path / "out"), "--json"])
    if isinstance(told.exception, MissingTool):
        pytest.skip(str(told.exception))
    assert told.exit_code == 0, told.exception
    result = json.loads(told.stdout)
    assert result["equal"]["status"] == "equal" and result["equal"]["frames"] == 2 * (48 + 1)
    assert result["files"] == 2 and set(result["conditions"]) == {"all", "clean", "noisy"}
    for part in result["conditions"].values():
        gains = part["improvement"]
        assert gains["firmware"]["mean"] == pytest.approx(gains["float"]["mean"], abs=0.3)
    assert set(result["usage"]["firmware"]) == set(GATES)
    found, _ = soundfile.read(tmp_path / "out/firmware/001-noisy.wav", dtype="int16", always_2d=True)
    assert found.shape == (samples, 2)
    plain = CliRunner().invoke(app, ["evaluate", model, *options])
    assert plain.exit_code == 0 and "firmware gain" in plain.stdout
