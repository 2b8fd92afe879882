"""What a run says when the firmware faults, overruns its stack, hangs, or lacks what is counted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from quant.errors import BoardError, ToolchainError
from tinydsn.codegen.app import app_files
from tinydsn.codegen.board import board_names, load_board
from tinydsn.codegen.toolchain import find_compiler, find_qemu
from tinydsn.emulation import run_host, run_qemu

BOARDS = [name for name in board_names() if name != "host"]

HEADER = """
#include <stddef.h>
#include <stdint.h>
#define TINYDSN_HOP 8
#define TINYDSN_OUTPUT_CHANNELS 1
#define TINYDSN_GATES 1
#define TINYDSN_CONTEXT_BYTES 16
typedef struct tinydsn { uint32_t gates; } tinydsn_t;
size_t tinydsn_size(void);
tinydsn_t *tinydsn_init(void *memory);
void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out);
uint32_t tinydsn_gates(const tinydsn_t *ctx);
void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value);
#ifdef RECORDED
#define TINYDSN_SELFTEST_FRAMES 4
int32_t tinydsn_selftest(void *memory);
#endif
"""

SOURCE = """
#include "tinydsn.h"
size_t tinydsn_size(void) { return sizeof(tinydsn_t); }
tinydsn_t *tinydsn_init(void *memory) { return memory; }
uint32_t tinydsn_gates(const tinydsn_t *ctx) { (void)ctx; return 0; }
void tinydsn_force_gates(tinydsn_t *ctx, uint32_t mask, uint32_t value)
{
    ctx->gates = mask & value;
}
void tinydsn_process(tinydsn_t *ctx, const int16_t *in, int16_t *out)
{
    (void)ctx;
    out[0] = in[0];
    BODY
}
#ifdef RECORDED
int32_t tinydsn_selftest(void *memory) { (void)memory; return RECORDED; }
#endif
"""


def built(name: str, folder: Path, body: str, *flags: str) -> Path:
    """A program whose frames run ``body``; skips when a tool is missing."""
    board = load_board(name)
    try:
        compiler = find_compiler(board).path
        find_qemu()
    except ToolchainError as error:
        pytest.skip(str(error))
    files = {**app_files(board), "app/tinydsn.h": HEADER, "app/tinydsn.c": SOURCE.replace("BODY", body)}
    (folder / "app").mkdir(exist_ok=True)
    for path, text in files.items():
        (folder / path).write_text(text)
    script = [] if board.is_host else [f"-T{folder / 'app' / 'tinydsn.ld'}", "-nostartfiles"]
    sources = [str(folder / path) for path in sorted(files) if path.endswith(".c")]
    command = [str(compiler), *board.flags, "-O2", "-std=gnu11", *flags, *sources, *script]
    subprocess.run([*command, "-o", str(folder / "app.elf")], check=True)
    return folder / "app.elf"


def failure(name: str, elf: Path, timeout: float | None = None, profile: bool = False) -> str:
    board = load_board(name)
    pcm = np.zeros(20, np.int16)
    with pytest.raises(ToolchainError) as caught:
        if board.is_host:
            run_host(elf, pcm, timeout=timeout)
        else:
            run_qemu(elf, board, pcm, timeout=timeout, profile=profile)
    return str(caught.value)


@pytest.mark.parametrize("name", BOARDS)
def test_a_fault_is_told_with_its_number(name: str, tmp_path: Path) -> None:
    elf = built(name, tmp_path, "__builtin_trap();")
    where = f"on {name} in QEMU"
    assert failure(name, elf) == f"the firmware failed {where} with exit code 131: the processor faulted"


@pytest.mark.parametrize("name", BOARDS)
def test_an_overrun_stack_is_told(name: str, tmp_path: Path) -> None:
    elf = built(name, tmp_path, "extern uint32_t startup_stack_limit[]; startup_stack_limit[0] = 0;")
    where = f"on {name} in QEMU"
    assert failure(name, elf) == f"the firmware failed {where} with exit code 4: the stack is too small"


def test_a_processor_that_locks_up_is_told(tmp_path: Path) -> None:
    # There is no memory at address 0x37FFFFF0, so that the fault cannot be entered either.
    body = '__asm volatile("mov sp, %0\\n push {r0}" : : "r"(0x37FFFFF0));'
    assert failure("mps2-an505", built("mps2-an505", tmp_path, body)).startswith(
        "the firmware failed on mps2-an505 in QEMU with exit code -6: qemu: fatal: Lockup"
    )


@pytest.mark.parametrize("name", BOARDS)
def test_stack_is_counted_below_the_caller(name: str, tmp_path: Path) -> None:
    body = "volatile char space[1024]; for (int i = 0; i < 1024; i++) space[i] = (char)in[0];"
    elf = built(name, tmp_path, body)
    stack = run_qemu(elf, load_board(name), np.zeros(40, np.int16), profile=False).stack
    assert stack is not None and 1024 <= stack <= 1024 + 32


@pytest.mark.parametrize("name", ["host", "mps2-an386"])
def test_a_program_that_does_not_end_is_stopped(name: str, tmp_path: Path) -> None:
    elf = built(name, tmp_path, "for (volatile int i = 0; i < 1; ) { }")
    where = "on the host" if name == "host" else f"on {name} in QEMU"
    assert failure(name, elf, timeout=1) == f"the firmware did not end {where} within 1 s"


def test_counting_needs_the_symbols(tmp_path: Path) -> None:
    elf = built("mps2-an386", tmp_path, "", "-s")
    message = f"{elf}: has no function tinydsn_process; instructions cannot be counted (build it again)"
    assert failure("mps2-an386", elf, profile=True) == message
    elf.write_bytes(b"no program")
    assert failure("mps2-an386", elf, profile=True).startswith(f"{elf}: cannot be read as an ELF program (")


def test_a_board_that_qemu_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BoardError) as caught:
        run_qemu(tmp_path / "none", load_board("host"), np.zeros(3, np.int16), profile=False)
    assert str(caught.value) == "host: QEMU does not have this board (its file has no table [qemu])"


@pytest.mark.parametrize(("result", "code", "said"), [(0, 0, "true"), (3, 1, "false")])
def test_the_self_test_prints_its_result(result: int, code: int, said: str, tmp_path: Path) -> None:
    elf = built("host", tmp_path, "", f"-DRECORDED={result}")
    done = subprocess.run([str(elf), "--selftest"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, f'{{"selftest":{result},"ok":{said}}}\n')


def test_wrong_calls_exit_with_2(tmp_path: Path) -> None:
    elf = built("host", tmp_path, "")
    for arguments, message in (
        (["--selftest"], "error: this project was generated without a self-test\n"),
        (["a"], "error: call: tinydsn_app IN OUT GATES [FORCED], or --selftest\n"),
    ):
        done = subprocess.run([str(elf), *arguments], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, message)
    done = subprocess.run([str(elf), "none", "b", "c"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "error: cannot open none\n")
