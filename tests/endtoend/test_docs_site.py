"""The site builds without a warning, and takes nothing from the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADED = {"script": "src", "img": "src", "audio": "src", "source": "src", "iframe": "src", "video": "src"}
FETCHING = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload"}


class Resources(HTMLParser):
    """Addresses that a browser fetches by itself, and text of inline scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LOADED and values.get(LOADED[tag]):
            self.found.append(str(values[LOADED[tag]]))
        if tag == "link" and FETCHING & set(str(values.get("rel")).split()):
            self.found.append(str(values.get("href")))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason="pip install 'tinydsn[docs]'")
    folder = tmp_path_factory.mktemp("docs") / "site"
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        resources = Resources()
        resources.feed(page.read_text())
        assert resources.found, page
        assert [url for url in resources.found if re.match(r"(https?:)?//", url)] == [], page
        assert "mermaid" not in page.read_text(), page  # the theme would fetch its script for a diagram
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", sheet.read_text()) == [], sheet


def test_the_reference_holds_what_the_program_has(site: Path) -> None:
    from quant.ops import TABLE
    from tinydsn import api, cli

    verbs = (site / "reference" / "cli" / "index.html").read_text()
    # A verb that is a word of Python has a module with an underscore behind it.
    modules = [module.__name__.rsplit(".", 1)[-1].rstrip("_") for module in cli.VERBS]
    for verb in (*modules, "search"):
        assert f'id="tinydsn-{verb}"' in verbs, verb
    operators = (site / "reference" / "operators" / "index.html").read_text()
    assert all(f"<code>{kind}</code>" in operators for kind in TABLE)
    functions = (site / "reference" / "tinydsn" / "index.html").read_text()
    assert all(f'id="tinydsn.api.{name}"' in functions for name in ("quantize", "verify", "generate"))
    assert api.verify.__doc__ is not None and api.verify.__doc__.split(":")[0] in functions


def test_contributing_has_the_map_of_the_house(site: Path) -> None:
    assert 'id="map-of-the-house"' in (site / "contributing" / "index.html").read_text()
