"""Photographs a report for the documentation: ``python -m tools.report_picture out/demo docs/report.jpg``.

Needs Chromium, websocket-client and Pillow (the extra ``dev``).
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from tools.browser import Browser, program

WIDTH, HEIGHT = 1240, 1625
LARGEST = 250_000
"""Bytes of the picture, at most."""
QUALITIES = range(90, 40, -5)


def main(run: Path, picture: Path) -> None:
    """Write the top of ``run/report.html`` to ``picture``, a JPEG of at most `LARGEST` bytes."""
    from PIL import Image

    executable = program()
    if executable is None:
        sys.exit("no browser (apt-get install chromium)")
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(executable, Path(profile) / "profile")
        try:
            page = browser.open((run / "report.html").resolve().as_uri())
            page.screen(WIDTH, HEIGHT)
            # At the end of a drawn frame the fonts and pictures are there too.
            page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            content = page.screenshot()
        finally:
            browser.close()
    image = Image.open(io.BytesIO(content)).convert("RGB")
    for quality in QUALITIES:
        image.save(picture, "JPEG", quality=quality, optimize=True)
        if picture.stat().st_size <= LARGEST:
            return
    sys.exit(f"{picture}: above {LARGEST} bytes even at the lowest quality")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tools.report_picture RUN PICTURE.jpg")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
