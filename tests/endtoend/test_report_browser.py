"""The report in a real browser: Debian's Chromium, headless, driven over the DevTools protocol."""

from __future__ import annotations

import importlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinydsn.report import OperatorRow, ReportData, write_report
from tools.browser import Browser, Page, program

SILENCED = "HTMLMediaElement.prototype.canPlayType = () => '';"


@pytest.fixture(scope="module")
def example() -> Callable[..., ReportData]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "unit"))
        made: Callable[..., ReportData] = importlib.import_module("report_example").example
    return made


@pytest.fixture(scope="module")
def report(example: Callable[..., ReportData], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(example(12.0), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    pytest.importorskip("websocket", reason="no websocket-client (pip install 'tinydsn[dev]')")
    executable = program()
    if executable is None:
        pytest.skip("no browser (apt-get install chromium)")
    opened = Browser(executable, tmp_path_factory.mktemp("browser") / "profile")
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def page(browser: Browser, report: Path) -> Iterator[Page]:
    opened = browser.open(report.as_uri())
    opened.screen(1280, 900)
    yield opened
    # Whatever the tests did, the page must not have complained, nor asked for anything.
    assert opened.complaints() == []
    assert opened.requests() == [report.as_uri()]


def test_page_loads_without_complaints(page: Page) -> None:
    assert page.run("document.documentElement.className") == "js"
    assert page.run("document.title") == "DSN-S on an emulated Cortex-M4"
    assert page.complaints() == []


def test_players_know_their_duration(page: Page) -> None:
    durations = page.run(
        """Promise.all([...document.querySelectorAll("audio")].map((player) => new Promise((done) => {
             if (player.readyState >= 1) done(player.duration);
             player.onloadedmetadata = () => done(player.duration);
             player.onerror = () => done(-1);
           })))"""
    )
    assert durations == [12.0] * 3


def test_other_players_follow_a_seek(page: Page) -> None:
    moved = page.run(
        """(async () => {
             const [noisy, enhanced, clean] = document.querySelectorAll("audio");
             const seeked = (player) => new Promise((done) => {
               player.addEventListener("seeked", done, {once: true}); });
             const others = [seeked(enhanced), seeked(clean)];
             noisy.currentTime = 3;
             await Promise.all(others);
             return [noisy.currentTime, enhanced.currentTime, clean.currentTime,
                     document.getElementById("timeline").style.getPropertyValue("--play")];
           })()"""
    )
    assert moved == [3, 3, 3, "0.25"]


def test_one_player_plays_at_a_time(page: Page) -> None:
    made = page.run(
        """(async () => {
             const [noisy, enhanced] = document.querySelectorAll("audio");
             const moves = (player, from) => new Promise((done) => {
               player.addEventListener("timeupdate", () => player.currentTime > from && done()); });
             noisy.currentTime = 1;
             await noisy.play();
             await moves(noisy, 1.05);
             await enhanced.play();
             const paused = noisy.paused;
             await moves(enhanced, enhanced.currentTime + 0.05);
             enhanced.pause();
             return [paused, enhanced.parentElement.classList.contains("active"),
                     noisy.parentElement.classList.contains("active"), enhanced.currentTime > 1];
           })()"""
    )
    assert made == [True, True, False, True]


def test_pictures_are_decoded(page: Page) -> None:
    sizes = page.run("[...document.images].map((image) => image.complete && image.naturalWidth)")
    assert len(sizes) == 4 and all(sizes)


def test_click_on_the_drawing_goes_there(page: Page) -> None:
    made = page.run(
        """(() => {
             const plot = document.querySelector(".spectrum");
             const box = plot.getBoundingClientRect();
             const at = {clientX: box.left + box.width / 2, clientY: box.top + 5, bubbles: true};
             plot.dispatchEvent(new MouseEvent("click", at));
             return [document.querySelector("audio").currentTime,
                     document.getElementById("readout").textContent];
           })()"""
    )
    assert abs(made[0] - 6) < 0.02
    assert made[1].startswith("6.00 s · frame 375 · gates: ") and made[1].endswith(" instructions")


ROWS, HEAD_CELLS = "#operator-table tbody tr", "#operator-table thead th"
COLUMN = f"""[...document.querySelectorAll("{ROWS}")].map((row) => row.cells[%d].textContent)"""
HEADS = f"""[...document.querySelectorAll("{HEAD_CELLS}")].map((head) => head.getAttribute("aria-sort"))"""
BUTTON = "document.querySelectorAll('#operator-table button')[%d]"
SORTED = """(() => {
  const wrong = [];
  for (const table of document.querySelectorAll("table")) {
    for (const button of table.querySelectorAll("button[data-sort]")) {
      const head = button.closest("th");
      const read = () => [...table.tBodies[0].rows].map((row) => {
        const cell = row.cells[head.cellIndex];
        const text = cell.dataset.value ?? cell.textContent.trim();
        return button.dataset.sort === "number" ? Number(text) : text;
      });
      const compare = (a, b) =>
        button.dataset.sort === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
      for (const round of [0, 1]) {
        button.click();
        const order = head.getAttribute("aria-sort");
        const values = read();
        if (order === "descending") values.reverse();
        const fine = values.every((value, row) => !row || compare(values[row - 1], value) <= 0);
        const others = [...head.parentElement.cells].filter((cell) => cell !== head);
        const alone = others.every((cell) => (cell.getAttribute("aria-sort") ?? "none") === "none");
        const counted = values.every((value) => !Number.isNaN(value));
        if (!fine || !alone || !counted) wrong.push([button.textContent, order]);
      }
    }
    table.querySelector("button[data-sort]")?.click();
  }
  return [document.querySelectorAll("table:has(button[data-sort])").length, wrong];
})()"""


def test_table_sorts_with_mouse_and_keyboard(page: Page) -> None:
    order = [int(value) for value in page.run(COLUMN % 0)]
    assert order == list(range(1, 18))
    page.run(f"{BUTTON % 6}.click()")
    counts = [int(value.replace(",", "")) for value in page.run(COLUMN % 6)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]
    assert page.run(HEADS)[6] == "descending"
    page.run(f"{BUTTON % 1}.focus()")
    page.press("Enter", 13)
    names = [value.split("dsn.py")[0] for value in page.run(COLUMN % 1)]
    assert names == sorted(names)
    assert page.run(HEADS) == ["none", "ascending"] + ["none"] * 8
    assert page.run("document.getElementById('sorted').textContent") == "Sorted by Operator, ascending"
    page.press("Enter", 13)
    assert [value.split("dsn.py")[0] for value in page.run(COLUMN % 1)] == names[::-1]
    page.run(f"{BUTTON % 0}.click()")
    assert [int(value) for value in page.run(COLUMN % 0)] == order


def test_all_tables_sort_by_all_columns(page: Page) -> None:
    assert page.run(SORTED) == [11, []]


def test_idle_operators_are_shown_when_asked_for(
    browser: Browser, example: Callable[..., ReportData], tmp_path: Path
) -> None:
    rows = example(1.0).operators
    idle = OperatorRow("view", "reshape", "", "4", 0, None, None, None, 16)
    brief = browser.open(write_report(example(1.0, operators=[idle, *rows]), tmp_path).as_uri())
    shown = (
        "[...document.querySelectorAll('#operator-table tbody tr')].filter((row) => row.checkVisibility())"
    )
    assert brief.run(f"{shown}.length") == len(rows)
    brief.run("document.getElementById('idle').click()")
    assert brief.run(f"{shown}.length") == len(rows) + 1
    assert brief.complaints() == []
    brief.close()


def test_focus_can_be_seen(page: Page) -> None:
    # The next Tab starts from the body again, wherever the tests before have left the focus.
    page.run("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    page.press("Tab", 9)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.run("document.activeElement.className") == "skip"
    assert page.run(outline) == "solid"
    page.press("Tab", 9)
    assert page.run("document.activeElement.hash") == "#summary"
    assert page.run(outline) == "solid"


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_page_is_wider_than_its_window(page: Page, width: int) -> None:
    page.screen(width, 800)
    assert page.run("document.documentElement.scrollWidth") <= width
    page.screen(1280, 900)


# Text on what it lies on; pictures, gradients and what is not seen are left out.
POOR = """(() => {
  const parse = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    const unit = text.startsWith("color(") ? 1 : 255;
    return [...parts.slice(0, 3).map((part) => part / unit), parts[3] ?? 1];
  };
  const over = (top, under) => [...[0, 1, 2].map((k) => top[3] * top[k] + (1 - top[3]) * under[k]), 1];
  const behind = (element) => {
    if (!element) return [1, 1, 1, 1];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (!texts.length || !element.checkVisibility() || element.closest("svg, script, audio")) continue;
    const back = behind(element);
    const ink = over(parse(getComputedStyle(element).color), back);
    const [low, high] = [light(ink), light(back)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) found.push([element.tagName, texts[0].data.trim().slice(0, 30), ratio]);
  }
  return found;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out(page: Page, scheme: str) -> None:
    page.screen(1280, 900, scheme)
    dark = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 23)"
    assert dark == (scheme == "dark")
    assert page.run(POOR) == []
    page.screen(1280, 900)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "dark")])
def test_screenshot_shows_something(page: Page, width: int, scheme: str) -> None:
    image = pytest.importorskip("PIL.Image", reason="no Pillow (pip install 'tinydsn[dev]')")
    page.screen(width, 900, scheme)
    page.run("document.getElementById('listen').scrollIntoView()")
    shown = np.asarray(image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    page.screen(1280, 900)
    assert shown.shape == (900, width, 3)
    back = np.median(shown.reshape(-1, 3), axis=0)
    assert (back.mean() < 60) == (scheme == "dark")
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 500


def notice(page: Page) -> Any:
    """The sentence about sound, "" while it is hidden."""
    return page.run(
        "(({hidden, textContent}) => hidden ? '' : textContent)(document.getElementById('silent'))"
    )


def test_browser_that_plays_says_nothing_about_sound(page: Page) -> None:
    assert notice(page) == ""


def test_browser_without_sound_is_told_what_to_do(browser: Browser, report: Path, tmp_path: Path) -> None:
    mute = browser.open(report.as_uri(), before=SILENCED)
    assert notice(mute) == (
        "This browser cannot play the recordings. Save them with the links below, and open them in an audio "
        "player; or open this page in another browser, such as Firefox, Chromium or Safari. All else on this "
        "page works without sound."
    )
    browser.call("", "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    mute.run("document.querySelector('a[download=\"enhanced.wav\"]').click()")
    saved, deadline = tmp_path / "enhanced.wav", time.monotonic() + 30
    while not saved.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert saved.read_bytes()[:4] == b"RIFF"
    assert mute.complaints() == []
    mute.close()


def test_recording_that_cannot_be_decoded_is_told_too(browser: Browser, report: Path) -> None:
    broken = browser.open(report.as_uri())
    assert notice(broken) == ""
    broken.run(
        """new Promise((done) => {
             const player = document.querySelector("audio");
             player.addEventListener("error", done);
             player.src = "data:audio/wav;base64,AAAA";
           }).then(() => 0)"""
    )
    assert notice(broken).startswith("This browser cannot play the recordings.")
    broken.close()
