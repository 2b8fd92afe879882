"""The report in a real browser: Debian's Chromium, headless, driven through its debugging pipe."""

from __future__ import annotations

import base64
import fcntl
import importlib
import io
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PATIENCE = 60.0


class Browser:
    """One page of a headless Chromium. Messages are JSON that ends with a zero byte, on fds 3 and 4."""

    def __init__(self, program: str, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        # Above 9, so that the shell's redirections to 3 and 4 cannot close them first.
        read, write = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ours[0], theirs[1]))
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.since = ours[1], theirs[0]
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "bash", *command],
            pass_fds=(read, write),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(read)
        os.close(write)
        self.number, self.buffer, self.session = 0, b"", ""
        self.events: list[dict[str, Any]] = []

    def open(self, url: str) -> None:
        """Open ``url`` in a page of its own, with its errors collected from the first moment."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._receive()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command of the DevTools protocol."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """One key stroke."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def screen(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the size of the window, in CSS pixels, and the colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, width: int, height: int) -> np.ndarray:
        """The window's pixels at half its size, uint8 ``[height / 2, width / 2, 3]``."""
        top = self.run("window.scrollY")
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 0.5}
        return unpack(base64.b64decode(self.call("Page.captureScreenshot", format="png", clip=clip)["data"]))

    def complaints(self) -> list[str]:
        """Errors, warnings and exceptions so far."""
        found = []
        for event in self.events:
            text = json.dumps(event["params"])
            if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                found.append(text)
        return found

    def requests(self) -> list[str]:
        """Addresses that the page asked for, data URIs left out."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        addresses = [event["params"]["request"]["url"] for event in sent]
        return [address for address in addresses if not address.startswith("data:")]

    def close(self) -> None:
        """End the browser and its children."""
        os.close(self.to)
        os.close(self.since)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.buffer:
            ready = select.select([self.since], [], [], max(0, deadline - time.monotonic()))[0]
            content = os.read(self.since, 1 << 20) if ready else b""
            assert content, "the browser ended or does not answer"
            self.buffer += content
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message


def unpack(content: bytes) -> np.ndarray:
    """Pixels of an 8-bit RGB or RGBA PNG, uint8 ``[height, width, 3]`` (row filters undone)."""
    file, chunks = io.BytesIO(content[8:]), {}
    while head := file.read(8):
        length, kind = struct.unpack(">I4s", head)
        chunks[kind] = chunks.get(kind, b"") + file.read(length)
        file.read(4)
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    size = {2: 3, 6: 4}[colour]
    assert depth == 8
    data = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    above = np.zeros(width * size, np.uint8)
    rows = []
    for line in data:
        above = unfilter(int(line[0]), line[1:], above, size)
        rows.append(above)
    return np.stack(rows).reshape(height, width, size)[:, :, :3]


def unfilter(kind: int, line: np.ndarray, above: np.ndarray, size: int) -> np.ndarray:
    """One row of a PNG without its filter."""
    if kind == 0:
        return line
    if kind == 1:
        return np.cumsum(line.reshape(-1, size), axis=0, dtype=np.uint8).ravel()
    if kind == 2:
        return line + above
    out = bytearray(line.tobytes())
    up = above.tobytes()
    for index in range(len(out)):
        left = out[index - size] if index >= size else 0
        corner = up[index - size] if index >= size else 0
        guess = (left + up[index]) // 2 if kind == 3 else paeth(left, up[index], corner)
        out[index] = (out[index] + guess) & 255
    return np.frombuffer(bytes(out), np.uint8)


def paeth(left: int, up: int, corner: int) -> int:
    """The PNG specification's Paeth predictor."""
    target = left + up - corner
    return min((left, up, corner), key=lambda value: abs(target - value))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None or shutil.which("bash") is None:
        pytest.skip("no browser (apt-get install chromium)")
    from tinydsn.report import write_report

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "unit"))
        data = importlib.import_module("report_example").example(12.0)
    folder = tmp_path_factory.mktemp("report")
    report = write_report(data, folder / "out")
    browser = Browser(program, folder / "profile")
    try:
        browser.open(report.as_uri())
        browser.screen(1280, 900)
        yield browser
        # Whatever the tests did, the page must not have complained, nor asked for anything.
        assert browser.complaints() == []
        assert browser.requests() == [report.as_uri()]
    finally:
        browser.close()


def test_page_loads_without_complaints(page: Browser) -> None:
    assert page.run("document.documentElement.className") == "js"
    assert page.run("document.title") == "DSN-S on an emulated Cortex-M4"
    assert page.complaints() == []


def test_players_know_their_duration(page: Browser) -> None:
    durations = page.run(
        """Promise.all([...document.querySelectorAll("audio")].map((player) => new Promise((done) => {
             if (player.readyState >= 1) done(player.duration);
             player.onloadedmetadata = () => done(player.duration);
             player.onerror = () => done(-1);
           })))"""
    )
    assert durations == [12.0] * 3


def test_other_players_follow_a_seek(page: Browser) -> None:
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


def test_one_player_plays_at_a_time(page: Browser) -> None:
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


def test_pictures_are_decoded(page: Browser) -> None:
    sizes = page.run("[...document.images].map((image) => image.complete && image.naturalWidth)")
    assert len(sizes) == 4 and all(sizes)


def test_click_on_the_drawing_goes_there(page: Browser) -> None:
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


COLUMN = """[...document.querySelectorAll(".sortable tbody tr")].map((row) => row.cells[%d].textContent)"""
HEADS = (
    """[...document.querySelectorAll(".sortable thead th")].map((head) => head.getAttribute("aria-sort"))"""
)


def test_table_sorts_with_mouse_and_keyboard(page: Browser) -> None:
    order = [int(value) for value in page.run(COLUMN % 0)]
    assert order == list(range(1, 18))
    page.run("document.querySelectorAll('.sortable button')[6].click()")
    counts = [int(value.replace(",", "")) for value in page.run(COLUMN % 6)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]
    assert page.run(HEADS)[6] == "descending"
    page.run("document.querySelectorAll('.sortable button')[1].focus()")
    page.press("Enter", 13)
    names = [value.split("dsn.py")[0] for value in page.run(COLUMN % 1)]
    assert names == sorted(names)
    assert page.run(HEADS) == ["none", "ascending"] + ["none"] * 8
    assert page.run("document.getElementById('sorted').textContent") == "Sorted by Operator, ascending"
    page.press("Enter", 13)
    assert [value.split("dsn.py")[0] for value in page.run(COLUMN % 1)] == names[::-1]
    page.run("document.querySelectorAll('.sortable button')[0].click()")
    assert [int(value) for value in page.run(COLUMN % 0)] == order


def test_focus_can_be_seen(page: Browser) -> None:
    # The next Tab starts from the body again, wherever the tests before have left the focus.
    page.run("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    page.press("Tab", 9)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.run("document.activeElement.className") == "skip"
    assert page.run(outline) == "solid"
    page.press("Tab", 9)
    assert page.run("document.activeElement.hash") == "#summary"
    assert page.run(outline) == "solid"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_page_is_wider_than_its_window(page: Browser, width: int) -> None:
    page.screen(width, 800)
    assert page.run("document.documentElement.scrollWidth") <= width
    page.screen(1280, 900)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_screenshot_shows_something(page: Browser, width: int, scheme: str) -> None:
    page.screen(width, 900, scheme)
    page.run("document.getElementById('listen').scrollIntoView()")
    shown = page.screenshot(width, 900)
    page.screen(1280, 900)
    assert shown.shape == (450, width // 2, 3)
    back = np.median(shown.reshape(-1, 3), axis=0)
    assert (back.mean() < 60) == (scheme == "dark")
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 500
