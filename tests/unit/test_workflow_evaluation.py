"""Inside an evaluation: the bias, the delay, costs of gates, resuming, and a firmware that differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.errors import ConfigError, MissingTool, ModelFileError
from quant.reference import Pipeline
from quant.without_gates import without_gates
from tinydsn.audio.files import write_wav
from tinydsn.emulation import RunResult
from tinydsn.evaluation.pairs import match_folders
from tinydsn.evaluation.store import Store
from tinydsn.workflow import evaluation, measurement
from tinydsn.workflow.evaluation import gather
from tinydsn.workflow.evaluation_table import Measured, report
from tinydsn.workflow.measurement import logit_scale, with_bias
from tinydsn.workflow.subject import Subject, cost_patterns, gate_costs, gate_macs, open_subject

SCORED = dict.fromkeys(("SIG", "BAK", "OVRL", "PESQ", "STOI", "SISDR"), 1.0)


@pytest.fixture(scope="module")
def subject() -> Subject:
    """The shipped model."""
    return open_subject("dsn-s")


def test_weights_trained_as_integers_are_not_judged_as_floats(subject: Subject) -> None:
    tuned = open_subject("dsn-s-w4")
    assert tuned.checkpoint is None and subject.checkpoint is not None
    assert tuned.gates == subject.gates


def sound(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bursts = np.sin(2 * np.pi * 1.5 * np.arange(samples) / 16000) > 0
    return (rng.standard_normal(samples) * (300 + 3000 * bursts)).astype(np.int16)


@pytest.fixture
def pairs(tmp_path: Path) -> Sequence[Any]:
    """Two short pairs of files."""
    for name, seed in (("a", 1), ("b", 2)):
        clean = sound(8000, seed)
        write_wav(tmp_path / "clean" / f"{name}.wav", clean)
        write_wav(tmp_path / "noisy" / f"{name}.wav", clean + sound(8000, seed + 9) // 8)
    return match_folders(tmp_path / "noisy", tmp_path / "clean")


@pytest.mark.parametrize("bias", [-4000, 700, 32767])
def test_a_bias_in_the_graph_is_the_bias_at_run_time(subject: Subject, bias: int) -> None:
    pcm = sound(256 * 40)
    at_run_time = Pipeline(subject.model.graph)
    at_run_time.network.bias = bias
    expected, found = at_run_time.run(pcm), Pipeline(with_bias(subject.model.graph, bias)).run(pcm)
    assert np.array_equal(found.pcm, expected.pcm) and np.array_equal(found.gates, expected.gates)
    assert bias < 32767 or found.gates.all()
    assert with_bias(subject.model.graph, 0) is subject.model.graph
    assert logit_scale(subject.model.graph) > 0


def test_what_each_gate_costs(subject: Subject) -> None:
    assert cost_patterns(without_gates(subject.model.graph, taken=True)) == []
    patterns = cost_patterns(subject.model.graph)
    assert patterns[0] == (True,) * 5 and patterns[1] == (False, True, True, True, True)
    means = [1000, 900, 800, 700, 600, 500]
    rows = [
        {"forced": list(pattern), "mean": float(mean + offset)}
        for offset in (-1, 1)
        for pattern, mean in zip(patterns, means, strict=True)
    ]
    weights, all_on = gate_costs(rows, subject)
    assert all_on == 1000
    assert weights == pytest.approx(np.array([1, 2, 3, 4, 5]) / 15)
    by_macs, unknown = gate_costs([], subject)
    assert unknown is None and by_macs.sum() == pytest.approx(1)
    assert by_macs == pytest.approx(gate_macs(subject.model.graph) / gate_macs(subject.model.graph).sum())


def test_jobs_are_done_once(tmp_path: Path) -> None:
    done: list[str] = []

    def job(name: str) -> Any:
        def work() -> dict[str, Any]:
            if name == "c" and len(done) == 2:
                raise KeyboardInterrupt
            done.append(name)
            return {"name": name}

        return work

    jobs = {name: job(name) for name in "abc"}
    seen: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        evaluation.run_jobs(jobs, Store(tmp_path), lambda *at: seen.append(at), workers=1)
    done.append("-")
    rows = evaluation.run_jobs(jobs, Store(tmp_path), lambda *at: seen.append(at), workers=1)
    assert done == ["a", "b", "-", "c"] and list(rows.values()) == [{"name": name} for name in "abc"]
    assert seen == [(0, 3), (1, 3), (2, 3), (2, 3), (3, 3)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Metrics that cost nothing, and a cache of its own."""
    monkeypatch.setattr(evaluation, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(measurement, "score", lambda wave, target: dict(SCORED))
    monkeypatch.setattr(evaluation, "require_metrics", lambda: None)


def measured(subject: Subject, pairs: Sequence[Any], **options: Any) -> Measured:
    try:
        return evaluation.measure(subject, pairs, "host", workers=1, **options)
    except MissingTool as error:
        pytest.skip(str(error))


def test_enhanced_files_are_aligned_and_as_the_reference(
    quick: None, subject: Subject, pairs: Sequence[Any], tmp_path: Path
) -> None:
    from tinydsn.audio.files import read_wav

    found = measured(subject, pairs, save=tmp_path / "out")
    noisy = pairs[0].load().noisy
    whole = Pipeline(subject.model.graph).run(np.concatenate([noisy, np.zeros(256, np.int16)]))
    saved = read_wav(tmp_path / "out" / "firmware" / "a.wav")
    assert np.array_equal(saved, whole.pcm[256 : 256 + len(noisy)])
    in_float = read_wav(tmp_path / "out" / "float" / "a.wav").astype(float)
    assert len(in_float) == len(noisy)
    assert np.corrcoef(in_float, saved)[0, 1] > 0.95
    assert found.rows[0]["usage"]["firmware"] == whole.gates[:32].mean(0).tolist()
    assert [row["equal"]["status"] for row in found.rows] == ["equal", "equal"]
    assert found.all_on is None and found.rows[0]["instructions"] is None
    table = report(found, "host", "here")
    assert table["instructions"] is None and table["equal"]["differing_files"] == 0
    assert table["leak"]["digital_silence"]["peak"]["firmware"] == 0
    assert set(table["leak"]["noise_only"]) == {"float", "firmware"}


def test_stored_files_are_not_computed_again(
    quick: None, subject: Subject, pairs: Sequence[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measured(subject, pairs)
    ran: list[str] = []
    original = measurement.measure_pair

    def counting(bench: Any, pair: Any, save: Path | None, known: Any, check: bool) -> dict[str, Any]:
        ran.append(pair.name)
        return original(bench, pair, save, known, check)

    monkeypatch.setattr(evaluation, "measure_pair", counting)
    assert measured(subject, pairs).rows == first.rows and ran == []
    out = tmp_path / "out"
    assert measured(subject, pairs, save=out).rows == first.rows and ran == ["a", "b"]
    assert measured(subject, pairs, save=out).rows == first.rows and ran == ["a", "b"]
    write_wav(out / "firmware" / "b.wav", np.ones(8000, np.int16))  # another model's file
    measured(subject, pairs, save=out)
    assert ran == ["a", "b", "b"]
    write_wav(pairs[0].noisy, sound(8000, 77))
    measured(subject, pairs)
    assert ran == ["a", "b", "b", "a"]
    measured(subject, pairs, fresh=True)
    assert ran[4:] == ["a", "b"]


def test_a_noisy_file_is_scored_once_whichever_model_hears_it(
    quick: None, subject: Subject, pairs: Sequence[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []

    def counting(wave: np.ndarray, target: np.ndarray) -> dict[str, Any]:
        heard.append(wave.tobytes())
        return {**SCORED, "PESQ": float(len(heard))}

    monkeypatch.setattr(measurement, "score", counting)
    noisy = [pair.load().noisy.tobytes() for pair in pairs]
    first = measured(subject, pairs)
    again = measured(replace(subject, checkpoint=None), pairs, fresh=True)
    assert [heard.count(wave) for wave in noisy] == [1, 1] and len(heard) == 2 * 3 + 2
    for row, other in zip(first.rows, again.rows, strict=True):
        assert row["scores"]["noisy"] == other["scores"]["noisy"] is not None
    write_wav(pairs[0].noisy, sound(8000, 78))
    measured(subject, pairs)
    assert heard.count(pairs[0].load().noisy.tobytes()) == 1


def test_a_firmware_that_differs_by_one_bit(
    quick: None, subject: Subject, pairs: Sequence[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = measurement.run_host

    def wrong(elf: Path, pcm: np.ndarray, words: Any) -> RunResult:
        result = original(elf, pcm, words)
        if len(pcm) > 9000:  # the silences
            return result
        pcm = result.pcm.copy()
        pcm[5000] ^= 1
        return replace(result, pcm=pcm)

    monkeypatch.setattr(measurement, "run_host", wrong)
    found = measured(subject, pairs)
    equal = report(found, "host", "here")["equal"]
    assert equal["status"] == "differs" and equal["differing_files"] == 2
    assert equal["first_difference"]["file"] == "a"
    assert equal["first_difference"]["first_difference"]["frame"] == 5000 // 256
    assert equal["first_difference"]["differing_samples"] == 1


def test_sources_of_pairs(tmp_path: Path, pairs: Sequence[Any]) -> None:
    noisy, clean = tmp_path / "noisy", tmp_path / "clean"
    found, source = gather(noisy, clean, None, 1, None)
    assert [pair.name for pair in found] == ["a"] and source == f"{noisy}, {clean}"
    wrong = [(noisy, None, None), (None, None, None), (noisy, clean, tmp_path)]
    for first, second, corpus in wrong:
        with pytest.raises(ConfigError, match="name --noisy DIR and --clean DIR, or --corpus DIR"):
            gather(first, second, corpus, None, None)
    with pytest.raises(ConfigError, match="--speaker goes with --noisy and --clean"):
        gather(None, None, tmp_path, None, "(x)")


def test_subjects_that_cannot_be_evaluated(subject: Subject, tmp_path: Path) -> None:
    from quant.model_file import save
    from tinydsn.models.checkpoint import save_checkpoint
    from tinydsn.models.dsn import Dsn, DsnConfig

    graph = subject.model.graph
    assert graph.frontend is not None
    save(replace(graph, frontend=replace(graph.frontend, sample_rate=8000)), tmp_path / "slow.tdsn")
    with pytest.raises(ConfigError) as caught:
        open_subject(str(tmp_path / "slow.tdsn"))
    assert str(caught.value) == f"{tmp_path / 'slow.tdsn'}: runs at 8000 Hz (the metrics need 16000 Hz)"
    save(graph, tmp_path / "other.tdsn")
    save_checkpoint(Dsn(DsnConfig(gated=False)), tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError) as failed:
        open_subject(str(tmp_path / "other.safetensors"))
    assert str(failed.value) == (
        f"{tmp_path / 'other.safetensors'}: 0 gates, and {tmp_path / 'other.tdsn'}: 5 (quantize "
        "the checkpoint again)"
    )
    alone = open_subject(str(tmp_path / "other.tdsn"))
    assert alone.checkpoint is None and len(alone.gates) == 5
    assert alone.digest != open_subject(str(tmp_path / "other.tdsn"), bias=5).digest
