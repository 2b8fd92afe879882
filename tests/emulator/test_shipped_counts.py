"""Executed instructions of the shipped models do not rise by more than 1 % over the committed counts.

The counts are exact, so they are compared only under the fingerprint (compiler, flags, CMSIS-NN) that they
were made with; under another one the test says so and skips. A rise that is wanted, a saving worth keeping,
or a new model is noted with ``pytest tests/emulator/test_shipped_counts.py --update-golden``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.reference import hop_of
from tinydsn.audio.files import replace_file
from tinydsn.profiling.signal import speech_like
from tinydsn.testing import Fingerprint
from tinydsn.testing.firmware import fingerprint_of
from tinydsn.workflow.firmware import build_firmware, run_firmware
from tinydsn.workflow.models import load_model, pretrained

COUNTS = Path(__file__).with_name("shipped_counts.json")
BOARDS = ("mps2-an386", "mps3-an547")
GATES = ("learned", "min", "max")
FRAMES = 60
MOST = 1.01
RENEW = "pytest tests/emulator/test_shipped_counts.py --update-golden"


@dataclass(frozen=True)
class Counts:
    """Of one model on one board: its hash, the fingerprint, and by gates the instructions of all frames
    together (``total``) and of the worst one (``max``)."""

    model: str
    fingerprint: Fingerprint
    instructions: Mapping[str, Mapping[str, int]]

    @staticmethod
    def of(row: Mapping[str, Any]) -> Counts:
        return Counts(row["model"], Fingerprint(**row["fingerprint"]), row["instructions"])


def judge(name: str, expected: Counts, found: Counts) -> tuple[list[str], str | None]:
    """What is wrong, a line each, and why nothing could be compared."""
    if expected.model != found.model:
        return [f"{name}: the model is another one; note its counts: {RENEW}"], None
    if expected.fingerprint != found.fingerprint:
        return [], f"{name}: counts are of another build: {expected.fingerprint.changes(found.fingerprint)}"
    wrong = []
    for gates, counts in found.instructions.items():
        for what, now in counts.items():
            was = expected.instructions[gates][what]
            if now > was * MOST:
                rise = 100 * (now / was - 1)
                wrong.append(f"{name}, gates {gates}, {what}: {now:,}, was {was:,} ({rise:+.2f} %); {RENEW}")
    return wrong, None


def count(model: str, board: str, folder: Path) -> Counts:
    """Build and run one model. Raises MissingTool."""
    loaded = load_model(model)
    firmware = build_firmware(loaded, board, folder)
    frontend = loaded.graph.frontend
    pcm = speech_like(FRAMES * hop_of(loaded.graph), frontend.sample_rate if frontend else 16000)
    found = {}
    for gates in GATES if loaded.graph.gates else GATES[:1]:
        each = run_firmware(firmware, pcm, GatePattern(gates)).instructions
        assert each is not None
        found[gates] = {"total": int(each.sum()), "max": int(each.max())}
    return Counts(loaded.sha256, fingerprint_of(firmware), found)


def read() -> dict[str, dict[str, Any]]:
    return json.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.is_file() else {}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("model", sorted(pretrained()))
def test_no_shipped_model_became_slower(
    model: str, board: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    try:
        found = count(model, board, tmp_path / "project")
    except MissingTool as error:
        pytest.skip(str(error))
    name = f"{model} on {board}"
    if request.config.getoption("--update-golden"):
        rows = {**read(), name: asdict(found)}
        replace_file(COUNTS, (json.dumps(dict(sorted(rows.items())), indent=2) + "\n").encode())
        return
    assert name in read(), f"{name}: no counts; note them: {RENEW}"
    wrong, remark = judge(name, Counts.of(read()[name]), found)
    assert not wrong, "\n".join(wrong)
    if remark:
        pytest.skip(remark)


BUILD = Fingerprint("gcc 12", "-O3", "7.0.0")
WAS = Counts("ab", BUILD, {"max": {"total": 10000, "max": 200}})


def test_one_percent_is_allowed_and_more_is_not() -> None:
    assert judge("m", WAS, Counts("ab", BUILD, {"max": {"total": 10100, "max": 100}})) == ([], None)
    assert judge("m", WAS, Counts("ab", BUILD, {"max": {"total": 10101, "max": 200}})) == (
        [f"m, gates max, total: 10,101, was 10,000 (+1.01 %); {RENEW}"],
        None,
    )


def test_another_build_is_not_compared_and_another_model_fails() -> None:
    slower = {"max": {"total": 20000, "max": 400}}
    other = Fingerprint("gcc 13", "-O3", "7.0.0")
    assert judge("m", WAS, Counts("ab", other, slower)) == (
        [],
        "m: counts are of another build: compiler was 'gcc 12', is 'gcc 13'",
    )
    assert judge("m", WAS, Counts("cd", BUILD, WAS.instructions)) == (
        [f"m: the model is another one; note its counts: {RENEW}"],
        None,
    )
