"""The documentation names only what there is: verbs, options, files; and its examples are well formed."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.docs_blocks import PAGES, blocks, commands, inline_code
from tinydsn.cli import app, invoke

ROOT = Path(__file__).resolve().parents[2]

GROUP: Any = typer.main.get_command(app)
FOLDERS = r"(?:quant|tinydsn|firmware_templates|tests|boards|tools|docs)"


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


def verb(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the first words name, and the words after them."""
    command = GROUP
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if command is not GROUP and words[0] not in command.commands:
            return command.commands["start"], words  # `tinydsn search MODEL`
        assert words[0] in command.commands, f"tinydsn {words[0]}: no such verb"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def is_runnable(words: list[str]) -> bool:
    """Not a bare `tinydsn search`, which prints its help."""
    command, rest = verb(words)
    return not hasattr(command, "commands") and "--help" not in rest


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_can_be_called_as_they_stand(page: Path) -> None:
    """Verbs, options, required arguments, and the types of values."""
    for words in commands(page, "tinydsn"):
        if is_runnable(words):
            command, rest = verb(words)
            command.make_context(words[0], list(rest))  # raises for a wrong call


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_in_sentences_exist(page: Path) -> None:
    for code in inline_code(page):
        words = code.partition("&&")[0].split()
        if words[0] != "tinydsn" or len(words) < 2 or not re.fullmatch(r"[a-z-]+", words[1]):
            continue
        command, rest = verb(words[1:])
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in rest if re.fullmatch(r"--?[a-z-]+", word)} <= known, code


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_options_of_pytest_exist(page: Path) -> None:
    plugin = (ROOT / "tinydsn" / "testing" / "plugin.py").read_text()
    for option in re.findall(r"--(?:tinydsn|update)-[a-z]+", page.read_text()):
        assert f'"{option}"' in plugin, option


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_files_that_are_named_exist(page: Path) -> None:
    for code in inline_code(page):
        if re.fullmatch(FOLDERS + r"/[\w./-]+", code):
            assert (ROOT / code).exists(), code


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_blocks_are_well_formed(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)


def test_the_board_file_is_legal(tmp_path: Path) -> None:
    from tinydsn.codegen.board import load_board

    (block,) = (block for block in blocks(ROOT / "docs/howto/board.md") if block.language == "toml")
    (tmp_path / block.title).write_text(block.text)
    assert load_board(tmp_path / block.title).clock_hz == 180_000_000


def test_the_precision_table_is_legal(tmp_path: Path) -> None:
    from quant.precision import load_precision

    for block in blocks(ROOT / "docs/reference/files.md"):
        path = tmp_path / f"precision.{block.language}"
        path.write_text(block.text)
        table = load_precision(str(path))
        assert table.width("weights", "up") == 4
        assert table.width("activations", "up") == 8


@pytest.mark.parametrize("words", [["boards"], ["ops"]], ids=" ".join)
def test_quick_commands_run(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(words) == 0
    assert capsys.readouterr().out


def test_every_page_of_a_folder_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r": ([\w/.-]+\.md)$", text, re.MULTILINE))
    generated = {"reference/cli.md", "reference/operators.md"}
    there = {str(page.relative_to(ROOT / "docs")) for page in PAGES if (ROOT / "docs") in page.parents}
    assert listed - generated <= there
    assert {page for page in there if "/" in page} <= listed
