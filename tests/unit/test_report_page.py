"""The page: complete, escaped, without a network, small, and right about what is missing."""

from __future__ import annotations

import base64
import io
import re
import wave
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from report_example import cell, example

from quant.errors import ConfigError
from tinydsn.report import Memory, OperatorRow, ReportError, render, write_report
from tinydsn.report.render import render_page
from tinydsn.report.summary import report_json


class Reader(HTMLParser):
    """Collects tags with their attributes, ids and text, and refuses tags that do not match."""

    # Inside SVG other tags close themselves with a slash.
    VOID = frozenset({"meta", "link", "img", "br", "wbr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag in self.VOID:
            self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += " " + data.replace("\xa0", " ")

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(**changes: object) -> tuple[str, Reader]:
    data = example(3.0, **changes)
    page = render_page(data, report_json(data))
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return page, reader


def test_page_asks_for_nothing_from_outside() -> None:
    page, reader = read()
    assert "http:" not in page and "https:" not in page and "url(" not in page and "@import" not in page
    for _, attributes in reader.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#"))
    policy = {tag.get("http-equiv"): tag["content"] for tag in reader.of("meta") if "content" in tag}
    assert (policy["Content-Security-Policy"] or "").startswith("default-src 'none';")


def test_players_hold_the_recordings_sample_by_sample() -> None:
    data = example(3.0)
    _, reader = read()
    for attributes, samples in zip(reader.of("audio"), (data.noisy, data.enhanced, data.clean), strict=True):
        source = attributes["src"]
        assert source is not None and samples is not None
        with wave.open(io.BytesIO(base64.b64decode(source.removeprefix("data:audio/wav;base64,")))) as file:
            assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, 16000, 2)
            assert np.array_equal(np.frombuffer(file.readframes(file.getnframes()), "<i2"), samples)


def test_everything_can_be_read_aloud() -> None:
    _, reader = read()
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in reader.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        if (attributes.get("href") or "").startswith("#"):
            assert (attributes["href"] or "")[1:] in ids
    assert all(tag.get("alt") is not None for tag in reader.of("img"))
    assert all(tag.get("aria-label") or tag.get("aria-labelledby") for tag in reader.of("audio"))
    drawings = [tag for tag in reader.of("svg") if tag["viewbox"] != "0 0 100 10"]
    # Five gates, their curve, three patterns, two strips of widths, and the memory map.
    assert len(drawings) == 12
    assert all(
        tag["role"] == "img" and (tag.get("aria-label") or tag.get("aria-labelledby")) for tag in drawings
    )
    assert len(reader.of("caption")) == len(reader.of("table"))
    levels = [int(name[1]) for name, _ in reader.tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    landmarks = [name for name, _ in reader.tags if name in ("header", "nav", "main")]
    assert landmarks == ["header", "nav", "main"]
    assert all(tag.get("aria-labelledby") for tag in reader.of("section"))
    assert all(tag.get("scope") in ("col", "row") for tag in reader.of("th"))
    assert {tag.get("aria-sort", "none") for tag in reader.of("th")} == {"none"}
    heads = [name for name, tag in reader.tags if name == "th" and tag.get("aria-sort")]
    assert len(heads) == len(reader.of("button")) > 40


def test_text_of_the_tiles() -> None:
    _, reader = read()
    words = " ".join(reader.text.split())
    for expected in (
        "Bits equal 20 of 20 firmware against the integer reference",
        "instructions, not cycles",
        "Flash 182 KiB 186,432 bytes weights 118 KiB 4.4 % of the board's 4.00 MiB",
        "SI-SDR +6.64 dB 4.98 → 11.62 dB",
        "OVRL +0.63 2.31 → 2.94",
        "mps3-an547 ✓ equal 187 frames 241 k instructions, worst 337 k",
        "The noise is generated: fan, hum and hiss at 5 dB.",
    ):
        assert expected in words


def test_names_are_escaped() -> None:
    nasty = "</script><img src=x onerror=alert(1)>&\"'"
    row = OperatorRow(nasty, nasty, nasty, nasty, 1, 1.0, 1.0, 8, 8, nasty)
    result = {**cell(nasty, nasty, 3, None), "status": "failed", "reason": nasty}
    data = example(1.0)
    page, reader = read(
        title=nasty,
        model_name=nasty,
        board=nasty,
        gate_names=(nasty, "b", "c", "d", "e"),
        operators=(row,),
        results=[result],
        toolchain={nasty: nasty},
        notes=[nasty],
        memory=Memory(1, 1, 1, 1, 1, (data.memory.plan[0].__class__(nasty, 0, 64, 0, 3),)),
    )
    assert "<img src=x" not in page
    assert len(reader.of("script")) == 2
    assert reader.text.count(nasty) > 10
    assert all("onerror" not in attributes for _, attributes in reader.tags)


def test_host_run_without_instructions() -> None:
    operators = tuple(OperatorRow("a", "b", "", "1", 0, None, None, None, 16) for _ in range(2))
    page, reader = read(board="host", instructions=None, patterns=(), operators=operators, clock_hz=None)
    words = " ".join(reader.text.split())
    assert "Instructions a frame not counted host has no instruction counter" in words
    assert "Instructions are not counted on host." in words
    assert "Share of the clock" not in words
    assert "None" not in words and "nan" not in words.lower().split()
    assert '"instructions": null' in page


def test_model_without_gates() -> None:
    _, reader = read(gates=np.zeros((187, 0), bool), gate_names=())
    assert "This model has no gates: every frame runs every operator." in reader.text
    assert "Gates taken" not in reader.text


def test_bare_run() -> None:
    _, reader = read(
        clean=None,
        instructions=None,
        patterns=(),
        operators=(),
        results=(),
        metrics={},
        notes=(),
        toolchain={},
        states=(),
        search=None,
        memory=Memory(None, None, None, None, None),
        clock_hz=None,
    )
    words = " ".join(reader.text.split())
    assert "Search of bit widths" not in words and "#search" not in [
        tag.get("href") for tag in reader.of("a")
    ]
    assert "The run left no bit widths." in words
    assert len(reader.of("audio")) == 2
    assert "Bits equal not compared run tinydsn verify" in words
    assert "The run left no memory plan." in words


def test_cost_by_gate_pattern() -> None:
    _, reader = read()
    words = " ".join(reader.text.split())
    data = example(3.0)
    names = ("policy. gru", "always")
    row = data.operators[0]
    assert " ".join([*names, *(f"{row.patterns[key]:,.0f}" for key in ("learned", "min", "max"))]) in words
    total = sum(row.patterns["min"] for row in data.operators)
    stack = next(
        tag for tag in reader.of("svg") if (tag.get("aria-label") or "").startswith("Gate pattern min")
    )
    assert (stack["aria-label"] or "").replace(
        "\xa0", " "
    ) == f"Gate pattern min, {total:,.0f} instructions a frame: always 285 k"


def test_bit_widths() -> None:
    _, reader = read()
    words = " ".join(reader.text.split())
    for expected in (
        "Weights 8 bits in 14 policy.gru: 8 bits",
        "Outputs 16 bits in 17 policy.gru: 16 bits",
        "Weights by width Bits Operators Weights 8 14 34,690",
        "States by width Bits States Bytes 8 1 512 16 1 1,024",
    ):
        assert expected in words
    assert [tag.get("aria-label") for tag in reader.of("svg")][-3:-1] == [
        "Weights, operators in order of execution: 8 bits in 14",
        "Outputs, operators in order of execution: 16 bits in 17",
    ]


def test_front_of_a_search() -> None:
    _, reader = read()
    words = " ".join(reader.text.split())
    for expected in (
        "12 of 480 choices of bit widths for dsn-s on mps2-an386 that none surpasses",
        "1 with a larger loss are in the table only.",
        "front 1 40.000 9,000 210,000 3–8 8 yes",
        "front 4 0.200 11,700 222,002 6–8 16 no",
        "w8a16 0.010 20,000 250,000 – – yes",
    ):
        assert expected in words
    points = [tag for tag in reader.of("span") if (tag.get("class") or "").startswith("point")]
    assert len(points) == 13


def test_browser_without_audio_is_told_what_to_do() -> None:
    _, reader = read()
    words = " ".join(reader.text.split())
    assert (
        "This browser has no audio player. Open noisy.wav , in the folder of this page, in an audio player, "
        "or open this page in another browser, such as Firefox, Chromium or Safari."
    ) in words
    (notice,) = [tag for _, tag in reader.tags if tag.get("id") == "silent"]
    assert notice["role"] == "alert" and "hidden" in notice


def test_differences_are_told() -> None:
    wrong = {
        **cell("mps2-an386", "cycle", 187, None),
        "status": "differs",
        "differing_samples": 1234,
        "differing_gates": 2,
        "first_difference": {"frame": 17, "operator": "encoder.gated.conv"},
    }
    skipped = {**cell("mps3-an547", "cycle", 0, None), "status": "skipped", "reason": "no emulator"}
    _, reader = read(results=[cell("host", "cycle", 187, None), wrong, skipped])
    words = " ".join(reader.text.split())
    for expected in (
        "1 of 3 firmware against the integer reference, boards × gate patterns 1 differs 1 skipped",
        "✗ differs 187 frames 1,234 of 47,872 samples 2 gates first in frame 17 in encoder.gated.conv",
        "– skipped no emulator",
    ):
        assert expected in words
    assert "tile bad" in [tag.get("class") for tag in reader.of("div")]


def test_long_recording_is_cut_and_stays_small(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    frames = 40 * 16000 // 256
    noise = [random.integers(-20000, 20000, frames * 256).astype(np.int16) for _ in range(3)]
    data = example(
        2.0,
        noisy=noise[0],
        enhanced=noise[1],
        clean=noise[2],
        gates=random.random((frames, 32)) > 0.5,
        gate_names=[f"gate{k}" for k in range(32)],
        instructions=random.integers(1, 10**9, frames),
    )
    path = write_report(data, tmp_path)
    page = path.read_text()
    assert path.stat().st_size < 5_000_000
    assert "The recording has 40.0 s; players and drawings show its first 30" in page


def test_page_that_cannot_be_small_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "LIMIT", 1000)
    with pytest.raises(ReportError) as caught:
        write_report(example(1.0), tmp_path)
    assert re.fullmatch(
        r"report: the page has \d+ bytes \(must be below 1000\); give it fewer rows", str(caught.value)
    )
    assert list(tmp_path.iterdir()) == []


def test_same_data_same_bytes(tmp_path: Path) -> None:
    first = write_report(example(1.0), tmp_path / "a")
    second = write_report(example(1.0), tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["report.html", "report.json"]


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        write_report(example(1.0), tmp_path / "file" / "out")
    assert str(caught.value).endswith(f"cannot be written (Not a directory: {tmp_path / 'file'})")
