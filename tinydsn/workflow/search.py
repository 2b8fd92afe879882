"""``tinydsn search``: a model, a corpus and a board become a search in a folder, which can go on later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from quant.calibrate import Range, calibrate
from quant.errors import ConfigError, ModelFileError
from quant.graph import Graph
from quant.precision import to_toml
from quant.reference import channels_of
from tinydsn.audio.corpus import read_manifest
from tinydsn.audio.files import replace_file
from tinydsn.codegen.board import load_board
from tinydsn.estimate.host import Outcome
from tinydsn.estimate.predict import MeasuredCost
from tinydsn.estimate.runner import HostRunner
from tinydsn.search.clips import Clips, draw_clips, load_clips, save_clips
from tinydsn.search.evaluate import NetworkEvaluator, fed, float_output, with_reference
from tinydsn.search.executors import executor
from tinydsn.search.genome import Space, homogeneous, space_of
from tinydsn.search.journal import NAME, Contents, Journal, read
from tinydsn.search.nsga import Options, Watch
from tinydsn.search.picture import draw
from tinydsn.search.quality import DEFAULT, load_quality
from tinydsn.search.run import Found, pick, replay, run, table
from tinydsn.search.score import Genome, Score
from tinydsn.workflow.models import checkpoint_path
from tinydsn.workflow.quantization import float_graph
from tinydsn.workflow.tasks import mix_of, task_of

CLIPS, SECONDS = 64, 4.0
CALIBRATION_CLIPS = 24
RATE = 16000
SEARCH_PART = 0
RANGES, CLIP_FILE, FRONT, PICTURE = "ranges.json", "clips.npz", "front.json", "front.svg"
PACKAGES = ("tinydsn", "deap", "numpy")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """What is searched, besides `Options`.

    quality: "si-sdr" or ``package.module:function``. policy: the operators that serve the gates are searched
    too. clips, seconds: number and length of the recordings.
    """

    model: str
    corpus: Path
    board: str
    quality: str = DEFAULT
    policy: bool = False
    clips: int = CLIPS
    seconds: float = SECONDS


@dataclass(frozen=True)
class Problem:
    """A lowered model with its space and presets."""

    graph: Graph
    space: Space
    presets: Mapping[str, Genome]


@dataclass(frozen=True)
class NetworkFactory:
    """Makes the evaluator of a run in any process, from the model and the files in the run's folder."""

    setup: Setup
    folder: Path

    def __call__(self) -> NetworkEvaluator:
        """Lower the model, and load ranges and clips."""
        return evaluator(opened(self.setup), self.setup, self.folder, load_clips(self.folder / CLIP_FILE))


def evaluator(problem: Problem, setup: Setup, folder: Path, clips: Clips) -> NetworkEvaluator:
    """An evaluator of a run's genomes on ``clips``."""
    return NetworkEvaluator(
        problem.space,
        problem.graph,
        load_ranges(folder / RANGES),
        clips,
        load_quality(setup.quality),
        HostRunner([fed(problem.graph, clip.noisy) for clip in clips.items]),
        MeasuredCost(load_board(setup.board)),
    )


def search(
    setup: Setup,
    folder: Path,
    options: Options,
    how: str = "serial",
    jobs: int = 1,
    watch: Watch | None = None,
    say: Say | None = None,
) -> dict[str, Any]:
    """Search, or go on with the search in ``folder``; writes front.json and front.svg there.

    Raises ConfigError for a wrong option, and for a folder with another search, BoardError for a board
    without an emulator, AudioError for a corpus without clips.
    """
    setup = with_task(setup)
    MeasuredCost(load_board(setup.board))
    load_quality(setup.quality)
    if not (folder / NAME).is_file():
        read_manifest(setup.corpus)
    problem = opened(setup)
    prepare(problem, setup, folder, say or (lambda line: None))
    with Journal(folder, identity(problem, setup, folder, options), arguments(setup)) as journal:
        work = executor(how, NetworkFactory(_absolute(setup), folder.absolute()), jobs)
        try:
            found = run(problem.space, options, problem.presets, journal, work, watch)
        finally:
            work.close()
    result = table(found)
    replace_file(folder / FRONT, (json.dumps(result, indent=2) + "\n").encode())
    replace_file(folder / PICTURE, draw(found).encode())
    return result


def with_task(setup: Setup) -> Setup:
    """With the quality of the model's task, where none was asked for."""
    task = task_of(setup.model)
    return setup if task is None or setup.quality != DEFAULT else replace(setup, quality=task.quality)


def drawn(setup: Setup) -> Clips:
    """The clips of a search: mixtures of the valid split, or examples of the model's task."""
    samples, task = int(setup.seconds * RATE), task_of(setup.model)
    if task is None:
        return draw_clips(setup.corpus, setup.clips, samples, SEARCH_PART)
    from tinydsn.search.task_clips import draw_task_clips

    return draw_task_clips(task, mix_of(task), setup.corpus, setup.clips, samples, SEARCH_PART)


def opened(setup: Setup) -> Problem:
    """Lower the model, and name its genes."""
    graph = lowered(setup.model)
    space = space_of(graph, setup.policy)
    return Problem(graph, space, homogeneous(space, graph))


def prepare(problem: Problem, setup: Setup, folder: Path, say: Say) -> None:
    """Put what ``folder`` lacks there: the clips with the float network's output, and its value ranges."""
    clips_file, ranges_file = folder / CLIP_FILE, folder / RANGES
    if (folder / NAME).is_file():
        # Begun before: its scores are of these files, so they are never made again.
        if not (clips_file.is_file() and ranges_file.is_file()):
            raise ConfigError(f"{folder}: lacks {CLIP_FILE} or {RANGES}; search again in a new folder")
        return
    clips = drawn(setup)
    say("measuring value ranges")
    heard = [clip.noisy for clip in clips.items[:: -(-len(clips.items) // CALIBRATION_CLIPS)]]
    save_ranges(calibrate(problem.graph, heard), ranges_file)
    say(f"running the float network over {setup.clips} clips")
    save_clips(with_float(setup.model, problem.graph, clips), clips_file)


def with_float(model: str, graph: Graph, clips: Clips) -> Clips:
    """The clips with the float network's outputs: by PyTorch for a checkpoint, else by the float graph."""
    checkpoint = checkpoint_path(model)
    if checkpoint is None or graph.frontend is None or not graph.frontend.masks:
        return with_reference(graph, clips, [float_output(graph, fed(graph, c.noisy)) for c in clips.items])
    from tinydsn.evaluation.network import enhance
    from tinydsn.models.checkpoint import load_checkpoint

    network, delay = load_checkpoint(checkpoint), np.zeros(graph.frontend.latency, np.int16)
    made = (enhance(network, clip.noisy, graph.frontend) for clip in clips.items)
    return with_reference(graph, clips, [Outcome(np.concatenate([delay, pcm]), gates) for pcm, gates in made])


def lowered(model: str) -> Graph:
    """The float graph of a model of 16 kHz. Raises ModelFileError for an integer graph, whose widths are
    chosen, ConfigError for another rate."""
    if model.endswith(".tdsn"):
        raise ModelFileError(
            f"{model}: is an integer graph, whose widths are chosen already (search takes a checkpoint, a "
            "shipped model's name, or package.module:function)"
        )
    graph = float_graph(model)
    if graph.frontend is not None and graph.frontend.sample_rate != RATE:
        raise ConfigError(
            f"{model}: runs at {graph.frontend.sample_rate} Hz (a search needs a model of {RATE} Hz)"
        )
    if channels_of(graph) > 1:
        raise ConfigError(f"{model}: has two output channels (a search judges the one of an enhancer)")
    return graph


def identity(problem: Problem, setup: Setup, folder: Path, options: Options) -> dict[str, Any]:
    """What two runs must share for their scores to be the same."""
    return {
        "model": digest_of(problem.graph),
        "space": problem.space.digest,
        "board": setup.board,
        "quality": setup.quality,
        "policy": setup.policy,
        "clips": setup.clips,
        "seconds": setup.seconds,
        "audio": load_clips(folder / CLIP_FILE).digest,
        "ranges": hashlib.sha256((folder / RANGES).read_bytes()).hexdigest(),
        **asdict(options),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def digest_of(graph: Graph) -> str:
    """Names a float graph: operators, attributes, states and constants."""
    content = hashlib.sha256()
    for operator in graph.operators():
        described = (operator.name, operator.kind, operator.inputs, operator.outputs)
        content.update(repr((described, sorted(operator.attributes.items()))).encode())
    content.update(repr((graph.states, graph.frontend)).encode())
    for name in sorted(graph.constants):
        content.update(name.encode() + np.ascontiguousarray(graph.constants[name], "<f4").tobytes())
    return content.hexdigest()


def save_ranges(ranges: Mapping[str, Range], path: Path) -> None:
    """Calibrated ranges as JSON."""
    plain = {name: [seen.low, seen.high] for name, seen in ranges.items()}
    replace_file(path, (json.dumps(plain, indent=0) + "\n").encode())


def load_ranges(path: Path) -> dict[str, Range]:
    """What `save_ranges` wrote. Raises ConfigError for a missing or damaged file."""
    try:
        return {name: Range(low, high) for name, (low, high) in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); search again in a new folder") from None


def arguments(setup: Setup) -> dict[str, Any]:
    """What the other verbs need to find the model again, from any folder."""
    return {**asdict(_absolute(setup)), "corpus": str(setup.corpus.absolute())}


def _absolute(setup: Setup) -> Setup:
    model = Path(setup.model)
    found = str(model.absolute()) if model.is_file() else setup.model
    return replace(setup, model=found, corpus=setup.corpus.absolute())


def reopened(folder: Path) -> tuple[Setup, Options, Contents]:
    """Setup and options of the search in ``folder``, and its journal's contents."""
    contents = read(folder)
    try:
        setup = Setup(**{**contents.arguments, "corpus": Path(contents.arguments["corpus"])})
        options = Options(**{name: contents.header[name] for name in Options.__dataclass_fields__})
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{folder}: its journal is of another version ({error})") from None
    return setup, options, contents


def finished(folder: Path) -> tuple[Setup, Problem, Found]:
    """The finished search of a folder. Raises ConfigError when it is not, or the model has changed."""
    setup, options, contents = reopened(folder)
    problem = opened(setup)
    space = problem.space
    if (digest_of(problem.graph), space.digest) != (contents.header["model"], contents.header["space"]):
        raise ConfigError(f"{folder}: {setup.model} has changed since it was searched; search again")
    return setup, problem, replay(space, options, problem.presets, contents, folder)


def status(folder: Path) -> dict[str, Any]:
    """How far a search is, from its journal alone, while it runs or after."""
    setup, options, contents = reopened(folder)
    generations = options.generations + contents.extended
    scores = [outcome for outcome in contents.outcomes.values() if isinstance(outcome, Score)]
    legal = [score for score in scores if not options.violation(score)]
    return {
        "model": setup.model,
        "board": setup.board,
        "strategy": options.strategy,
        "evaluations": len(contents.outcomes),
        "of": options.population * generations,
        "generations": generations,
        "failures": len(contents.outcomes) - len(scores),
        "within_limits": len(legal),
        "corrupt_lines": contents.corrupt,
        "seconds": round(contents.elapsed, 1),
        "seconds_each": round(contents.elapsed / max(1, len(contents.outcomes)), 2),
        "best": {
            name: min((getattr(score, name) for score in legal), default=None)
            for name in ("quality", "flash", "instructions")
        },
    }


def extend(
    folder: Path,
    generations: int,
    how: str = "serial",
    jobs: int = 1,
    watch: Watch | None = None,
    say: Say | None = None,
) -> dict[str, Any]:
    """Go on for ``generations`` more; 0 finishes a search that was killed."""
    setup, options, contents = reopened(folder)
    if generations:
        with Journal(folder, contents.header, contents.arguments) as journal:
            journal.extend(generations)
    return search(setup, folder, options, how, jobs, watch, say)


def choose(
    folder: Path, output: Path, max_flash: int | None, max_instructions: float | None
) -> dict[str, Any]:
    """Write the precision table of the point with the least loss within the limits."""
    _, _, found = finished(folder)
    chosen = pick(found, max_flash, max_instructions, folder)
    replace_file(output, to_toml(found.space.precision(chosen.genome)).encode())
    genome = found.space.widths(chosen.genome)
    return {"precision": str(output), "genome": genome, **chosen.score.to_json()}
