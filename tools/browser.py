"""Drives a headless Chromium over the DevTools protocol: pages are opened, read, and photographed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

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
    "--remote-debugging-port=0",
)
PATIENCE = 180.0
"""Seconds that the browser may take to answer, on a busy machine."""
COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


def program() -> str | None:
    """The path of a Chromium, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A headless Chromium; ``profile`` is an empty folder of its own."""

    def __init__(self, executable: str, profile: Path) -> None:
        import websocket

        profile.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        self.number = 0
        self.events: dict[str, list[dict[str, Any]]] = {}
        try:
            address = _address(profile / "DevToolsActivePort", self.process)
            # Chromium refuses the origin that the library would send.
            self.socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        except BaseException:
            self._kill()
            raise

    def open(self, url: str, before: str = "") -> Page:
        """Open ``url`` in a page of its own, its errors collected from the first moment on.

        ``before``: a script that runs in the page before all of its own.
        """
        target = self.call("", "Target.createTarget", url="about:blank")["targetId"]
        session = self.call("", "Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        if before:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        page.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in page.events):
            self._receive()
        return page

    def call(self, session: str, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command of the DevTools protocol, to a page's session or ("") the browser."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        self.socket.send(json.dumps({**message, "sessionId": session} if session else message))
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def close(self) -> None:
        """End the browser and its children."""
        self.socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
        self.socket.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self._kill()

    def _kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv())
        if "method" in message:
            self.events.setdefault(message.get("sessionId", ""), []).append(message)
        return message


class Page:
    """An open page of a `Browser`."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self.browser, self.target, self.session = browser, target, session

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the page told so far."""
        return self.browser.events.get(self.session, [])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command of the DevTools protocol."""
        return self.browser.call(self.session, method, **parameters)

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
        """Set the size of the window in CSS pixels, and the colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, whole: bool = False) -> bytes:
        """The window, or the whole page, as a PNG file."""
        # A page behind another one is drawn late, or never.
        self.call("Page.bringToFront")
        made = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(made["data"])

    def close(self) -> None:
        """Close the page; what it told is kept."""
        self.browser.call("", "Target.closeTarget", targetId=self.target)

    def complaints(self) -> list[str]:
        """Errors, warnings, messages and exceptions so far."""
        return [json.dumps(event["params"]) for event in self.events if event["method"] in COMPLAINTS]

    def requests(self) -> list[str]:
        """Addresses that were asked for, data URIs left out."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        addresses = [event["params"]["request"]["url"] for event in sent]
        return [address for address in addresses if not address.startswith("data:")]


def _address(port: Path, process: subprocess.Popen[bytes]) -> str:
    """Of the debugging socket, which Chromium writes into its profile as port and path."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        lines = port.read_text().splitlines() if port.is_file() else []
        if len(lines) > 1:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise RuntimeError("the browser ended, or did not open its debugging port")
