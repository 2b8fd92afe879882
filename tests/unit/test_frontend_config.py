"""Settings, tables and sizes of the front end."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from quant.frontend.config import WINDOWS
from quant.frontend.tables import c_tables, exact_tables, front_end_memory, front_end_tables


def test_defaults_are_profile_a() -> None:
    config = FrontEnd()
    assert (config.sample_rate, config.window, config.hop, config.bins) == (16000, 512, 256, 256)
    assert (config.compression, config.feature_fraction_bits, config.kind) == (0.3, 12, "stft-mask")
    assert (config.overlap, config.latency) == (2, 256)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "mel"}, "kind is 'mel' (must be one of stft-mask, stft-features)"),
        ({"sample_rate": 0}, "sample_rate is 0 (must be in 8000..192000 Hz)"),
        ({"window": 500}, "window is 500 (must be one of 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)"),
        ({"window": 512.0}, "window is 512.0 (must be a whole number)"),
        ({"hop": True}, "hop is True (must be a whole number)"),
        ({"channels": 3}, "channels is 3 (must be one of 1, 2)"),
        ({"channels": 2, "kind": "stft-features"}, "channels is 2 (must be one of 1)"),
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
    assert FrontEnd.from_json({"arithmetic": 2}) == FrontEnd()
    assert FrontEnd.from_json(FrontEnd(channels=2).to_json()) == FrontEnd(channels=2)
    assert "channels" not in FrontEnd().to_json(), "files of one channel are as they were"


def test_json_of_other_arithmetic_is_refused() -> None:
    """A file from before a change of bits must not run with others: it was checked with its own."""
    for values, found in [({"hop": 256}, 1), ({"hop": 256, "arithmetic": 3}, 3)]:
        with pytest.raises(ConfigError) as caught:
            FrontEnd.from_json(values)
        assert str(caught.value) == (
            f"front end: made for arithmetic {found} (this tinydsn computes 2); quantize the model again"
        )


def test_json_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ConfigError) as caught:
        FrontEnd.from_json({"hop": 256, "windows": 512})
    assert str(caught.value) == (
        "front end: unknown setting 'windows', did you mean 'window'? (must be sample_rate, window, hop, "
        "bins, compression, feature_fraction_bits, kind, channels or arithmetic)"
    )
    with pytest.raises(ConfigError) as caught:
        FrontEnd.from_json([512])  # type: ignore[arg-type]
    assert str(caught.value) == "front end: must be a table of settings, not list"


@pytest.mark.parametrize("compression", [0.05, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("window", WINDOWS)
def test_no_table_entry_is_near_a_tie(window: int, compression: float) -> None:
    """A libm that errs by several units in the last place still rounds to the same integers."""
    config = FrontEnd(window=window, hop=window // 4, bins=window // 2, compression=compression)
    for name, values in exact_tables(config).items():
        exact = np.array(values)
        distance = np.abs(exact - np.floor(exact) - 0.5)
        # One half itself is an exact power of two.
        assert (distance > 16 * np.spacing(np.abs(exact)))[exact != 0.5].all(), name


def test_tables_are_the_same_on_every_machine() -> None:
    tables = front_end_tables(FrontEnd())
    names = ("analysis_weights", "synthesis_weights", "turns", "line_turns", "gains", "curve")
    checksums = {name: zlib.crc32(getattr(tables, name).astype("<i4").tobytes()) for name in names}
    assert checksums == {
        "analysis_weights": 2835310204,
        "synthesis_weights": 2555836880,
        "turns": 739740782,
        "line_turns": 169508865,
        "gains": 3181752113,
        "curve": 1753649233,
    }


@pytest.mark.parametrize("window", WINDOWS)
def test_turns_are_even_and_go_round(window: int) -> None:
    """Cores with vectors take half of them."""
    turns = front_end_tables(FrontEnd(window=window, hop=window // 2, bins=window // 2)).turns
    points = window // 2
    assert not (turns & 1).any()
    angles = np.arange(points // 4)[:, None] * np.array([1, 2, 3]) * 2 * np.pi / points
    exact = 2.0**31 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    assert np.abs(turns.reshape(-1, 3, 2) - exact).max() <= 2


@pytest.mark.parametrize("compression", [0.05, 0.3, 0.5, 1.0])
def test_curve_follows_the_power_and_never_falls(compression: float) -> None:
    curve = front_end_tables(FrontEnd(compression=compression)).curve.astype(np.int64).reshape(-1, 2)
    mantissa = np.concatenate([2**31 + np.arange(64) * 2**25 + offset for offset in (0, 1, 2**24, 2**25 - 1)])
    mantissa.sort()
    start, slope = curve[(mantissa >> 25) & 63].T
    value = start + ((mantissa - 2**32) * slope >> 32)
    assert (np.diff(value) >= 0).all()
    exact = 2.0**24 * (mantissa / 2**32) ** (compression / 2)
    assert np.abs(value / exact - 1).max() < 8e-6


def test_memory_of_profile_a() -> None:
    memory = front_end_memory(FrontEnd())
    assert (memory.state, memory.spectrum, memory.scratch) == (256 * 2 + 256 * 4, 2048, 0)


def test_c_tables_hold_every_entry() -> None:
    config = FrontEnd()
    context = c_tables(config)
    assert [(t["name"], t["length"]) for t in context["tables"]] == [
        ("analysis_weights", 257),
        ("synthesis_weights", 257),
        ("turns", 384),
        ("line_turns", 254),
        ("gains", 65),
        ("curve", 128),
    ]
    for table in context["tables"]:
        values = [int(v) for row in table["rows"] for v in row.split(",")]
        assert values == getattr(front_end_tables(config), table["name"]).tolist()
        assert all(len(row) <= 100 for row in table["rows"])
