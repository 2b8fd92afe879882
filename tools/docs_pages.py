"""Pages that mkdocs makes when it builds: the operators, and the command line.

Both come from where the program itself takes them (`quant.ops.listing`, the typer application), so they
cannot be out of date. mkdocs calls the functions named ``on_*``.
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CLI_HEAD = """# Command line

{intro} `tinydsn VERB --help` prints the same in a terminal.

Results go to standard output, as a table or with `--json` as JSON alone; progress and errors go to standard
error. Exit codes: 0 done; 1 done, and the answer is no (bits differ, a board was skipped, something required
is missing); 2 wrong input or a missing tool, told in one line with the remedy; 70 a fault of tinydsn itself
(`TINYDSN_DEBUG=1` shows the traceback); 130 interrupted.
"""
OPERATORS_HEAD = """# Operators

What a network may be made of. `tinydsn ops` prints this table; `tinydsn ops --board NAME` adds the kernel
that each operator gets on a board and [what it was measured to cost](../kernel-costs.md). A module is lowered
with `torch.export`, and several operators of PyTorch become one of these; what cannot be lowered is refused
with the operator, your line, and the nearest supported form.

*Activations* are the integer types that an operator can compute with. Weights have 2 to 8 bits.

| operator | what it computes | activations | must hold |
|---|---|---|---|
"""
PYTORCH_HEAD = """
## From PyTorch

These operators of PyTorch (names of ATen) are understood. Views, copies of shapes and constants are worked
out while lowering and cost nothing.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    files.append(File.generated(config, "reference/operators.md", content=operators_page()))
    files.append(File.generated(config, "reference/cli.md", content=cli_page()))
    return files


def operators_page() -> str:
    """The table of `tinydsn ops` as Markdown, and the operators of PyTorch that lead to it."""
    from quant.ops.listing import describe
    from tinydsn.lowering.handlers import HANDLERS

    rows = [
        f"| `{row['kind']}` | {row['summary']} | {', '.join(row['activations'])} "
        f"| {' '.join(' '.join(sentence.split()) for sentence in row['constraints'])} |"
        for row in describe()
    ]
    names = ", ".join(f"`{name}`" for name in sorted(HANDLERS) if not name.startswith("_"))
    return OPERATORS_HEAD + "\n".join(rows) + "\n" + PYTORCH_HEAD + names + ".\n"


def cli_page() -> str:
    """Every verb with its arguments, options, defaults and example."""
    import typer.main

    from tinydsn.cli import app

    group: Any = typer.main.get_command(app)
    parts = [CLI_HEAD.format(intro=group.help)]
    for name, command in group.commands.items():
        parts.append(_section(f"tinydsn {name}", command, "##"))
        for inner, subcommand in getattr(command, "commands", {}).items():
            parts.append(_section(f"tinydsn {name} {inner}", subcommand, "###"))
    return "\n".join(parts)


def _section(title: str, command: Any, level: str) -> str:
    """One verb."""
    lines = [f"{level} {title}", "", _prose(command.help or ""), ""]
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        lines += ["| option | default | |", "|---|---|---|", *rows, ""]
    if command.epilog:
        lines += ["```", command.epilog.removeprefix("Example: "), "```", ""]
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    """One argument or option: its name, what it takes, what it means."""
    option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if option else [parameter.name.upper()]
    flag = option and getattr(parameter, "is_flag", False)
    need = "" if flag else "required" if parameter.required else _default(parameter)
    return f"| {', '.join(f'`{name}`' for name in names)} | {need} | {_cell(parameter.help or '')} |"


def _default(parameter: Any) -> str:
    value = parameter.default
    return "" if value in (None, (), []) or callable(value) else f"`{value}`"


def _prose(text: str) -> str:
    """Help as Markdown paragraphs."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text)).replace("\b", "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
