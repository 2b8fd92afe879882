"""What a run of the test program leaves behind, wherever it ran."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError, ToolchainError
from quant.gates import from_words
from quant.reference import by_channel

INPUT, OUTPUT, GATES, FORCED, TRACE = "in.pcm", "out.pcm", "gates.bin", "forced.bin", "trace.bin"
"""Files of a run, in the order of the test program's arguments."""


@dataclass(frozen=True)
class RunResult:
    """Audio, gates and costs of one run over ``frames`` frames.

    pcm: int16 [frames * hop], of several channels [channels, frames * hop]. gates: uint8 [frames, gates], 1
    where the gated region ran.
    instructions: uint32 [frames], None where they are not counted (host, Renode).
    operator_instructions: uint32 [frames, operators + 1], columns named by ``operator_names``: the functions
    of the front end and of the operators in their order, and last "runtime", the code between them; a row's
    sum is the frame's instructions. stack: the most bytes below the caller's stack pointer that
    ``tinydsn_process`` used, None on the host. function_instructions: where asked for, uint64
    [2 * operators + 1, functions + 1], sums over all frames by the function whose own code ran (columns named
    by ``function_names``, the last is code outside all functions), first within each operator, then in the
    runtime before each operator, last in the runtime at a frame's end. context: bytes of the context.
    trace: (operator's index, bytes of its output) in the order of execution, of the traced frame of a build
    with TINYDSN_TRACE.
    """

    pcm: np.ndarray
    gates: np.ndarray
    instructions: np.ndarray | None = None
    operator_instructions: np.ndarray | None = None
    operator_names: tuple[str, ...] = ()
    function_instructions: np.ndarray | None = None
    function_names: tuple[str, ...] = ()
    stack: int | None = None
    context: int = 0
    trace: tuple[tuple[int, bytes], ...] = ()

    def with_counts(self, counts: np.ndarray, names: tuple[str, ...]) -> RunResult:
        """The same run with its matrix of counts. Raises ToolchainError when it has other frames."""
        if len(counts) != len(self.gates):
            raise ToolchainError(
                f"QEMU's plugin counted {len(counts)} frames, the firmware ran {len(self.gates)} "
                "(tinydsn_process must be called by the test program alone)"
            )
        total = counts.sum(axis=1, dtype=np.uint64).astype(np.uint32)
        return replace(self, instructions=total, operator_instructions=counts, operator_names=names)


def write_inputs(
    folder: Path, pcm: np.ndarray, forced: np.ndarray | None, trace: int | None = None
) -> list[str]:
    """Write PCM (int16 [n]) and gate words (uint32 [frames]) into ``folder``; the program's arguments.

    ``trace``: a frame whose operators' outputs the program writes down.

    Raises ConfigError for arrays of another kind.
    """
    check_inputs(pcm, forced)
    (folder / INPUT).write_bytes(pcm.astype("<i2").tobytes())
    traced = [] if trace is None else ["--trace", str(trace), TRACE]
    if forced is None:
        return [INPUT, OUTPUT, GATES, *traced]
    (folder / FORCED).write_bytes(forced.astype("<u4").tobytes())
    return [INPUT, OUTPUT, GATES, FORCED, *traced]


def check_inputs(pcm: np.ndarray, forced: np.ndarray | None) -> None:
    """Raises ConfigError unless ``pcm`` is int16 [n] and ``forced`` uint32 [frames] or None."""
    for name, array, dtype in (("pcm", pcm, np.int16), ("forced", forced, np.uint32)):
        if array is not None and (array.dtype != dtype or array.ndim != 1):
            raise ConfigError(
                f"{name} is {array.dtype} {list(array.shape)} (must be {np.dtype(dtype).name}, one dimension)"
            )


def read_outputs(folder: Path, console: str) -> RunResult:
    """PCM and gates from ``folder``, sizes from the JSON that the program printed last."""
    said = last_line(console)
    try:
        summary = json.loads(said)
    except ValueError:
        raise ToolchainError(f"the firmware ended without its summary; it printed {said!r}") from None
    pcm = np.fromfile(folder / OUTPUT, "<i2").astype(np.int16)
    words = np.fromfile(folder / GATES, "<u4").astype(np.uint32)
    records = read_trace((folder / TRACE).read_bytes()) if (folder / TRACE).is_file() else ()
    return replace(assemble(summary, pcm, words), trace=records)


def read_trace(content: bytes) -> tuple[tuple[int, bytes], ...]:
    """(index, output) of each record: index and size as two little-endian words, then the output."""
    records, at = [], 0
    while at + 8 <= len(content):
        index, size = (int(word) for word in np.frombuffer(content, "<u4", 2, at))
        records.append((index, content[at + 8 : at + 8 + size]))
        at += 8 + size
    return tuple(records)


def assemble(summary: Mapping[str, Any], pcm: np.ndarray, words: np.ndarray) -> RunResult:
    """A result from the program's summary, PCM and gate words. Raises ToolchainError when they disagree."""
    frames, hop = summary["frames"], summary["hop"]
    channels = summary.get("channels", 1)  # only told where there are several
    if len(pcm) != frames * channels * hop or len(words) != frames:
        raise ToolchainError(
            f"the firmware wrote {len(pcm)} samples and {len(words)} gate words "
            f"for {frames} frames of {channels * hop} samples"
        )
    gates = from_words(words, summary["gates"]).astype(np.uint8)
    return RunResult(
        by_channel(pcm, hop, channels), gates, stack=summary["stack"], context=summary["context"]
    )


def last_line(text: str) -> str:
    """The last line with something in it; "" without one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def check_exit(code: int, console: str, where: str) -> None:
    """Raises ToolchainError for an exit code other than 0, with the last thing that was printed."""
    if code != 0:
        said = last_line(console).removeprefix("error: ") or "nothing printed"
        raise ToolchainError(f"the firmware failed {where} with exit code {code}: {said}")
