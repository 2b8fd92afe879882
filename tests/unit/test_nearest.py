"""Wrong names: the nearest legal one, and which there are, in one form of sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant.errors import TinydsnError
from quant.gates import parse_pattern
from quant.nearest import did_you_mean, nearest, one_of, unknown
from quant.precision import load_precision
from tinydsn.codegen.board import load_board
from tinydsn.codegen.kernels import code_target
from tinydsn.search.executors import executor
from tinydsn.search.quality import load_quality
from tinydsn.workflow.models import load_model
from tinydsn.workflow.training import recipe_path


def test_the_sentence() -> None:
    assert unknown("fruit", "aple", ("apple", "pear")) == (
        "unknown fruit 'aple', did you mean 'apple'? (must be apple or pear)"
    )
    assert unknown("fruit", "x", ("apple", "pear"), "or a file") == (
        "unknown fruit 'x' (must be apple, pear, or a file)"
    )
    many = [f"name_{number:02d}" for number in range(20)]
    assert unknown("name", "name_03x", many) == "unknown name 'name_03x', did you mean 'name_03'?"
    assert "name_19" in unknown("name", "quite different", many)


def test_the_nearest_in_any_case_of_letters() -> None:
    assert nearest("DSN_S", ("dsn-s", "other")) == "dsn-s"
    assert nearest("si_sdr", ("SI-SDR",)) == "SI-SDR"
    assert nearest("x", ("dsn-s",)) is None and did_you_mean("x", ("dsn-s",)) == ""
    assert [one_of(names) for names in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == [
        *("", "a", "a or b", "a, b or c")
    ]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda: parse_pattern("lerned"),
            "unknown gate pattern 'lerned', did you mean 'learned'? (must be learned, min, max, cycle, or a "
            "trace file)",
        ),
        (
            lambda: code_target(load_board("host"), "cmsisnn"),
            "unknown kernel set 'cmsisnn', did you mean 'cmsis-nn'? (must be auto, tinydsn or cmsis-nn)",
        ),
        (
            lambda: load_quality("sisdr"),
            "unknown quality 'sisdr', did you mean 'si-sdr'? (must be si-sdr, or package.module:function)",
        ),
        (
            lambda: load_quality("json:load_"),
            "--quality 'json:load_': json has no function 'load_', did you mean 'load'?",
        ),
        (
            lambda: executor("procesess", lambda: None, 1),  # type: ignore[arg-type,return-value]
            "unknown executor 'procesess', did you mean 'processes'? (must be serial, processes or ray)",
        ),
        (
            lambda: load_precision("w8a6"),
            "unknown precision 'w8a6', did you mean 'w8a16'? (must be w2 to w8 with a8 or a16, such as "
            "w8a16, or a TOML or JSON file)",
        ),
        (
            lambda: load_model("my.nets:net"),
            "my.nets:net: is no .tdsn file (make one of a module of yours: "
            "`tinydsn quantize my.nets:net --calibration DIR -o model.tdsn`)",
        ),
        (
            lambda: load_model("."),
            ".: is a folder (must be a .tdsn file, a checkpoint, or a shipped model's name)",
        ),
        (lambda: load_model("modl.tdsn"), "modl.tdsn: no such file, did you mean 'model.tdsn'?"),
        (
            lambda: recipe_path("dsn-s-fll"),
            "unknown recipe 'dsn-s-fll', did you mean 'dsn-s-full'?",
        ),
    ],
)
def test_each_kind_of_name(
    use: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.tdsn").touch()
    with pytest.raises(TinydsnError) as caught:
        use()
    assert str(caught.value) == message or (message.endswith("be ") and str(caught.value).startswith(message))
