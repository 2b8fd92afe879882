"""Board files: the shipped ones, and what is said about wrong ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quant.errors import BoardError
from tinydsn.codegen.app import app_files, linker_script
from tinydsn.codegen.board import Board, Qemu, Region, Renode, board_names, load_board, read_board

KEYS = (
    "description, core, prefix, flags, fpu, dsp, mve, clock_hz, prototype, stack_bytes, notes, flash, ram, "
    "qemu, renode"
)
GOOD = """
description = "a board"
core = "cortex-m4"
prefix = "arm-none-eabi-"
flags = ["-mcpu=cortex-m4", "-mthumb"]
dsp = true
clock_hz = 1_000_000
stack_bytes = 1_024
flash = { origin = 0, size = 65_536 }
ram = { origin = 0x2000_0000, size = 8_192 }
qemu = { machine = "mine" }
"""


def board_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_names_start_with_the_host_and_every_board_loads() -> None:
    assert board_names() == ("host", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "stm32f405")
    for name in board_names():
        board = load_board(name)
        assert board.name == name
        assert board.is_host == (name == "host")


def test_a_file_becomes_a_board_with_the_files_name(tmp_path: Path) -> None:
    assert load_board(board_file(tmp_path, GOOD)) == Board(
        name="mine",
        description="a board",
        core="cortex-m4",
        prefix="arm-none-eabi-",
        flags=("-mcpu=cortex-m4", "-mthumb"),
        dsp=True,
        clock_hz=1_000_000,
        stack_bytes=1024,
        flash=Region(0, 65536),
        ram=Region(0x2000_0000, 8192),
        qemu=Qemu("mine"),
    )


def test_the_stm32_is_the_part_of_the_data_sheet() -> None:
    board = load_board("stm32f405")
    assert board.flash == Region(0x0800_0000, 1024 * 1024)
    assert board.ram == Region(0x2000_0000, 128 * 1024)
    assert board.clock_hz == 168_000_000
    assert "64 KB of CCM RAM are not used" in board.notes
    assert board.qemu == Qemu("netduinoplus2")


def test_flags_name_the_core_and_only_cores_with_mve_have_it() -> None:
    for name in board_names():
        board = load_board(name)
        if not board.is_host:
            assert f"-mcpu={board.core}" in board.flags and "-mfloat-abi=hard" in board.flags
            assert board.renode is not None and board.renode.cpu == board.core
        assert board.mve == (board.core == "cortex-m55")
    assert load_board("mps3-an547").renode == Renode("cortex-m55", newer_than="1.16.1")


def test_description_has_the_same_keys_for_all_boards() -> None:
    keys = {tuple(load_board(name).describe()) for name in board_names()}
    assert len(keys) == 1
    assert load_board("host").describe()["clock_hz"] is None
    assert load_board("mps3-an547").describe()["renode"] == "cortex-m55 (newer than 1.16.1)"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("stm32f40", ", did you mean 'stm32f405'?"), ("mps2-an368", ", did you mean 'mps2-an386'?"), ("x", "")],
)
def test_unknown_board_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(BoardError) as caught:
        load_board(name)
    assert str(caught.value) == (
        f"unknown board {name!r}{hint} (must be host, mps2-an386, mps2-an500, mps2-an505, mps3-an547, "
        "stm32f405, or a .toml file)"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("clock_hz", "clok_hz", f"unknown key 'clok_hz', did you mean 'clock_hz'? (keys are {KEYS})"),
        ('"mine"', '"mine", cp = 2', "unknown key 'qemu.cp', did you mean 'cpu'? (keys are machine, cpu)"),
        ("1_000_000", '"1 MHz"', "clock_hz is '1 MHz' (must be a whole number above zero)"),
        ("1_000_000", "0", "clock_hz is 0 (must be a whole number above zero)"),
        ("1_000_000", "true", "clock_hz is True (must be a whole number above zero)"),
        ("dsp = true", "dsp = 1", "dsp is 1 (must be true or false)"),
        ('"-mthumb"', "7", "flags is ['-mcpu=cortex-m4', 7] (must be a list of strings)"),
        ("origin = 0,", "origin = -1,", "flash.origin is -1 (must be an address)"),
        ('core = "cortex-m4"\n', "", "core is missing (must be a string)"),
        ("clock_hz = 1_000_000\n", "", "clock_hz is missing (must be a whole number above zero)"),
        ("origin = 0x2000_0000, ", "", "ram.origin is missing (must be an address)"),
        ("ram = {", "ram = 5 # {", "ram is 5 (must be a table)"),
        ("0x2000_0000", "0x8000", "flash and ram overlap (must be separate address ranges)"),
        ("1_024", "8_192", "stack_bytes is 8192 (must be a multiple of 8 below the 8192 bytes of ram)"),
        ("1_024", "1_025", "stack_bytes is 1025 (must be a multiple of 8 below the 8192 bytes of ram)"),
    ],
)
def test_wrong_files_are_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    path = board_file(tmp_path, GOOD.replace(old, new))
    with pytest.raises(BoardError) as caught:
        load_board(str(path))
    assert str(caught.value) == f"{path}: {message}"


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"mine\.toml: is not TOML \("):
        read_board(board_file(tmp_path, "name: x"))
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BoardError, match=r"mine\.toml: is not TOML \("):
        read_board(tmp_path / "mine.toml")
    with pytest.raises(BoardError, match=r"no\.toml: cannot be read \(No such file or directory\); see"):
        load_board(tmp_path / "no.toml")


def test_application_of_the_host_has_no_linker_script() -> None:
    assert sorted(app_files(load_board("host"))) == ["app/main.c", "app/platform.h", "app/platform_host.c"]


def test_application_of_a_target_holds_one_platform_and_the_boards_memory() -> None:
    board = load_board("stm32f405")
    for files, platform in ((None, "semihosting"), ("memory", "memory")):
        found = app_files(board, files)  # type: ignore[arg-type]
        assert [name for name in found if "platform_" in name] == [f"app/platform_{platform}.c"]
        assert "LENGTH = 131072" in found["app/tinydsn.ld"]
    assert "tinydsn_io_in = 0x60000000 ;" in app_files(board, "memory")["app/tinydsn.ld"]


def test_linker_script_states_the_regions() -> None:
    text = linker_script(load_board("mps3-an547"))
    assert re.search(r"FLASH \(rx\) : ORIGIN = 0x10000000, LENGTH = 524288\n", text)
    assert re.search(r"RAM \(rw\) : ORIGIN = 0x31000000, LENGTH = 2097152\n", text)
    assert ". = . + 16384 ;" in text and "tinydsn_io" not in text
