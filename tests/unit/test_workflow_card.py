"""The card of a run, and what is refused before anything is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant.errors import ConfigError, ModelFileError
from quant.precision import Precision, Rule, to_toml
from tinydsn.models.dsn import Dsn, DsnConfig
from tinydsn.workflow import ship
from tinydsn.workflow.card import TEST_KEYS, make_card, note, training_of

MANIFEST = """file,type,split,source,licence,speaker,lang,seconds,note
speech/train/a.opus,speech,train,one,,s,en,1800,
speech/train/b.opus,speech,train,two,,s,en,3600,
noise/train/a.opus,noise,train,three,,,,900,
rir/train/a.flac,rir,train,four,,,,1,
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    return tmp_path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a finished training leaves behind, besides the weights."""
    folder = tmp_path / "run"
    folder.mkdir()
    recipe = {"train": {"seed": 3, "hours": 25}, "guidance": {"kind": "rating"}}
    record = {"name": "dsn-s-rating", "recipe": recipe, "hours": 25.0, "commit": "abc"}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "log.jsonl").write_text('{"step": 1, "done": 0.5}\n{"step": 2, "done": 1.0}\n')
    return folder


def test_a_card_tells_data_recipe_seed_commit_metrics_and_cost(corpus: Path, run: Path) -> None:
    model = Dsn()
    table = {**dict.fromkeys(TEST_KEYS, 1), "against": [], "model": "a path"}
    card = make_card("dsn-s", model, training_of(run, corpus), {"precision": "w8a16"}, table)
    assert card["training"]["seed"] == 3 and card["training"]["commit"] == "abc"
    assert card["training"]["hours_of_source_audio"] == {"speech": 1.5, "noise": 0.25}
    assert card["training"]["sources"] == {"speech": ["one", "two"], "noise": ["three"], "rir": ["four"]}
    assert card["training"]["validation"] == {"step": 2, "done": 1.0}
    assert card["note"].endswith("Its gates were guided by the DNSMOS OVRL of the noisy mixtures.")
    assert card["parameters"] == sum(value.numel() for value in model.parameters())
    static, gated = model.macs()
    assert card["cost"]["mmacs_per_second_all_on"] == pytest.approx((static + sum(gated)) * 62.5e-6, abs=1e-3)
    assert set(card["test"]) == set(TEST_KEYS)
    json.dumps(card, allow_nan=False)


def test_a_static_sibling_says_so() -> None:
    model = Dsn(DsnConfig(gated=False))
    plain = {"guidance": {"kind": "none"}}
    assert "static sibling" in note(model, plain) and "no usage objective" in note(model, plain)
    tuned = note(Dsn(), {**plain, "quantization": {"precision": "w4a16"}})
    assert "fine-tuned" in tuned and "objective" not in tuned
    heads = note(Dsn(), {**plain, "exits": {"only_heads": True}})
    assert heads.endswith("its gates decide as those of the start.") and "objective" not in heads
    card = make_card("full", model, {}, {}, {})
    assert card["cost"]["macs_per_frame_per_gate"] == {}
    assert card["cost"]["mmacs_per_second_all_on"] == card["cost"]["mmacs_per_second_all_off"]


def test_widths_are_those_wanted_or_kept_beside_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    assert ship.widths_of(weights, None).name == "w8a16" and ship.widths_of(weights, "w4a8").name == "w4a8"
    mixed = Precision("precision", weights=4, rules=(Rule("decoder.*", weights=3),))
    weights.with_name("precision.toml").write_text(to_toml(mixed))
    assert ship.widths_of(weights, None) == mixed
    card = weights.with_suffix(".card.json")
    card.write_text(json.dumps({"integer": {"precision": "w4a16"}}))
    assert ship.widths_of(weights, None).name == "w4a16"
    card.write_text(json.dumps({"integer": {"precision": "precision", "widths": to_toml(mixed)}}))
    weights.with_name("precision.toml").unlink()
    assert ship.widths_of(weights, None) == mixed


def test_runs_that_cannot_be_shipped(corpus: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "log.jsonl").write_text('{"step": 1, "done": 0.5}\n')
    with pytest.raises(ModelFileError) as caught:
        training_of(run, corpus)
    assert str(caught.value) == f"{run}: the run is not at its end (50 %); go on with it"
    (run / "log.jsonl").unlink()
    with pytest.raises(ModelFileError, match="no log of a training run"):
        training_of(run, corpus)
    (run / "run.json").unlink()
    with pytest.raises(ModelFileError) as caught:
        training_of(run, corpus)
    assert str(caught.value) == f"{run}: holds no run (no run.json; `tinydsn train` writes one)"
    assert ship.main([str(run), "--corpus", str(corpus)]) == 2
    assert capsys.readouterr().err == f"error: {run}: a run needs --to FILE.safetensors\n"
    assert ship.main(["nothing", "--corpus", str(corpus)]) == 2
    assert capsys.readouterr().err == (
        "error: nothing: no such run or checkpoint (a folder of `tinydsn train`, or a checkpoint)\n"
    )
    with pytest.raises(ConfigError, match=r"must end with .safetensors"):
        ship.ship("dsn-s", corpus, corpus / "model.bin")
