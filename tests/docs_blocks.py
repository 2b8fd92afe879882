"""The code blocks of the documentation, for the tests that run them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "firmware_templates/starter/README.md")),
)
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("", "console")


@dataclass(frozen=True)
class Block:
    """One block: its language, its title ("" without one), and its text."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in its order."""
    found = []
    for language, rest, text in FENCE.findall(page.read_text()):
        title = re.search(r'title="([^"]*)"', rest)
        found.append(Block(language, title.group(1) if title else "", text))
    return found


def inline_code(page: Path) -> list[str]:
    """What stands between single backticks, outside blocks; line breaks are blanks."""
    text = FENCE.sub("", page.read_text())
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]


def commands(page: Path, program: str) -> list[list[str]]:
    """The lines of shell blocks that call a program, as words without its name."""
    found = []
    for block in blocks(page):
        if block.language in SHELL:
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True) if program in line else []
                if words[:1] == [program]:
                    found.append(words[1:])
    return found
