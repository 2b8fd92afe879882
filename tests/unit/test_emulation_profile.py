"""The map of addresses for QEMU's plugin, the counts it leaves, and the plugin's own build."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from quant.errors import ToolchainError
from tinydsn.codegen.toolchain import Core, find_compiler
from tinydsn.emulation import plugin
from tinydsn.emulation.profile import address_map, read_counts
from tinydsn.emulation.result import RunResult

FUNCTIONS = """
void app_frames(void) {}
void tinydsn_process(void) {}
void process_part(void) __asm__("tinydsn_process.part.0");
void process_part(void) {}
void tinydsn_op_001_b(void) {}
void tinydsn_op_000_a(void) {}
void clone(void) __asm__("tinydsn_op_000_a.constprop.0");
void clone(void) {}
void tinydsn_frontend_synthesis(void) {}
void tinydsn_frontend_analysis(void) {}
void arm_kernel(void) {}
"""


@pytest.fixture
def gcc() -> str:
    try:
        return str(find_compiler(Core("")).path)
    except ToolchainError as error:
        pytest.skip(str(error))


def compiled(gcc: str, folder: Path, text: str) -> Path:
    (folder / "f.c").write_text(text)
    # A shared object: linked, so that addresses are final, without a main().
    # Even addresses: bit 0 of an Arm function's address is no part of it.
    flags = ["-O1", "-fPIC", "-shared", "-nostdlib", "-falign-functions=4"]
    subprocess.run([gcc, *flags, str(folder / "f.c"), "-o", str(folder / "f.so")], check=True)
    return folder / "f.so"


def test_operators_come_in_order_and_clones_count_as_the_original(gcc: str, tmp_path: Path) -> None:
    made = address_map(compiled(gcc, tmp_path, FUNCTIONS))
    front, back = "tinydsn_frontend_analysis", "tinydsn_frontend_synthesis"
    assert made.names == (front, "tinydsn_op_000_a", "tinydsn_op_001_b", back, "runtime")
    lines = [line.split() for line in made.text.splitlines()]
    assert lines[0] == ["columns", "4"]
    assert [line[0] for line in lines].count("frame") == 2
    assert [line[0] for line in lines].count("outside") == 1
    columns = sorted(line[2] for line in lines if line[0] == "operator")
    assert columns == ["0", "1", "1", "2", "3"]


def test_a_frame_starts_at_the_function_and_not_at_its_part(gcc: str, tmp_path: Path) -> None:
    made = address_map(compiled(gcc, tmp_path, FUNCTIONS))
    table = subprocess.run(["nm", str(tmp_path / "f.so")], capture_output=True, text=True, check=True).stdout
    address = next(line.split()[0] for line in table.splitlines() if line.endswith(" tinydsn_process"))
    frames = [line.split()[1] for line in made.text.splitlines() if line.startswith("frame")]
    assert int(frames[0], 16) == int(address, 16)


def test_a_program_without_the_marks_is_refused(gcc: str, tmp_path: Path) -> None:
    elf = compiled(gcc, tmp_path, "void tinydsn_process(void) {}")
    with pytest.raises(ToolchainError) as caught:
        address_map(elf)
    assert str(caught.value) == (
        f"{elf}: has no function app_frames; instructions cannot be counted (build it again)"
    )


def test_counts_are_rows_of_all_columns(tmp_path: Path) -> None:
    path = tmp_path / "counts.bin"
    path.write_bytes(np.arange(6, dtype="<u4").tobytes())
    assert read_counts(path, ("a", "b", "runtime")).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ToolchainError, match=r"plugin left 6 counts \(must be a multiple of 4\)"):
        read_counts(path, ("a", "b", "c", "runtime"))
    with pytest.raises(ToolchainError, match="plugin left 0 counts"):
        read_counts(tmp_path / "none", ("a",))


def test_counts_of_other_frames_are_refused() -> None:
    run = RunResult(np.zeros(8, np.int16), np.zeros((2, 1), np.uint8))
    counts = np.array([[1, 2], [3, 4]], np.uint32)
    assert run.with_counts(counts, ("a", "runtime")).instructions is not None
    assert run.with_counts(counts, ("a", "runtime")).instructions.tolist() == [3, 7]  # type: ignore[union-attr]
    with pytest.raises(ToolchainError, match="plugin counted 1 frames, the firmware ran 2"):
        run.with_counts(counts[:1], ("a", "runtime"))


@pytest.mark.parametrize(("version", "api"), [("7.2.22", 1), ("8.2.0", 1), ("9.0.0", 2), ("10.0.2", 2)])
def test_the_api_follows_the_release(version: str, api: int) -> None:
    assert plugin.plugin_api(version) == api


def test_a_release_without_numbers_is_refused() -> None:
    with pytest.raises(ToolchainError, match="QEMU states the version 'unknown'"):
        plugin.plugin_api("unknown")


@pytest.mark.parametrize("version", ["7.2.22", "10.0.2"])
def test_the_plugin_builds_once_for_each_api(
    version: str, gcc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path))
    monkeypatch.setattr(plugin, "qemu_version", lambda: version)
    path = plugin.plugin_path()
    assert path.parent == tmp_path / "plugins"
    written = path.stat().st_mtime_ns
    assert plugin.plugin_path() == path and path.stat().st_mtime_ns == written
    assert sorted(item.name for item in path.parent.iterdir()) == [path.name, path.name + ".lock"]
    monkeypatch.setattr(plugin, "qemu_version", lambda: "8.0.0" if version == "10.0.2" else "9.0.0")
    assert plugin.plugin_path() != path


def test_a_plugin_that_does_not_compile_leaves_nothing(
    gcc: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.c").write_text("int x = ;\n")
    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path))
    monkeypatch.setattr(plugin, "qemu_version", lambda: "7.2.22")
    monkeypatch.setattr(plugin, "SOURCE", tmp_path / "bad.c")
    with pytest.raises(ToolchainError, match="^compiling QEMU's plugin failed: .*error: "):
        plugin.plugin_path()
    assert [item.suffix for item in (tmp_path / "plugins").iterdir()] == [".lock"]
