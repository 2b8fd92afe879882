"""``tinydsn search``: bit widths for every operator, by a genetic search; status, extend, pick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from quant.nearest import nearest
from tinydsn.cli import completion
from tinydsn.cli.output import Json, console, emit, rows_table, say

if TYPE_CHECKING:
    from tinydsn.search.nsga import Archive

EXAMPLE = (
    "Example: tinydsn search dsn-s --corpus corpus/ --board mps2-an386 -o runs/search --executor processes"
)
START = "start"


class Verbs(TyperGroup):
    """``tinydsn search MODEL`` is ``tinydsn search start MODEL``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``start`` before arguments that begin with none of the verbs."""
        if args and args[0] not in (*self.commands, "--help"):
            near = nearest(args[0], self.commands, 0.75)
            if near and not Path(args[0]).exists() and ":" not in args[0]:
                ctx.fail(f"No such command {args[0]!r}. Did you mean {near!r}?")
            args = [START, *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=Verbs, no_args_is_help=True, help="Find the bit width of every operator by a genetic search."
)

Run = Annotated[Path, typer.Argument(help="The folder of a search.")]
Executor = Annotated[
    str, typer.Option(help="Who evaluates: serial, processes, or ray.", autocompletion=completion.executors)
]
Jobs = Annotated[int, typer.Option(min=1, help="Processes, or actors of Ray.")]
RatedClips = Annotated[int, typer.Option(min=1, help="Clips of 9 s, of the part that was not searched on.")]
MaxFlash = Annotated[int | None, typer.Option(min=1, help="Most bytes of weights.")]
MaxInstructions = Annotated[float | None, typer.Option(min=1, help="Most instructions a frame.")]


@app.command(START, epilog=EXAMPLE)
def start(
    model: Annotated[
        str,
        typer.Argument(
            help="A checkpoint, a shipped model's name, or package.module:function.",
            autocompletion=completion.networks,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the search.")],
    board: Annotated[
        str,
        typer.Option(
            help="The board whose instructions count (`tinydsn boards`).", autocompletion=completion.boards
        ),
    ],
    corpus: Annotated[Path, typer.Option(help="Folder with manifest.csv; its valid split gives the clips.")],
    population: Annotated[int, typer.Option(help="Genomes a generation; a multiple of 4.")] = 40,
    generations: Annotated[int, typer.Option(help="Generations, the first one included.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the search's own random numbers.")] = 0,
    max_flash: MaxFlash = None,
    max_instructions: MaxInstructions = None,
    quality: Annotated[
        str, typer.Option(help="si-sdr, or package.module:function(outputs, clips) -> loss.")
    ] = "si-sdr",
    strategy: Annotated[str, typer.Option(help="nsga2, or random (with the same budget).")] = "nsga2",
    refine_at: Annotated[
        int | None, typer.Option(help="Generation from which single operators change; half-way without this.")
    ] = None,
    policy: Annotated[
        bool, typer.Option("--policy", help="Search the operators that serve the gates too.")
    ] = False,
    seeded: Annotated[
        bool, typer.Option("--seeded/--unseeded", help="Begin with the same width everywhere: 4, 6, 8 bits.")
    ] = True,
    clips: Annotated[int, typer.Option(min=1, help="Clips a genome is judged on.")] = 64,
    seconds: Annotated[float, typer.Option(min=1.0, help="Their length.")] = 4.0,
    executor: Executor = "serial",
    jobs: Jobs = 2,
    as_json: Json = False,
) -> None:
    """Search; the same command goes on with a search that was killed."""
    from tinydsn.search.nsga import Options
    from tinydsn.workflow.search import Setup, search

    setup = Setup(model, corpus, board, quality, policy, clips, seconds)
    options = Options(
        population,
        generations,
        generations // 2 if refine_at is None else refine_at,
        seed,
        strategy,
        max_flash,
        max_instructions,
        seeded,
    )
    with progress() as watch:
        result = search(setup, output, options, executor, jobs, watch, say)
    show(result, as_json)


@app.command(epilog="Example: tinydsn search status runs/search")
def status(run: Run, as_json: Json = False) -> None:
    """How far a search is, while it runs or after."""
    from tinydsn.workflow import search

    emit(search.status(run), as_json)


@app.command(epilog="Example: tinydsn search extend runs/search --generations 20")
def extend(
    run: Run,
    generations: Annotated[
        int, typer.Option(min=0, help="Generations more; 0 only finishes a search that was killed.")
    ],
    executor: Executor = "serial",
    jobs: Jobs = 2,
    as_json: Json = False,
) -> None:
    """Go on with a search for more generations."""
    from tinydsn.workflow import search

    with progress() as watch:
        result = search.extend(run, generations, executor, jobs, watch, say)
    show(result, as_json)


@app.command(epilog="Example: tinydsn search pick runs/search --max-flash 12000 -o precision.toml")
def pick(
    run: Run,
    output: Annotated[Path, typer.Option("--output", "-o", help="The precision table to write (.toml).")],
    max_flash: MaxFlash = None,
    max_instructions: MaxInstructions = None,
    as_json: Json = False,
) -> None:
    """Write the point of the front with the least loss within the limits, for `--precision`."""
    from tinydsn.workflow.search import choose

    result = choose(run, output, max_flash, max_instructions)
    emit(result if as_json else {key: result[key] for key in result if key != "genome"}, as_json)


@app.command(epilog="Example: tinydsn search rank runs/search --jobs 2")
def rank(
    run: Run,
    clips: RatedClips = 32,
    points: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many of the front, evenly over their loss; else all of it."),
    ] = None,
    jobs: Jobs = 2,
    as_json: Json = False,
) -> None:
    """Judge the front and its neighbours by PESQ and DNSMOS on clips that the search did not hear."""
    from tinydsn.workflow import search_rating

    rated(search_rating.rank(run, clips, jobs, say, points), as_json)


@app.command(epilog="Example: tinydsn search proxy runs/search --jobs 2")
def proxy(
    run: Run,
    clips: RatedClips = 32,
    jobs: Jobs = 2,
    as_json: Json = False,
) -> None:
    """Check that the loss orders genomes as PESQ and DNSMOS do; exit 1 when it does not."""
    from tinydsn.workflow import search_rating

    result = search_rating.proxy(run, clips, jobs, say)
    rated(result, as_json)
    if not result["enough"]:
        raise typer.Exit(1)


@app.command(epilog="Example: tinydsn search test runs/search --jobs 2")
def test(
    run: Run,
    limit: Annotated[int, typer.Option(min=1, help="Mixtures of the committed list.")] = 180,
    points: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the kept points, the best ranks first.")
    ] = None,
    jobs: Jobs = 2,
    as_json: Json = False,
) -> None:
    """Report the ranked points on the test split; once in a run."""
    from tinydsn.workflow import search_rating

    rated(search_rating.report(run, limit, jobs, say, points), as_json)


def rated(result: dict[str, Any], as_json: bool) -> None:
    """Rated points without their genomes, which only JSON has."""
    if not as_json:
        hidden = ("genome", "usage", "all_on")
        rows = [{key: row[key] for key in row if key not in hidden} for row in result["points"]]
        result = {**result, "points": rows}
    emit(result, as_json)


def show(result: dict[str, Any], as_json: bool) -> None:
    """The result as JSON, or the front and the presets as tables."""
    if as_json:
        emit(result, True)
        return
    keys = ("quality", "flash", "instructions", "all_on", "departs")
    front = [{key: point[key] for key in keys} for point in result["front"]]
    presets = [
        {"width": name, **{key: point.get(key) for key in (*keys, "failure")}}
        for name, point in result["homogeneous"].items()
    ]
    console().print(rows_table(front, "front"))
    console().print(rows_table(presets, "one width for all"))
    emit({key: value for key, value in result.items() if key not in ("front", "homogeneous")}, False)


@contextmanager
def progress() -> Iterator[Callable[[int, Archive], None]]:
    """The front, redrawn after each generation on a terminal; one line a generation elsewhere."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    screen = Console(stderr=True)
    with Live(console=screen, auto_refresh=False, transient=True) as live:

        def watch(generation: int, archive: Archive) -> None:
            line = (
                f"generation {generation}: {archive.evaluations} evaluations, {len(archive.front)} in front"
            )
            if not screen.is_terminal:
                print(line, file=sys.stderr, flush=True)
            elif archive.front:
                from tinydsn.search.chart import chart

                drawn = chart([item.score for item in archive.front])
                live.update(Text(f"{line}\n{drawn}"), refresh=True)

        yield watch
