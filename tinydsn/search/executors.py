"""Who evaluates: this process, some processes, or the nodes of a Ray cluster. All give the same scores."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Iterator, Sequence
from importlib import util
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from quant.errors import ConfigError, TinydsnError, ToolchainError
from quant.nearest import unknown
from tinydsn.search.score import Evaluator, Factory, Genome, attempt

EXECUTORS = ("serial", "processes", "ray")
CAUSES: dict[int, str] = {
    signal.SIGKILL: ", most often because memory ran out",
    signal.SIGTERM: ", by another program or a shutdown",
    signal.SIGSEGV: ", a fault of native code",
    signal.SIGBUS: ", most often because memory or a disk is full",
}
"""What ends a worker by a signal."""
KEPT = "what was evaluated is kept, the same command goes on"
REMEDY = f"take fewer --jobs; {KEPT}"


class Executor(Protocol):
    """Evaluates genomes; each worker keeps its evaluator from call to call."""

    def run(self, genomes: Sequence[Genome]) -> Iterator[tuple[int, Any]]:
        """(index, outcome) of each genome, in the order in which they end."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


def executor(name: str, factory: Factory, jobs: int) -> Executor:
    """The executor called ``name`` with ``jobs`` workers. Raises ConfigError for an unknown one."""
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs} (must be at least 1)")
    if name == "serial":
        return Serial(factory)
    if name == "processes":
        return Processes(factory, jobs)
    if name == "ray":
        return Ray(factory, jobs)
    raise ConfigError(unknown("executor", name, EXECUTORS))


class Serial:
    """One after the other, in this process; the evaluator is made when it is first needed."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._evaluator: Evaluator | None = None

    def run(self, genomes: Sequence[Genome]) -> Iterator[tuple[int, Any]]:
        """In the given order."""
        if self._evaluator is None and genomes:
            self._evaluator = self._factory()
        for index, genome in enumerate(genomes):
            assert self._evaluator is not None
            yield index, attempt(self._evaluator, genome)

    def close(self) -> None:
        """Nothing to end."""


class Processes:
    """Spawned processes, each with an evaluator of its own, started when they are first needed.

    A process that ends by itself (killed for its memory, say) ends the run with a ToolchainError.
    """

    def __init__(self, factory: Factory, jobs: int) -> None:
        self._factory, self._jobs = factory, jobs
        self._workers: list[tuple[Any, Connection]] = []

    def run(self, genomes: Sequence[Genome]) -> Iterator[tuple[int, Any]]:
        """As each ends."""
        waiting = list(enumerate(genomes))[::-1]
        while len(self._workers) < min(self._jobs, len(genomes)):
            self._workers.append(self._start())
        busy: dict[Connection, int] = {}
        for _, pipe in self._workers:
            _give(pipe, waiting, busy)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                index = busy.pop(ready)
                outcome = self._taken(ready)
                _give(ready, waiting, busy)
                yield index, outcome

    def _start(self) -> tuple[Any, Connection]:
        # A forked process would inherit the threads' locks of PyTorch, not its threads.
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=work, args=(self._factory, there), daemon=True)
        process.start()
        there.close()
        return process, here

    def _taken(self, pipe: Connection) -> Any:
        try:
            answer = pipe.recv()
        except (EOFError, ConnectionResetError):
            process = next(worker for worker, other in self._workers if other is pipe)
            process.join()
            raise ToolchainError(_ending(process.exitcode)) from None
        if isinstance(answer, TinydsnError):
            raise answer
        if isinstance(answer, str):
            # The last line of a traceback names the error; the command line shows the first of a message.
            cause = answer.rstrip().splitlines()[-1]
            raise RuntimeError(f"in a worker process: {cause}\n{answer}")
        return answer

    def close(self) -> None:
        """End the processes, whatever they do."""
        for process, pipe in self._workers:
            pipe.close()
            process.terminate()
            process.join()
        self._workers = []


def _ending(code: int | None) -> str:
    """The sentence for a worker that ended by itself; a negative code is the signal that ended it."""
    if code is not None and code < 0:
        known = {number.value: number.name for number in signal.Signals}
        how = f"was ended by signal {-code} ({known.get(-code, 'unknown')})"
    else:
        how = f"ended with exit code {code}"
    cause = CAUSES.get(-(code or 0), "")
    return f"a worker process {how} while it evaluated a genome{cause}; {REMEDY}"


def _give(pipe: Connection, waiting: list[tuple[int, Genome]], busy: dict[Connection, int]) -> None:
    if waiting:
        index, genome = waiting.pop()
        busy[pipe] = index
        # A worker that has ended is noticed when its answer is read.
        try:
            pipe.send(genome)
        except BrokenPipeError:
            return


def work(factory: Factory, pipe: Connection) -> None:
    """A worker's whole life: genomes in, outcomes out (or the error), until the other end is closed."""
    # An interrupt from the terminal reaches all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        evaluator = factory()
        while True:
            pipe.send(attempt(evaluator, pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except TinydsnError as error:
        pipe.send(error)
    except MemoryError:
        pipe.send(ToolchainError(f"a worker process ran out of memory; {REMEDY}"))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        pipe.send(ToolchainError(f"a worker process failed: {where}{error.strerror or error}; {KEPT}"))
    except Exception:
        pipe.send(traceback.format_exc())


class Ray:
    """Actors of a Ray cluster (``RAY_ADDRESS``, else one on this machine), each with its own evaluator.

    The files that the factory names must be there on every node. Raises ConfigError without the package.
    """

    def __init__(self, factory: Factory, jobs: int) -> None:
        if util.find_spec("ray") is None:
            raise ConfigError(
                "--executor ray needs the package ray (install it: pip install 'tinydsn[cluster]')"
            )
        import ray

        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
        actor = ray.remote(num_cpus=1)(Worker)
        self._actors = [actor.remote(factory) for _ in range(jobs)]

    def run(self, genomes: Sequence[Genome]) -> Iterator[tuple[int, Any]]:
        """As each ends."""
        waiting = list(enumerate(genomes))[::-1]
        busy: dict[Any, tuple[int, Any]] = {}

        def give(actor: Any) -> None:
            if waiting:
                index, genome = waiting.pop()
                busy[actor.score.remote(genome)] = (index, actor)

        for actor in self._actors:
            give(actor)
        while busy:
            (ready,), _ = self._ray.wait(list(busy), num_returns=1)
            index, actor = busy.pop(ready)
            try:
                outcome = self._ray.get(ready)
            except self._ray.exceptions.RayActorError as error:
                reason = str(error).strip().splitlines()[0]
                raise ToolchainError(f"an actor of Ray ended ({reason}); {REMEDY}") from None
            if isinstance(outcome, TinydsnError):
                raise outcome
            give(actor)
            yield index, outcome

    def close(self) -> None:
        """End the actors, and the cluster that was started here."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._own:
            self._ray.shutdown()


class Worker:
    """What a Ray actor is."""

    def __init__(self, factory: Factory) -> None:
        self._evaluator = factory()

    def score(self, genome: Genome) -> Any:
        """The genome's outcome; errors of the user's kind are handed over as values, so that they stay it."""
        try:
            return attempt(self._evaluator, genome)
        except TinydsnError as error:
            return error
