"""``tinydsn doctor``: what is missing on this machine, and the command that installs it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinydsn.cli.output import Json, console, emit, rows_table, say

if TYPE_CHECKING:
    from tinydsn.doctor import Check

EXAMPLE = "Example: tinydsn doctor --fix"


def command(
    fix: Annotated[bool, typer.Option("--fix", help="Fetch the CMSIS-NN sources.")] = False,
    as_json: Json = False,
) -> None:
    """Check the machine; exit 1 when something required is missing."""
    from tinydsn.codegen.cmsis import fetch_cmsis
    from tinydsn.doctor import examine, fit

    if fix:
        say(f"sources in {fetch_cmsis()}")
    checks = examine()
    if as_json:
        emit({"schema": 1, "fit": fit(checks), "checks": [as_record(check) for check in checks]}, True)
    else:
        _show(checks)
    if not fit(checks):
        raise typer.Exit(1)


def as_record(check: Check) -> dict[str, Any]:
    """A check as plain data."""
    needed = check.requirement
    return {
        "name": needed.name,
        "purpose": needed.purpose,
        "required": needed.required,
        "found": check.found,
        "problem": check.problem or None,
        "install": None if check.found else check.install or None,
        "elsewhere": None if check.found else needed.elsewhere or None,
    }


def _show(checks: tuple[Check, ...]) -> None:
    rows = [
        {
            "": _mark(check),
            "what": check.requirement.name,
            "for": check.requirement.purpose,
            "found": check.found or "",
        }
        for check in checks
    ]
    screen = console()
    screen.print(rows_table(rows))
    debian = shutil.which("apt-get") is not None
    missing = [check for check in checks if check.found is None]
    for check in missing:
        needed = check.requirement
        # A Debian command is of no use elsewhere, so the advice for other systems comes instead.
        remedy = needed.elsewhere if needed.elsewhere and needed.packages and not debian else check.install
        kind = "missing" if needed.required else "optional"
        lines = [f"{kind}: {needed.name} ({check.problem})", f"    {remedy}"]
        lines += [f"    or: {needed.elsewhere}"] if needed.elsewhere and needed.elsewhere != remedy else []
        screen.print("\n".join(lines), markup=False, soft_wrap=True)
    if not any(check.requirement.required for check in missing):
        screen.print("Everything required is here.")


def _mark(check: Check) -> str:
    if check.found is not None:
        return "ok"
    return "MISSING" if check.requirement.required else "-"
