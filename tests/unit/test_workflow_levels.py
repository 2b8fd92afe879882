"""A gated network at a forced level: the same bits everywhere, words that are refused, levels of a card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quant.convert import quantize
from quant.errors import ConfigError, MissingTool, ModelFileError
from quant.model_file import save
from tinydsn.audio.files import to_int16, write_wav
from tinydsn.audio.stft import analysis, features, masked, synthesis
from tinydsn.emulation import RunResult
from tinydsn.evaluation.pairs import match_folders
from tinydsn.evaluation.scores import METRICS
from tinydsn.models.checkpoint import load_checkpoint, save_checkpoint
from tinydsn.models.kinds import make_network
from tinydsn.models.network import MaskNetwork
from tinydsn.models.nsnet2 import NsNet2Config
from tinydsn.models.separator import SeparatorConfig
from tinydsn.models.slim import SlimConfig
from tinydsn.nn import Gating
from tinydsn.workflow import evaluation, levels, measurement, separation, ship
from tinydsn.workflow.evaluation import bench_of
from tinydsn.workflow.evaluation_table import report
from tinydsn.workflow.levels import level_words, measure_levels
from tinydsn.workflow.measurement import Executors
from tinydsn.workflow.quantization import float_graph
from tinydsn.workflow.subject import open_subject

NSNET2 = NsNet2Config(hidden=12, wide=10, policy_hidden=4, state="every", period=4)
SMALL = {
    "nsnet2": NSNET2,
    "slim": SlimConfig(
        first=3, middle=4, channels=8, down=(8, 8), hidden=8, up=(8, 8), hold=3, policy_hidden=4
    ),
    "separator": SeparatorConfig(channels=8, mixed=4, hidden=4, gated_mixed=4, gated_hidden=4),
}
WORDS = {"nsnet2": "100", "slim": "1100"}
SAMPLES = 8000


def sound(seed: int, samples: int = SAMPLES) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bursts = np.sin(2 * np.pi * 3 * np.arange(samples) / 16000) > 0
    return (rng.standard_normal(samples) * (300 + 3000 * bursts)).astype(np.int16)


@cache
def network(name: str) -> MaskNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return make_network(SMALL[name]).eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """name -> a checkpoint with its graph beside it."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def made(name: str) -> str:
        path = folder / f"{name}.safetensors"
        save_checkpoint(network(name), path)
        save(quantize(float_graph(str(path)), [sound(0, 4000)]), path.with_suffix(".tdsn"))
        return str(path)

    return made


@pytest.mark.parametrize("name", WORDS)
def test_every_executor_runs_with_the_forced_gates(models: Any, name: str) -> None:
    subject = open_subject(models(name), force=WORDS[name])
    wave, gates = sound(1, 4100), [digit == "1" for digit in WORDS[name]]
    assert subject.forced == tuple(gates)
    try:
        with bench_of(subject, "host") as (bench, _, _):
            executors = Executors(bench)
            fed = executors.fed(wave)
            raw, reference = executors.run(fed), executors.reference(fed)
            routed = Executors(replace(bench, forced=None)).run(fed)
            in_float = executors.float_network(wave)["float"]
    except MissingTool as error:
        pytest.skip(str(error))
    assert np.array_equal(raw.pcm, reference.pcm) and np.array_equal(raw.gates, reference.gates)
    assert (reference.gates == gates).all() and not np.array_equal(raw.pcm, routed.pcm)
    front = subject.model.graph.frontend
    assert front is not None
    padded = np.concatenate([wave, np.zeros(-len(wave) % front.hop + front.latency, np.int16)])
    spectrum = analysis(torch.from_numpy(padded.astype(np.float32) / 32768)[None], front)
    word = torch.tensor(gates).float().expand(1, spectrum.shape[1], -1)
    with torch.no_grad():
        mask = load_checkpoint(models(name))(features(spectrum, front), Gating(forced=word)).mask
        wanted = to_int16(synthesis(masked(spectrum, mask), front)[0].numpy())
    assert np.array_equal(in_float.pcm, wanted[..., front.latency : front.latency + len(wave)])
    assert (in_float.gates == gates).all()
    firmware = executors.aligned(raw, len(wave)).pcm
    assert np.corrcoef(in_float.pcm.reshape(-1), firmware.reshape(-1))[0, 1] > 0.99


def test_words_that_are_refused(models: Any) -> None:
    model = models("nsnet2")
    assert open_subject(model).forced is None
    digests = {open_subject(model, force=word).digest for word in (None, "000", "100")}
    assert len(digests) == 3
    for word in ("11", "1100", "1x0", ""):
        with pytest.raises(ConfigError) as caught:
            open_subject(model, force=word)
        assert str(caught.value) == (
            f"--force {word!r}: must be 3 digits of 0 or 1, one for each gate of {model} (gru1, gru2, late)"
        )
    with pytest.raises(ConfigError) as caught:
        open_subject(model, 5, "110")
    assert str(caught.value) == "--bias 5 and --force 110: forced gates heed no bias (leave one out)"
    with pytest.raises(ConfigError) as caught:
        open_subject("dsn-s-half", force="1")
    assert str(caught.value) == "dsn-s-half: has no gates, so --force 1 has no meaning"
    slim = models("slim")
    with pytest.raises(ConfigError) as caught:
        open_subject(slim, force="1010")
    assert str(caught.value) == (
        f"--force 1010: opens half over quarter, which is closed (gates of {slim} that are steps open one "
        "after the other)"
    )
    assert [open_subject(slim, force=word).forced for word in level_words(network("slim"))] == [
        (True, depth > 0, depth > 1, depth > 2) for depth in range(4)
    ]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[np.ndarray]:
    """The waves that were scored, by a metric that costs nothing; a cache of its own, no processes."""
    waves: list[np.ndarray] = []
    original = evaluation.run_jobs

    def score(wave: np.ndarray, target: np.ndarray) -> dict[str, float]:
        waves.append(wave)
        return dict.fromkeys(METRICS, float(np.mean(np.abs(wave.astype(float) - target))))

    def in_turn(jobs: Any, store: Any, progress: Any, workers: int, again: Any) -> Any:
        return original(jobs, store, progress, 1, again)

    monkeypatch.setattr(measurement, "score", score)
    monkeypatch.setattr(evaluation, "run_jobs", in_turn)
    monkeypatch.setattr(evaluation, "require_metrics", lambda: None)
    for module in (evaluation, separation):
        monkeypatch.setattr(module, "cache_dir", lambda: tmp_path / "cache")
    return waves


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sequence[Any]:
    """Two short pairs of files, which stand for the committed list."""
    for name, seed in (("a", 1), ("b", 2)):
        clean = sound(seed)
        write_wav(tmp_path / "clean" / f"{name}.wav", clean)
        write_wav(tmp_path / "noisy" / f"{name}.wav", clean + sound(seed + 9) // 8)
    found = match_folders(tmp_path / "noisy", tmp_path / "clean")
    for module in (levels, separation):
        monkeypatch.setattr(module, "gather", lambda *_: (found, "the committed list"))
    return found


def test_only_the_pairs_are_run(
    models: Any, scored: list[np.ndarray], pairs: Sequence[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from tinydsn.cli.evaluate import readable
    from tinydsn.cli.output import emit

    subject = open_subject(models("nsnet2"), force="100")
    try:
        found = evaluation.measure(subject, pairs, "host")
    except MissingTool as error:
        pytest.skip(str(error))
    assert found.mixes == () and found.silences == () and len(scored) == 3 * len(pairs)
    table = report(found, "host", "here")
    assert table["forced"] == "100" and table["equal"]["status"] == "equal"
    assert table["usage"]["float"]["gates"] == table["usage"]["firmware"]["gates"]
    assert table["usage"]["firmware"]["gates"] == {"gru1": 1.0, "gru2": 0.0, "late": 0.0}
    assert set(table["mixes"]) == {"test"} and table["leak"] == {} and table["usage_falls_with_snr"] is None
    json.dumps(table, allow_nan=False)
    emit(readable({**table, "against": [], "front": None}), as_json=False)
    assert "gates forced to" in capsys.readouterr().out


def shipped(tmp_path: Path, name: str) -> dict[str, Any]:
    """The card of a run, made on the host with its levels."""
    save_checkpoint(network(name), tmp_path / "run" / "model.safetensors")
    run = [str(tmp_path / "run"), "--corpus", str(tmp_path), "--to", str(tmp_path / "it.safetensors")]
    assert ship.main([*run, "--board", "host", "--limit", "2", "--check", "1", "--levels"]) == 0
    return dict(json.loads((tmp_path / "it.card.json").read_text()))


@pytest.fixture
def shippable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs of this test can be shipped without a corpus."""
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(ship, "training_of", lambda run, corpus: {"recipe": {"guidance": {"kind": "none"}}})
    monkeypatch.setattr(ship, "calibration_mixtures", lambda corpus, voices: [sound(0, 4000)])


def test_a_card_holds_every_exit_beside_the_routed_point(
    scored: list[np.ndarray],
    pairs: Sequence[Any],
    shippable: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[Any] = []
    monkeypatch.setattr(levels, "beside_front", lambda *tables: compared.append(tables))
    test = shipped(tmp_path, "nsnet2")["test"]
    assert [level["gates"] for level in test["levels"]] == ["000", "100", "110", "111"]
    for level in test["levels"]:
        assert set(level) == {"gates", "firmware", "instructions", "equal"}
        assert level["equal"] == "equal" and level["instructions"] is None
        assert set(level["firmware"]) == set(METRICS)
        assert all(set(part) == {"mean", "low", "high"} for part in level["firmware"].values())
    assert len({level["firmware"]["PESQ"]["mean"] for level in test["levels"]}) == 4
    # An untrained router opens all gates: the deepest exit is the routed point.
    assert test["usage"]["firmware"]["gates"] == {"gru1": 1.0, "gru2": 1.0, "late": 1.0}
    assert test["levels"][-1]["firmware"] == test["firmware"]
    assert test["beside_levels"] is None  # instructions are not counted on the host
    routed, others = compared[0]
    scores = {word: table.scores["firmware"]["PESQ"].tolist() for word, table in others.items()}
    assert list(scores) == ["000", "100", "110", "111"]
    assert scores["000"] != routed.scores["firmware"]["PESQ"].tolist() == scores["111"]
    # Noisy, float and firmware once; of each level only the firmware.
    assert len(scored) == 2 * (3 + 4)


def test_a_separators_card_holds_its_widths(
    scored: list[np.ndarray], shippable: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinydsn.evaluation.separation import Listed, Voices

    def two(corpus: Path, limit: int | None) -> Any:
        voices = np.stack([sound(1, 4000), sound(2, 4000)]) // 2
        mixed = voices.sum(0).astype(np.int16)
        return [(Listed(k, ("a", "b"), bool(k)), Voices(mixed, voices)) for k in range(2)]

    monkeypatch.setattr(separation, "mixtures", two)
    test = shipped(tmp_path, "separator")["test"]
    assert [level["gates"] for level in test["levels"]] == ["00", "10", "11"]
    for level in test["levels"]:
        assert set(level["firmware"]) == {"SISDR_GAIN"} and level["equal"] == "equal"
    gains = [level["firmware"]["SISDR_GAIN"]["mean"] for level in test["levels"]]
    assert len(set(gains)) == 3 and scored == []
    assert (
        test["levels"][-1]["firmware"]["SISDR_GAIN"] == (test["conditions"]["all"]["improvement"]["firmware"])
    )


def test_levels_without_gates_and_with_wrong_bits(
    models: Any, scored: list[np.ndarray], pairs: Sequence[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    static = make_network(replace(NSNET2, gated=False))
    assert level_words(static) == () and measure_levels("any", (), Path(), "host") == {}
    original = measurement.run_host

    def wrong(elf: Path, pcm: np.ndarray, words: np.ndarray | None) -> RunResult:
        result = original(elf, pcm, words)
        return result if words is None else replace(result, pcm=result.pcm ^ 1)

    monkeypatch.setattr(measurement, "run_host", wrong)
    try:
        with pytest.raises(ModelFileError, match="with gates 100 firmware and reference differ: {'file'"):
            measure_levels(models("nsnet2"), ["100"], Path(), "host", check=1)
    except MissingTool as error:
        pytest.skip(str(error))
