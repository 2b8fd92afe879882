"""Settings, tables and sizes of the front end."""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

import numpy as np
import pytest

from quant.errors import ConfigError, ToolchainError
from quant.frontend import FrontEnd
from quant.frontend.config import WINDOWS
from quant.frontend.tables import c_tables, exact_tables, front_end_memory, front_end_tables
from tinydsn.codegen.cmsis import cmsis_dsp_root


def test_defaults_are_profile_a() -> None:
    config = FrontEnd()
    assert (config.sample_rate, config.window, config.hop, config.bins) == (16000, 512, 256, 256)
    assert (config.compression, config.feature_fraction_bits, config.kind) == (0.3, 12, "stft-mask")
    assert (config.overlap, config.latency) == (2, 256)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "mel"}, "kind is 'mel' (must be one of stft-mask)"),
        ({"sample_rate": 0}, "sample_rate is 0 (must be in 8000..192000 Hz)"),
        ({"window": 500}, "window is 500 (must be one of 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)"),
        ({"window": 512.0}, "window is 512.0 (must be a whole number)"),
        ({"hop": True}, "hop is True (must be a whole number)"),
        ({"hop": 160}, "hop is 160 (must be window / 2, / 4 or / 8: one of [256, 128, 64] for window 512)"),
        ({"bins": 128}, "bins is 128 (must be 256 or 257 for window 512)"),
        ({"compression": 0.0}, "compression is 0.0 (must be in 0.05..1)"),
        ({"compression": float("nan")}, "compression is nan (must be in 0.05..1)"),
        ({"compression": "0.3"}, "compression is '0.3' (must be in 0.05..1)"),
        ({"feature_fraction_bits": 16}, "feature_fraction_bits is 16 (must be in 0..15)"),
    ],
)
def test_illegal_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FrontEnd(**settings)
    assert str(caught.value) == f"front end: {message}"


def test_json_round_trip() -> None:
    config = FrontEnd(window=1024, hop=256, bins=513, compression=0.5)
    assert FrontEnd.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert FrontEnd.from_json({}) == FrontEnd()


def test_json_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ConfigError) as caught:
        FrontEnd.from_json({"hop": 256, "windows": 512})
    assert str(caught.value) == (
        "front end: unknown setting windows (legal: sample_rate, window, hop, bins, compression, "
        "feature_fraction_bits, kind)"
    )
    with pytest.raises(ConfigError) as caught:
        FrontEnd.from_json([512])  # type: ignore[arg-type]
    assert str(caught.value) == "front end: must be a table of settings, not list"


@pytest.mark.parametrize("window", WINDOWS)
def test_no_table_entry_is_near_a_tie(window: int) -> None:
    """A libm that errs by several units in the last place still rounds to the same integers."""
    for name, values in exact_tables(window).items():
        exact = np.array(values)
        tie = 0.95 if name in ("turns", "half_turns") else 0.5
        distance = np.abs(exact - np.floor(exact) - tie)
        assert (distance > 16 * np.spacing(np.abs(exact))).all(), name


def test_tables_are_the_same_on_every_machine() -> None:
    tables = front_end_tables(FrontEnd())
    checksums = [zlib.crc32(t.astype("<i4").tobytes()) for t in (tables.sine, tables.log2, tables.exp2)]
    assert checksums == [2555836880, 886059653, 2902311658]
    assert zlib.crc32(tables.turns.astype("<i4").tobytes()) == 3035222305


@pytest.mark.parametrize("window", WINDOWS)
def test_turns_are_the_factors_of_cmsis_dsp(window: int) -> None:
    """Those with which its ``arm_cfft_q31``, the witness of our FFT, turns points of the same length."""
    try:
        text = (cmsis_dsp_root() / "Source" / "CommonTables" / "arm_common_tables.c").read_text()
    except ToolchainError as error:
        pytest.skip(str(error))
    tables = front_end_tables(FrontEnd(window=window, hop=window // 2, bins=window // 2))
    points = window // 2
    found = re.search(rf"twiddleCoef_{points}_q31\[[^=]*=\s*\{{(.*?)\}};", text, re.DOTALL)
    assert found
    words = np.array([int(word, 16) for word in re.findall(r"0x[0-9A-Fa-f]+", found.group(1))], np.uint32)
    factors = words.astype(np.int32).reshape(-1, 2)
    step = 2 if len(tables.half_turns) else 1
    places = step * np.arange(points // step // 4)[:, None] * np.array([1, 2, 3])
    assert np.array_equal(tables.turns.reshape(-1, 3, 2), factors[places])
    if step == 2:
        assert np.array_equal(tables.half_turns.reshape(-1, 2), factors[: points // 2])


def test_memory_of_profile_a() -> None:
    memory = front_end_memory(FrontEnd())
    assert (memory.state, memory.spectrum, memory.scratch) == (256 * 2 + 256 * 4 + 4 + 4, 2048, 0)


def test_c_tables_hold_every_entry() -> None:
    config = FrontEnd()
    context = c_tables(config)
    assert [(t["name"], t["length"]) for t in context["tables"]] == [
        ("sine", 257),
        ("line_turns", 254),
        ("turns", 384),
        ("log2", 129),
        ("exp2", 129),
    ]
    for table in context["tables"]:
        values = [int(v) for row in table["rows"] for v in row.split(",")]
        assert values == getattr(front_end_tables(config), table["name"]).tolist()
        assert all(len(row) <= 100 for row in table["rows"])
