"""A model built for one board, and the comparison of what it gives with a golden file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.gates import GatePattern
from quant.reference import Pipeline, by_frame, hop_of
from tinydsn.audio.files import read_wav, write_wav
from tinydsn.codegen.build import COMPILE_FLAGS
from tinydsn.codegen.cmsis import cmsis_nn_version
from tinydsn.codegen.toolchain import find_compiler
from tinydsn.emulation import RunResult
from tinydsn.testing.golden import Fingerprint, Golden, compare, make_golden, read_golden, write_golden
from tinydsn.workflow.difference import first_operator
from tinydsn.workflow.firmware import Firmware, build_firmware, run_firmware, statistics
from tinydsn.workflow.models import load_model


class GoldenUpdated(UserWarning):
    """A golden file was written instead of compared."""


@dataclass(frozen=True)
class Options:
    """Percent that counts may be off under another fingerprint; renew golden files; where failures go."""

    slack: float | None = None
    update: bool = False
    keep: Path = Path("tinydsn-failures")


@dataclass(frozen=True)
class BoardFirmware:
    """The firmware of one model on one board."""

    firmware: Firmware
    fingerprint: Fingerprint
    options: Options

    @property
    def board(self) -> str:
        """The board's name."""
        return self.firmware.board.name

    def run(self, wav: Path | str, gates: str = "learned") -> RunResult:
        """Sends a recording through the firmware; gates as in `tinydsn run`.

        Raises AudioError for a recording that the model cannot take.
        """
        return run_firmware(self.firmware, self._pcm(Path(wav)), GatePattern(gates))

    def _pcm(self, wav: Path) -> np.ndarray:
        graph = self.firmware.model.graph
        return read_wav(wav, graph.frontend.sample_rate if graph.frontend else 16000)

    def golden_path(self, wav: Path | str) -> Path:
        """Where the golden file of a recording stands: beside it, ``NAME.wav.BOARD.golden``."""
        wav = Path(wav)
        return wav.with_name(f"{wav.name}.{self.board}.golden")

    def record(self, result: RunResult) -> Golden:
        """What a golden file would say of a run."""
        counts = None
        if result.instructions is not None:
            total = int(result.instructions.sum(dtype=np.uint64))
            counts = {**statistics(result.instructions), "total": total}
        return make_golden(self.firmware.model.sha256, result.pcm, result.gates, counts, self.fingerprint)

    def assert_golden(self, wav: Path | str, golden: Path | str | None = None) -> RunResult:
        """Runs a recording and compares samples, gates and instruction counts with its golden file.

        Raises AssertionError with the first differing frame, and the operator where it begins when the
        firmware does not equal the integer reference; output, difference and gates are then kept in the
        folder ``tinydsn-failures``. Raises ConfigError when there is no golden file, or a damaged one.
        """
        wav = Path(wav)
        path = Path(golden) if golden is not None else self.golden_path(wav)
        pcm = self._pcm(wav)
        if not self.options.update:
            expected = read_golden(path)
        result = run_firmware(self.firmware, pcm, GatePattern("learned"))
        found = self.record(result)
        if self.options.update:
            write_golden(found, path)
            warnings.warn(GoldenUpdated(f"{path} written"), stacklevel=2)
            return result
        wrong, remark = compare(expected, found, self.options.slack)
        if remark:
            warnings.warn(UserWarning(f"{path.name}: {remark}"), stacklevel=2)
        if wrong:
            raise AssertionError(
                "\n".join([f"{path}:", *wrong, *self._explain(wav, pcm, result, expected, found)])
            )
        return result

    def _explain(
        self, wav: Path, pcm: np.ndarray, result: RunResult, expected: Golden, found: Golden
    ) -> list[str]:
        """Is it the firmware or the model? And where the files of the failure are."""
        model = self.firmware.model
        reference = Pipeline(model.graph).run(pcm)
        lines = []
        differs = by_frame(reference.pcm != result.pcm, hop_of(self.firmware.model.graph)).any(axis=1)
        differs |= (reference.gates != result.gates).any(axis=1)
        if differs.any():
            frame = int(np.argmax(differs))
            operator = first_operator(self.firmware, pcm, GatePattern("learned"), frame)
            lines.append(f"the firmware does not equal the integer reference: frame {frame}, {operator}")
        elif expected.pcm != found.pcm or expected.gates != found.gates:
            lines.append(
                "the firmware equals the integer reference of this model: the model gives other bits"
            )
        folder = self.options.keep / f"{wav.stem}.{self.board}"
        folder.mkdir(parents=True, exist_ok=True)
        write_wav(folder / "output.wav", result.pcm)
        error = np.clip(result.pcm.astype(np.int32) - reference.pcm, -32768, 32767)
        write_wav(folder / "minus-reference.wav", error.astype(np.int16))
        np.savetxt(folder / "gates.txt", result.gates, "%d")
        write_golden(found, folder / "found.golden")
        return [*lines, f"kept in {folder}: output.wav, minus-reference.wav, gates.txt, found.golden"]


def fingerprint_of(firmware: Firmware) -> Fingerprint:
    """Compiler, flags and CMSIS-NN revision of a build."""
    board = firmware.board
    flags = " ".join([*board.flags, *COMPILE_FLAGS])
    return Fingerprint(find_compiler(board).version, flags, cmsis_nn_version())


def build_for(model: str, board: str, folder: Path, options: Options) -> BoardFirmware:
    """Builds a model for a board into ``folder``; raises what `build_firmware` raises."""
    firmware = build_firmware(load_model(model), board, folder)
    return BoardFirmware(firmware, fingerprint_of(firmware), options)
