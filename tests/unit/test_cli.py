"""The command line: exit codes, one-line errors, JSON alone on standard output, light imports."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from quant.errors import AudioError
from tinydsn import __version__
from tinydsn.cli import app, invoke
from tinydsn.cli.output import cell, rows_table
from tinydsn.cli.verify import passed, split

VERBS = (
    *("demo", "init", "doctor", "boards", "ops", "data", "train", "rate", "quantize"),
    *("generate", "build", "run", "verify", "profile", "evaluate", "compare", "diff", "bench", "cost"),
    *("report", "export", "import"),
)

HEAVY = ("torch", "numpy", "scipy", "onnxruntime", "tflite_micro", "deap", "jinja2", "soundfile", "elftools")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for ``tinydsn.api``, to which a test gives the functions it calls."""
    module = types.ModuleType("tinydsn.api")
    monkeypatch.setitem(sys.modules, "tinydsn.api", module)
    monkeypatch.setattr("tinydsn.api", module, raising=False)
    return module


def cells(*statuses: str) -> dict[str, Any]:
    counts = {"frames": 6, "differing_samples": 0, "differing_gates": 0}
    empty = {"gates": "learned", "reason": "", "first_difference": None, "instructions": None}
    rows = [{"board": "host", "status": status, **counts, **empty} for status in statuses]
    return {"schema": 1, "results": rows, "boards": {}}


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom tinydsn.cli import invoke\ncode = invoke(['--help'])\n"
        f"print(code, [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "0 []\n"
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_an_example_and_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([verb, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"Example: tinydsn {verb}" in printed
    assert "--json" in printed


def test_the_verbs_are_these() -> None:
    assert tuple(command.name for command in app.registered_commands) == VERBS


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--version"]) == 0
    assert capsys.readouterr().out == f"tinydsn {__version__}\n"


def test_no_verb_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke([]) == 2
    captured = capsys.readouterr()
    assert "Usage" in captured.out and captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "error: No such command 'nope'. (see `tinydsn --help`)\n"),
        (["verfy"], "error: No such command 'verfy'. Did you mean 'verify'? (see `tinydsn --help`)\n"),
        (
            ["search", "statu", "runs"],
            "error: No such command 'statu'. Did you mean 'status'? (see `tinydsn search --help`)\n",
        ),
        (
            ["verify", "m", "--wav", "w", "--gates", ","],
            "error: --gates names nothing (leave it out for all)\n",
        ),
        (
            ["verify", "m", "--wav", "w", "--board", ","],
            "error: --board names nothing (leave it out for all)\n",
        ),
        (["verify"], "error: Missing argument 'model'. (see `tinydsn verify --help`)\n"),
        (["boards", "--nope"], "error: No such option: --nope (see `tinydsn boards --help`)\n"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", message)


def raising(error: BaseException) -> Any:
    def function(*arguments: object, **options: object) -> None:
        raise error

    return function


def test_user_errors_are_one_line_and_exit_2(
    api: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    api.boards = raising(AudioError("clip.wav has 2 channels\n  (must be mono)"))  # type: ignore[attr-defined]
    assert invoke(["boards", "--json"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: clip.wav has 2 channels (must be mono)\n")


def test_internal_errors_are_one_line_unless_debugging(
    api: types.ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINYDSN_DEBUG", raising=False)
    api.boards = raising(ZeroDivisionError("oops\nmore"))  # type: ignore[attr-defined]
    assert invoke(["boards"]) == 70
    captured = capsys.readouterr()
    assert captured.err == (
        "error: internal: ZeroDivisionError: oops (a fault of tinydsn; TINYDSN_DEBUG=1 shows where)\n"
    )
    monkeypatch.setenv("TINYDSN_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        invoke(["boards"])


def test_interrupt_is_130(api: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    api.boards = raising(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert invoke(["boards"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m tinydsn --help | true", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_verify_passes_its_arguments_on(api: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[tuple[Any, ...]] = []

    def verify(*arguments: Any, progress: Any, **options: Any) -> dict[str, Any]:
        progress("built for host")
        calls.append((arguments, options))
        return cells("equal")

    api.verify = verify  # type: ignore[attr-defined]
    line = "verify m.tdsn --wav a.wav --board host,x --board y --gates min,learned --frames 7 --json"
    assert invoke([*line.split(), "--kernels", "cmsis-nn"]) == 0
    arguments = ("m.tdsn", Path("a.wav"), ["host", "x", "y"], ["min", "learned"])
    assert calls == [(arguments, {"frames": 7, "kernels": "cmsis-nn"})]
    captured = capsys.readouterr()
    assert json.loads(captured.out) == cells("equal")
    assert captured.err == "built for host\n"


def test_verify_takes_all_boards_and_patterns_by_default(api: types.ModuleType) -> None:
    calls: list[Any] = []

    def verify(*arguments: Any, **options: Any) -> dict[str, Any]:
        calls.extend(arguments)
        return cells("equal")

    api.verify = verify  # type: ignore[attr-defined]
    assert invoke(["verify", "m.tdsn", "--wav", "a.wav"]) == 0
    assert calls[2:] == [["all"], ["learned", "min", "max", "cycle"]]


@pytest.mark.parametrize(
    ("statuses", "allow_skip", "expected"),
    [
        (("equal", "equal"), False, True),
        (("equal", "differs"), True, False),
        (("equal", "failed"), True, False),
        (("equal", "skipped"), False, False),
        (("equal", "skipped"), True, True),
        ((), True, False),
    ],
)
def test_verdict(statuses: tuple[str, ...], allow_skip: bool, expected: bool, api: types.ModuleType) -> None:
    assert passed(cells(*statuses), allow_skip) is expected
    api.verify = lambda *arguments, **options: cells(*statuses)  # type: ignore[attr-defined]
    options = ["--allow-skip"] if allow_skip else []
    assert invoke(["verify", "m", "--wav", "a.wav", "--json", *options]) == (0 if expected else 1)


def test_lists_are_split_and_keep_their_order() -> None:
    assert split(["b, a", "a,c,"]) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (1234567, "1,234,567"), (3.14159, "3.142"), ([1, "x"], "1, x")],
)
def test_cells_read_well(value: Any, text: str) -> None:
    assert cell(value) == text


def test_tables_keep_the_order_of_keys_and_drop_empty_columns() -> None:
    table = rows_table([{"b": 1, "empty": None}, {"b": 2, "a": {"min": 3}}])
    assert [str(column.header) for column in table.columns] == ["b", "a.min"]


def test_results_print_as_a_table(api: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "host", "clock_hz": None}, {"name": "[x]", "clock_hz": 25_000_000}]
    api.boards = lambda: {"schema": 1, "boards": rows}  # type: ignore[attr-defined]
    assert invoke(["boards"]) == 0
    printed = capsys.readouterr().out
    assert "25,000,000" in printed and "[x]" in printed
