"""A family of models as a table and as pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from quant.errors import ConfigError, ModelFileError
from tinydsn.cards import card_path
from tinydsn.evaluation.scores import METRICS
from tinydsn.workflow import family_pictures
from tinydsn.workflow.family import main, paired_table, siblings, table
from tinydsn.workflow.family import member as member_of_card
from tinydsn.workflow.family_pictures import draw_tradeoff, draw_training, draw_usage
from tinydsn.workflow.models import pretrained

SVG = "{http://www.w3.org/2000/svg}"


def span(value: float) -> dict[str, float]:
    return {"mean": value, "low": value - 0.1, "high": value + 0.1}


def member(name: str, quality: float, cost: int, usage: float | None, bias: int = 0) -> dict[str, Any]:
    """What `report` says of a model, as far as tables and pictures look at it."""
    metrics = {metric: span(quality) for metric in METRICS}
    share = {"mean": usage, "low": usage, "high": usage}
    by_snr = [
        {"from": low, "to": high, "usage": {"firmware": {"mean": usage}}}
        for low, high in ((None, 0.0), (0.0, 5.0), (5.0, 10.0))
    ]
    return {
        "model": name,
        "static": usage is None,
        "bias": bias,
        "noisy": {metric: span(1.0) for metric in METRICS},
        "float": metrics,
        "firmware": metrics,
        "usage": {"float": share, "firmware": share},
        "instructions": {"mean": cost},
        "by_snr": by_snr,
    }


FAMILY: dict[str, Any] = {
    "schema": 1,
    "name": "net",
    "members": [
        member("net", 2.5, 300_000, 0.3),
        member("net-full", 2.52, 400_000, None),
        member("net-half", 2.2, 200_000, None),
    ],
    "curve": [member("net", 2.4, 250_000, 0.1, bias=-900)],
}


def marks(svg: str) -> int:
    """Number of elements that matplotlib drew; raises where it is no XML."""
    root = ElementTree.fromstring(svg)
    return sum(len(list(root.iter(f"{SVG}{kind}"))) for kind in ("use", "path"))


def test_table_has_a_row_a_system() -> None:
    lines = table(FAMILY).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        *("| noisy", "| net, float", "| net, firmware", "| net-full, firmware", "| net-half, firmware"),
        "| net, threshold -900",
    ]
    assert lines[4].startswith("| net, firmware | 300,000 | 0.300 | 2.500 [2.400, 2.600] |")
    assert len({line.count("|") for line in lines}) == 1


def test_paired_differences_are_bold_where_they_are_certain() -> None:
    unsure = {"mean": 0.01, "low": -0.02, "high": 0.04, "direction": "undecided"}
    worse = {"mean": -0.09, "low": -0.12, "high": -0.06, "direction": "lower"}
    beside = {"OVRL": unsure, "SIG": unsure, "PESQ": worse, "SISDR": unsure}
    ratio = {"mean": 0.722, "low": 0.706, "high": 0.741}
    paired = {"net-full": {"cost_ratio": ratio, "firmware": beside}}
    lines = paired_table({"paired": paired}).splitlines()
    assert lines[0] == "| less | instructions | OVRL | SIG | PESQ | SISDR |"
    assert lines[2].startswith("| net-full | x 0.722 [0.706, 0.741] | +0.010 [-0.020, 0.040] | ")
    assert "| **-0.090 [-0.120, -0.060]** |" in lines[2]
    paired["net-full"]["cost_ratio"] = None
    assert paired_table({"paired": paired}).splitlines()[2].startswith("| net-full |  | +0.010")


def test_pictures_hold_every_member() -> None:
    assert marks(draw_tradeoff(FAMILY)) > marks(draw_tradeoff({**FAMILY, "curve": []}))
    two = {**FAMILY, "members": [*FAMILY["members"], member("net-constant", 2.4, 300_000, 0.3)]}
    assert marks(draw_usage(two)) > marks(draw_usage(FAMILY))


def test_another_seed_is_a_point_beside_the_static_front() -> None:
    more = {**FAMILY, "members": [*FAMILY["members"], member("net-half-2", 2.0, 200_001, None)]}
    without = draw_tradeoff(
        {**FAMILY, "members": [*FAMILY["members"], member("net-third", 2.0, 200_001, None)]}
    )
    assert marks(draw_tradeoff(FAMILY)) < marks(draw_tradeoff(more)) < marks(without)


def test_the_same_numbers_give_the_same_picture() -> None:
    assert draw_tradeoff(FAMILY) == draw_tradeoff(FAMILY)


def test_curves_of_runs(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"name": "net", "hours": 10.0, "hours_before": 5.0}))
    entries = [{"done": done, "speech": 0.1 - done / 20, "sdr": 5 + done} for done in (0.5, 1.0)]
    (run / "log.jsonl").write_text("\n".join(json.dumps(entry) for entry in entries))
    assert marks(draw_training([run, run])) > marks(draw_training([run])) > 0


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds no readable run"):
        draw_training([tmp_path])


def test_matplotlib_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ConfigError) as caught:
        family_pictures.figure(1)
    assert str(caught.value) == "matplotlib is not installed (pip install 'tinydsn[pictures]')"


def test_siblings_are_the_shipped_ones_of_that_name() -> None:
    assert all(name.startswith("dsn-s-") for name in siblings("dsn-s"))
    with pytest.raises(ModelFileError, match="no such shipped model"):
        siblings("nothing")


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing", "--corpus", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_members_are_what_their_cards_say() -> None:
    gated, static = member_of_card("dsn-s"), member_of_card("dsn-s-full")
    assert (gated["static"], static["static"]) == (False, True)
    made = {**FAMILY, "members": [gated, static], "curve": []}
    cells = [line.split(" | ") for line in table(made).splitlines()]
    assert [row[0] for row in cells[2:]] == [
        *("| noisy", "| dsn-s, float", "| dsn-s, firmware", "| dsn-s-full, firmware")
    ]
    card = json.loads(card_path(pretrained()["dsn-s"]).read_text())
    assert cells[4][1] == f"{card['test']['instructions']['mean']:,}"
    assert marks(draw_usage(made)) > 0 and marks(draw_tradeoff({**made, "name": "dsn-s"})) > 0


def test_only_siblings_are_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["dsn-s", "--corpus", str(tmp_path), "-o", str(tmp_path / "out"), "--against", "dsn-m"]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: dsn-m: no shipped sibling of dsn-s (dsn-s-2, ")
