"""``tinydsn profile`` of the shipped model: every instruction and every byte of flash has its row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant.errors import MissingTool
from quant.gates import GatePattern
from tinydsn.cli import invoke
from tinydsn.profiling import Profile, as_json, profile_firmware, speech_like
from tinydsn.profiling.data import FRONT_END
from tinydsn.profiling.stages import STAGES
from tinydsn.workflow.firmware import build_firmware
from tinydsn.workflow.models import Model

FRAMES = 60
MOST_INSTRUCTIONS_TO_SKIP = 20


@pytest.fixture(scope="module", params=["mps2-an386", "mps3-an547"])
def profile(
    request: pytest.FixtureRequest, model: Model, tmp_path_factory: pytest.TempPathFactory
) -> Profile:
    folder = tmp_path_factory.mktemp("profile") / "project"
    try:
        firmware = build_firmware(model, request.param, folder)
    except MissingTool as error:
        pytest.skip(str(error))
    return profile_firmware(firmware, speech_like(256 * FRAMES, 16000), [GatePattern("learned")], "made")


def test_every_instruction_has_a_row(profile: Profile) -> None:
    assert profile.patterns == ("learned", "min", "max")
    for name, total in profile.totals.items():
        assert sum(part.instructions[name] for part in profile.parts) == pytest.approx(total.mean, abs=1e-6)
        assert profile.unexplained(name) < 0.01
    for part in profile.parts:
        for name in profile.patterns:
            of_functions = sum(counts[name] for counts in part.functions.values())
            assert of_functions == pytest.approx(part.instructions[name], abs=1e-6)


def test_all_steps_of_the_front_end_are_there(profile: Profile) -> None:
    steps = [part.name for part in profile.parts if part.group == FRONT_END]
    assert steps == list(dict.fromkeys(STAGES.values()))


def test_gates_add_what_lies_between_all_off_and_all_on(profile: Profile) -> None:
    difference = profile.totals["max"].mean - profile.totals["min"].mean
    # Operators outside the regions see other data: norms and the front end execute a little more or less.
    assert sum(row.adds for row in profile.gates) == pytest.approx(difference, rel=2e-3)
    for row in profile.gates:
        assert 0 < row.skipped <= MOST_INSTRUCTIONS_TO_SKIP
        assert (row.used["min"], row.used["max"]) == (0.0, 1.0)
        assert row.operators <= row.adds < 1.02 * row.operators


def test_every_byte_of_flash_has_a_row(profile: Profile) -> None:
    assert sum(profile.flash_by_group().values()) == profile.flash
    assert 0 <= profile.symbols[-1].bytes < 0.02 * profile.flash
    assert {"weights", "tables", "kernels", "front end", "runtime"} <= set(profile.flash_by_group())


def test_ram_over_time_is_the_plan(profile: Profile) -> None:
    assert len(profile.ram.in_use) == len(profile.ram.steps)
    assert max(profile.ram.in_use) <= profile.ram.arena < profile.ram.context <= profile.ram.total
    assert profile.stack > 0


def test_the_verb_writes_a_page_and_prints_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], profile: Profile
) -> None:
    page = tmp_path / "profile.html"
    words = ["profile", "dsn-s", "--board", profile.board, "--frames", "8", "--json", "-o", str(page)]
    assert invoke(words) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["frames"] == 8 and value["profile"] == str(page)
    assert set(as_json(profile)) < set(value)
    assert page.read_text().startswith("<!doctype html>")


def test_the_host_is_refused_and_a_wrong_ending_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["profile", "dsn-s", "--board", "host", "--frames", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: host: instructions are counted in QEMU only, which does not have this board; choose one with "
        "an emulator (see `tinydsn boards`)"
    )
    assert invoke(["profile", "dsn-s", "--board", "mps2-an386", "-o", "profile.png"]) == 2
    assert capsys.readouterr().err == (
        "error: profile.png: a profile is a page or a picture (must end in .html or .svg)\n"
    )
