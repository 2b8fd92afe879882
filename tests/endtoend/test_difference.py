"""When bits differ, verify names the frame and the operator where it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.graph import IntegerGraph
from tinydsn.workflow.difference import first_operator
from tinydsn.workflow.firmware import build_firmware
from tinydsn.workflow.models import Model, load_model


def with_flipped_weight(model: Model, operator: str) -> Model:
    """The model with the lowest bit of every weight of one operator flipped, under the same name."""
    name = f"{operator}.weight"
    constants = {**model.graph.constants, name: model.graph.constants[name] ^ 1}
    graph = replace(model.graph, constants=constants)
    assert isinstance(graph, IntegerGraph)
    return Model(graph, model.path, model.sha256)


@pytest.mark.parametrize("board", ["host", "mps2-an386"])
@pytest.mark.parametrize(
    ("operator", "named"),
    [
        ("first", "first"),
        ("recurrence.gated.cell.hidden", "recurrence.gated.cell.update"),  # one kernel for the whole cell
        ("last", "last"),
    ],
)
def test_the_operator_where_a_difference_begins_is_named(
    board: str, operator: str, named: str, noisy_speech: np.ndarray, tmp_path: Path
) -> None:
    model = load_model("dsn-s")
    try:
        changed = build_firmware(with_flipped_weight(model, operator), board, tmp_path / "project")
    except MissingTool as error:
        pytest.skip(str(error))
    found = first_operator(changed, noisy_speech[: 256 * 30], GatePattern("max"), 20, reference=model)
    assert found == named


def test_equal_firmware_leaves_the_front_end(noisy_speech: np.ndarray, tmp_path: Path) -> None:
    firmware = build_firmware(load_model("dsn-s"), "host", tmp_path / "project")
    found = first_operator(firmware, noisy_speech[: 256 * 30], GatePattern("cycle"), 20)
    assert found == "front end"
