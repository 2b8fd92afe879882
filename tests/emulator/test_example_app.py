"""The example application on the emulated STM32F405: bits, sleep between frames, and the deadline.

QEMU counts time in instructions here (-icount), so every number is the same on each run and machine.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from quant.errors import BoardError, TinydsnError
from quant.gates import GatePattern
from quant.reference import Pipeline
from tinydsn.codegen.board import load_board
from tinydsn.codegen.example import example_files
from tinydsn.codegen.project import generate
from tinydsn.codegen.templates import template_root
from tinydsn.codegen.toolchain import cmsis_nn_root, find_compiler, static_library
from tinydsn.codegen.writer import SelfTest, fnv1a
from tinydsn.emulation.qemu import machine
from tinydsn.workflow.firmware import record_selftest
from tinydsn.workflow.models import load_model

REAL_TIME_US = 16000
BETWEEN_US = 2200
"""A period that suffices for a frame with all gates off, and not for one with all on."""
WORDS = {"min": 0, "max": 0xFFFFFFFF}


@lru_cache(maxsize=1)
def recorded() -> SelfTest:
    return record_selftest(load_model("dsn-s").graph)


@lru_cache(maxsize=3)
def expected(pattern: str) -> int:
    """The hash of the reference's output."""
    graph, pcm = load_model("dsn-s").graph, recorded().pcm
    return fnv1a(Pipeline(graph).run(pcm, GatePattern(pattern)).pcm.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with ``tinydsn_example`` and ``tinydsn_example_qemu``, built by the project's own CMake."""
    if not shutil.which("cmake"):
        pytest.skip("cmake not found")
    model = load_model("dsn-s")
    try:
        board = load_board("stm32f405")
        find_compiler(board), machine(board)
        library = static_library(board)
    except TinydsnError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("example") / "model"
    generate(model.graph, board, folder, model_sha256=model.sha256, example=recorded())
    configure = ["cmake", "--preset", "arm-none-eabi", f"-DTINYDSN_CMSIS_LIBRARY={library}"]
    configure += [f"-DCMSIS_NN_ROOT={cmsis_nn_root()}"]
    for command in (configure, ["cmake", "--build", "--preset", "arm-none-eabi"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stdout + done.stderr
    return folder / "build" / "arm-none-eabi"


@dataclass(frozen=True)
class Report:
    """Exit code, and the numbers that the application printed."""

    code: int
    late: int
    first_late: int | None
    idle: float
    output: int
    worst: int


def example(folder: Path, *arguments: object) -> tuple[int, str]:
    """Exit code and text of a run in QEMU, where an instruction takes 8 ns."""
    words = ",".join(f"arg={word}" for word in ("example", *arguments))
    console = folder / "console.txt"
    command = [*machine(load_board("stm32f405")), "-icount", "shift=3,sleep=off"]
    command += ["-chardev", f"file,id=console,path={console}"]
    command += ["-semihosting-config", f"enable=on,target=native,chardev=console,{words}"]
    command += ["-kernel", str(folder / "tinydsn_example_qemu")]
    return subprocess.run(command, check=False, timeout=120).returncode, console.read_text()


def run(folder: Path, period: int, pattern: str = "learned") -> Report:
    force = [WORDS[pattern]] if pattern in WORDS else []
    code, text = example(folder, period, *force)
    said = json.loads(text)
    assert said["period_us"] == period and said["expected"] == expected("learned")
    idle = said["idle_us"] / said["time_us"]
    return Report(code, said["late"], said["first_late"], idle, said["output"], said["worst_us"])


@pytest.mark.parametrize("pattern", ["learned", "min", "max"])
def test_the_codec_hears_the_bits_of_the_reference(built: Path, pattern: str) -> None:
    found = run(built, REAL_TIME_US, pattern)
    assert (found.code, found.late, found.first_late) == (0, 0, None)
    assert found.output == expected(pattern)


def test_without_arguments_it_runs_in_real_time(built: Path) -> None:
    code, text = example(built)
    assert code == 0 and json.loads(text)["period_us"] == REAL_TIME_US


def test_the_processor_sleeps_longer_when_gates_close(built: Path) -> None:
    idle = {pattern: run(built, REAL_TIME_US, pattern).idle for pattern in ("min", "learned", "max")}
    assert idle["min"] > idle["learned"] > idle["max"]
    # 0.17 and 0.11 M instructions more a frame than with all gates off, of 2 M: see README's table of costs.
    assert idle["min"] - idle["max"] > 0.05
    assert idle["max"] > 0.7


def test_the_monitor_counts_late_frames_only_when_the_period_is_too_short(built: Path) -> None:
    shut, opened = (run(built, BETWEEN_US, pattern) for pattern in ("min", "max"))
    assert shut.worst < BETWEEN_US < opened.worst
    assert (shut.code, shut.late, shut.first_late) == (0, 0, None)
    assert shut.output == expected("min")
    assert opened.code == 1 and opened.first_late == 0
    assert opened.late > 30
    assert opened.output != expected("max")


def test_a_wrong_call_is_refused(built: Path) -> None:
    usage = "error: call: example [PERIOD_US [GATES]], numbers above zero in microseconds\n"
    assert example(built, "fast") == (3, usage)
    assert example(built, 0) == (3, usage)


def test_it_has_no_heap_and_no_floats(built: Path) -> None:
    compiler = find_compiler(load_board("stm32f405"))
    for name in ("tinydsn_example", "tinydsn_example_qemu"):
        shown = [[str(compiler.tool("nm"))], [str(compiler.tool("objdump")), "-d", "--no-show-raw-insn"]]
        symbols, code = (
            subprocess.run([*command, str(built / name)], capture_output=True, text=True, check=True).stdout
            for command in shown
        )
        assert " T tinydsn_process" in symbols and "\twfi" in code
        assert not re.findall(r" (?:_?malloc\w*|free|_sbrk\w*|__aeabi_[fd]\w+)$", symbols, re.MULTILINE)
        assert not re.findall(r"\tv\w+\.f(?:16|32|64)", code)


def test_only_the_emulators_program_stops_at_breakpoints_in_main(built: Path) -> None:
    nm = str(find_compiler(load_board("stm32f405")).tool("nm"))
    symbols = subprocess.run([nm, str(built / "tinydsn_example")], capture_output=True, text=True).stdout
    assert " example_report" in symbols and "semihosting_command_line" not in symbols


def test_other_parts_are_refused(tmp_path: Path) -> None:
    silence = SelfTest(np.zeros(16, np.int16), np.zeros(16, np.int16))
    with pytest.raises(BoardError) as caught:
        example_files(load_board("mps2-an386"), silence, 16)
    assert str(caught.value) == (
        "mps2-an386: there is no example application for it (the part must be stm32f405; "
        "use --board stm32f405, or copy example/ from there and write codec.h's functions for your part)"
    )


# audio.c among stubs: what happens at each swap, sample by sample.
STUB = """
#ifndef CODEC_H
#define CODEC_H
#include "audio.h"
static inline uint32_t clock_us(void) { return 0; }
static inline void interrupts_off(void) { }
static inline void interrupts_on(void) { }
void wait_for_interrupt(void);
#endif
"""
HEADER = "#include <stdint.h>\n#define TINYDSN_HOP 2\n"
SCRIPT = """
#include "audio.h"
#include "codec.h"
#include <stdio.h>
static audio_t audio;
static int16_t frame[2];
static int16_t next;
/* The codec plays, captures 10, 20, 30, ... and swaps. */
static void codec(void)
{
    printf("%d", audio.out[audio.side][0]);
    printf(audio.out[audio.side][0] == audio.out[audio.side][1] ? " " : "! ");
    next += 10;
    audio.in[audio.side][0] = audio.in[audio.side][1] = next;
    audio_swap(&audio);
}
void wait_for_interrupt(void) { codec(); }
int main(int argc, char **argv)
{
    (void)argc;
    audio_init(&audio);
    for (const char *step = argv[1]; *step != 0; step++) {
        audio_wait(&audio, frame);
        /* The digit: swaps that happen before the frame is finished. */
        for (int i = 0; i < *step - '0'; i++) {
            codec();
        }
        frame[0]++, frame[1]++;
        audio_deliver(&audio, frame);
    }
    codec();
    printf("%d late %u first %d\\n", audio.out[audio.side][0], (unsigned)audio.late, (int)audio.first_late);
    return 0;
}
"""


@pytest.mark.parametrize(
    ("swaps", "played"),
    [
        ("0000", "0 0 11 21 31 41 late 0 first -1"),
        # Frame 1 (of 20) is late: silence in its place, the newest frame (30) is next.
        ("0100", "0 0 11 0 31 41 late 1 first 1"),
        # Two swaps too late: frames 1 and 2 are lost, the program goes on with 40.
        ("0200", "0 0 11 0 0 41 51 late 2 first 1"),
        ("1110", "0 0 0 0 0 41 late 3 first 0"),
    ],
)
def test_a_late_frame_is_silence_and_is_counted(tmp_path: Path, swaps: str, played: str) -> None:
    try:
        compiler = find_compiler(load_board("host")).path
    except TinydsnError as error:
        pytest.skip(str(error))
    for name in ("audio.c", "audio.h"):
        shutil.copy(template_root() / "example" / name, tmp_path)
    for name, text in {"codec.h": STUB, "tinydsn.h": HEADER, "script.c": SCRIPT}.items():
        (tmp_path / name).write_text(text)
    flags = ["-Wall", "-Werror", "-fsanitize=undefined", "-o", "script"]
    subprocess.run([str(compiler), "audio.c", "script.c", *flags], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "script", swaps], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == played
