"""Profiles: what is computed from the rows, how they are shown, and the names that they rely on."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.errors import ConfigError
from tinydsn.profiling import as_json, speech_like, tables, write_page
from tinydsn.profiling.data import (
    FRONT_END,
    MAC_KERNELS,
    RUNTIME,
    UNEXPLAINED,
    Frames,
    GateRow,
    Part,
    Profile,
    Ram,
    Symbol,
)
from tinydsn.profiling.flash import CMSIS, KERNELS, LIBRARY, PROGRAM, TABLES, WEIGHTS, _group
from tinydsn.profiling.flash import FRONT_END as FRONT_END_FLASH
from tinydsn.profiling.stages import COPIES, STAGES, stage
from tinydsn.report import PlanRow

RUNTIME_FOLDER = Path(__file__).resolve().parents[2] / "firmware_templates" / "runtime"
BOTH = ("min", "max")


def part(name: str, group: str, off: float, on: float, region: str = "") -> Part:
    counts = {"min": off, "max": on}
    return Part(name, group, region, 100, counts, {"min": float(off > 0), "max": 1.0}, {name: counts})


def example() -> Profile:
    parts = (
        part("fc", MAC_KERNELS, 600.0, 600.0),
        part("more<b>", MAC_KERNELS, 0.0, 300.0, "gate"),
        part("FFT forward", FRONT_END, 380.0, 380.0),
        part("branches, gates and calls", RUNTIME, 15.0, 15.0),
        part("between operators: strange", UNEXPLAINED, 5.0, 5.0),
    )
    return Profile(
        model="net",
        model_sha256="ab" * 32,
        board="mps2-an386",
        core="cortex-m4",
        toolchain={"cc": "gcc", "qemu": None},
        signal="a chirp",
        frames=7,
        totals={"min": Frames(990, 1000.0, 1009, 1010), "max": Frames(1300, 1300.0, 1300, 1300)},
        parts=parts,
        gates=(GateRow("gate", 301.0, 300.0, 17.0, {"min": 0.0, "max": 1.0}),),
        flash=1000,
        symbols=(Symbol("w", WEIGHTS, 700), Symbol("f", KERNELS, 200), Symbol("g", KERNELS, 100)),
        ram=Ram(96, 80, (("state", 16),), 64, (PlanRow("x", 0, 64, 0, 1),), ("input", "fc"), (64, 64)),
        stack=120,
    )


def test_groups_sum_to_the_frame() -> None:
    profile = example()
    for name in BOTH:
        assert sum(profile.by_group(name).values()) == profile.totals[name].mean
    assert profile.non_mac_share("min") == pytest.approx(0.4)
    assert profile.non_mac_share("max") == pytest.approx(400 / 1300)
    assert profile.unexplained("min") == pytest.approx(0.005)
    assert profile.flash_by_group() == {WEIGHTS: 700, KERNELS: 300}


def test_json_holds_all_rows() -> None:
    value = json.loads(json.dumps(as_json(example())))
    assert value["non_mac_share"] == {"min": 0.4, "max": 0.30769}
    assert [row["name"] for row in value["parts"]][:2] == ["fc", "more<b>"]
    assert value["gates"] == [
        {"gate": "gate", "adds": 301.0, "operators": 300.0, "skipped": 17.0, "used": {"min": 0.0, "max": 1.0}}
    ]
    assert value["flash"]["groups"] == {WEIGHTS: 700, KERNELS: 300}
    assert value["ram"]["states"] == {"state": 16} and value["ram"]["in_use"] == [64, 64]
    assert value["stack"] == 120 and value["frames"] == 7


def test_tables_have_a_column_a_pattern() -> None:
    found = tables(example())
    row = next(row for row in found["operators (instructions a frame)"] if row["operator"] == "more<b>")
    assert (row["min"], row["max"], row["gate"]) == (0, 300, "gate")
    assert [row["part"] for row in found["front end"]] == ["FFT forward"]
    assert found["groups"][0] == {"group": MAC_KERNELS, "min": 600, "max": 900, "min %": 60.0, "max %": 69.23}


def test_the_page_stands_alone_and_escapes_names(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "profile.html"
    write_page(example(), path)
    page = path.read_text()
    assert "more&lt;b&gt;" in page and "more<b>" not in page
    assert not re.search(r"(src|href)=|@import|url\(", page)
    assert page.count("<svg") == 4
    assert [item.name for item in path.parent.iterdir()] == ["profile.html"]


def test_the_picture_is_one_svg_whose_bars_have_one_scale(tmp_path: Path) -> None:
    write_page(example(), tmp_path / "profile.svg")
    text = (tmp_path / "profile.svg").read_text()
    assert text.count("<svg") == 1 and "gates min: 1,000 instructions a frame" in text
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="46"', text)]
    assert sum(widths) == pytest.approx(1000 + 1000 * 1000 / 1300, abs=0.1)


def test_a_profile_without_states_or_plan_is_shown(tmp_path: Path) -> None:
    bare = replace(example(), ram=Ram(0, 0, (), 0, (), (), ()), gates=(), symbols=())
    write_page(bare, tmp_path / "profile.html")
    assert tables(bare)["arena, most in use"] == 0


def test_another_ending_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "profile.png"
    with pytest.raises(ConfigError) as caught:
        write_page(example(), path)
    assert str(caught.value) == f"{path}: a profile is a page or a picture (must end in .html or .svg)"
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "home", "group"),
    [
        ("tinydsn_first_weight", "src_tinydsn_weights.c.o", WEIGHTS),
        ("tinydsn_constant_exp", "src_tinydsn_weights.c.o", TABLES),
        ("tinydsn_frontend_sine", "src_tinydsn_frontend_tables.c.o", FRONT_END_FLASH),
        ("compress", "tinydsn_frontend.c", FRONT_END_FLASH),
        ("tinydsn_add_s16", "kernels_tinydsn_add_s16.c.o", KERNELS),
        ("helper", "tinydsn_add_s16.c", KERNELS),
        ("arm_convolve_s16", "", CMSIS),
        ("memcpy", "", LIBRARY),
        ("app_main", "app_main.c.o", PROGRAM),
    ],
)
def test_symbols_find_their_group(name: str, home: str, group: str) -> None:
    assert _group(name, home, frozenset({"tinydsn_constant_exp"})) == group


def test_every_step_of_the_front_end_is_a_function_of_its_own() -> None:
    """A renamed or inlined function would move its instructions to another row, or leave them unexplained."""
    text = "".join(path.read_text() for path in RUNTIME_FOLDER.glob("tinydsn_frontend*.h"))
    apart = set(re.findall(r"^\w+ (tinydsn_f\w+)\(", text, re.MULTILINE)) - {"tinydsn_frontend_reset"}
    text = (RUNTIME_FOLDER / "tinydsn_frontend.c").read_text()
    apart |= set(re.findall(r"TINYDSN_NOINLINE \w+ (\w+)\(", text))
    assert {function for _, function in STAGES} - COPIES == apart
    name = "tinydsn_frontend_split"
    assert stage("analysis", f"{name}.constprop.0") == stage("analysis", name) is not None
    assert stage("synthesis", name) is None


def test_the_signal_is_the_same_each_time_and_not_silent() -> None:
    first, again = speech_like(16000, 16000), speech_like(16000, 16000)
    assert first.dtype == np.int16 and np.array_equal(first, again)
    assert np.std(first) > 200 and not np.array_equal(first, speech_like(16000, 16000, seed=5))
    assert np.abs(speech_like(4000, 8000)).max() < 32767
