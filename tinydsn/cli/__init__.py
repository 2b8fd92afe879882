"""The command line: one module a verb, each thin (parse, call, print).

Exit codes: 0 done; 1 done, and the answer is no (bits differ, something required is missing); 2 wrong
input or a missing tool, told in one line; 70 a fault of tinydsn itself; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from quant.errors import TinydsnError
from tinydsn.cli import (
    bench,
    boards,
    build,
    compare,
    cost,
    data,
    demo,
    diff,
    doctor,
    evaluate,
    export,
    generate,
    import_,
    init,
    ops,
    profile,
    quantize,
    rate,
    report,
    run,
    search,
    train,
    verify,
)

INTERNAL_ERROR = 70
"""EX_SOFTWARE of sysexits.h."""

app = typer.Typer(
    name="tinydsn",
    help="Gated speech networks in PyTorch become integer C firmware, proven bit for bit in an emulator.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
VERBS = (
    demo,
    init,
    doctor,
    boards,
    ops,
    data,
    train,
    rate,
    quantize,
    generate,
    build,
    run,
    verify,
    profile,
    evaluate,
    compare,
    diff,
    bench,
    cost,
    report,
    export,
    import_,
)
for verb in VERBS:
    app.command(name=verb.__name__.rsplit(".", 1)[-1].rstrip("_"), epilog=verb.EXAMPLE)(verb.command)
app.add_typer(search.app, name="search", epilog=search.EXAMPLE)


def _version(wanted: bool) -> None:
    if wanted:
        from tinydsn import __version__

        print(f"tinydsn {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Gated speech networks in PyTorch become integer C firmware, proven bit for bit in an emulator."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(invoke(arguments))


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors become one line on standard error."""
    try:
        words = None if arguments is None else list(arguments)
        code = app(args=words, prog_name="tinydsn", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        # Without a verb the help has been printed, and the message is empty.
        message = error.format_message()
        return _fail(f"{message}{_help_of(error)}", error.exit_code) if message else error.exit_code
    except TinydsnError as error:
        return _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader (head, less) has gone: say nothing, and keep Python from flushing into the void.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        where = f"{error.filename}: cannot be read or written: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 2)
    except Exception as error:
        if os.environ.get("TINYDSN_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _fail(f"internal: {what} (a fault of tinydsn; TINYDSN_DEBUG=1 shows where)", INTERNAL_ERROR)
    return code if isinstance(code, int) else 0


def _help_of(error: TyperException) -> str:
    """Where the options of the command that was called wrongly are explained."""
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} --help`)" if context else ""


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code
