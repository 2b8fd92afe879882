"""The generated folder inside other builds: find_package, add_subdirectory, presets, a module of Zephyr."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_codegen_project import SHA, recording, tiny

from quant.errors import TinydsnError
from tinydsn import __version__
from tinydsn.codegen.board import Board, load_board
from tinydsn.codegen.package import presets, zephyr_cpu
from tinydsn.codegen.project import generate
from tinydsn.codegen.toolchain import cmsis_nn_root, find_compiler, static_library

MAIN = """
#include "tinydsn.h"
static uint64_t memory[(TINYDSN_CONTEXT_BYTES + 15) / 16 * 2] __attribute__((aligned(16)));
int main(void) { return (int)tinydsn_selftest(memory); }
"""
CONSUMER = """
cmake_minimum_required(VERSION 3.16)
project(product C)
{use}
add_executable(product main.c)
target_link_libraries(product PRIVATE tinydsn::model)
"""
SUBDIRECTORY = 'add_subdirectory("{folder}" model)'
PACKAGE = 'find_package(tinydsn_model {version} CONFIG REQUIRED PATHS "{folder}" NO_DEFAULT_PATH)'


def written(name: str, folder: Path) -> Board:
    """The project of the tiny graph for a board; skips where a tool is missing."""
    if not shutil.which("cmake"):
        pytest.skip("cmake not found")
    try:
        board = load_board(name)
        find_compiler(board)
        static_library(board)
    except TinydsnError as error:
        pytest.skip(str(error))
    generate(tiny(), board, folder, model_sha256=SHA, selftest=recording())
    return board


def cmsis(board: Board) -> list[str]:
    """Options that name the CMSIS sources and their compiled library."""
    return [
        f"-DCMSIS_NN_ROOT={cmsis_nn_root()}",
        f"-DTINYDSN_CMSIS_LIBRARY={static_library(board)}",
    ]


def cmake(*arguments: object, where: Path | None = None) -> str:
    """What cmake printed; fails with it unless cmake succeeded."""
    done = subprocess.run(
        ["cmake", *map(str, arguments)], cwd=where, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def consumer(folder: Path, use: str, *options: str) -> Path:
    """The program of a small project in ``folder`` that takes the model in by the lines ``use``."""
    folder.mkdir()
    (folder / "main.c").write_text(MAIN)
    (folder / "CMakeLists.txt").write_text(CONSUMER.format(use=use))
    cmake("-S", folder, "-B", folder / "build", "-DCMAKE_BUILD_TYPE=Debug", *options)
    cmake("--build", folder / "build")
    return folder / "build" / "product"


def passes(program: Path) -> None:
    assert subprocess.run([program], check=False).returncode == 0


@pytest.mark.parametrize("use", [SUBDIRECTORY, PACKAGE], ids=["add_subdirectory", "find_package"])
def test_a_project_outside_compiles_the_model_for_the_host(tmp_path: Path, use: str) -> None:
    board = written("host", tmp_path / "model")
    lines = use.format(folder=tmp_path / "model", version=__version__)
    passes(consumer(tmp_path / "product", lines, *cmsis(board), "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"))
    commands = json.loads((tmp_path / "product" / "build" / "compile_commands.json").read_text())
    of_model = [item["command"] for item in commands if "tinydsn_operators.c" in item["file"]]
    assert len(of_model) == 1 and " -O3 " in of_model[0], "kernels are optimized in a debug build as well"
    assert not [item for item in commands if "/app/" in item["file"]], "the test program is not theirs"


def test_an_installed_package_is_found_without_the_folder(tmp_path: Path) -> None:
    board = written("host", tmp_path / "model")
    cmake("-S", tmp_path / "model", "-B", tmp_path / "build", *cmsis(board))
    cmake("--build", tmp_path / "build")
    cmake("--install", tmp_path / "build", "--prefix", tmp_path / "there")
    for name in ("model", "build"):
        shutil.rmtree(tmp_path / name)
    shutil.move(tmp_path / "there", tmp_path / "moved")
    passes(consumer(tmp_path / "product", PACKAGE.format(folder=tmp_path / "moved", version="")))


@pytest.mark.parametrize("use", [SUBDIRECTORY, PACKAGE], ids=["add_subdirectory", "find_package"])
def test_a_project_outside_links_the_model_for_a_core(tmp_path: Path, use: str) -> None:
    board = written("stm32f405", tmp_path / "model")
    lines = use.format(folder=tmp_path / "model", version="")
    lines += '\nadd_link_options(--specs=nosys.specs "-Wl,--no-warn-rwx-segments")'
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={tmp_path / 'model' / 'cmake' / 'arm-none-eabi.cmake'}"
    program = consumer(tmp_path / "product", lines, toolchain, *cmsis(board))
    shown = [str(find_compiler(board).tool("readelf")), "-h", str(program)]
    assert "hard-float ABI" in subprocess.run(shown, capture_output=True, text=True, check=True).stdout


def test_two_parts_of_a_project_may_ask_for_the_package(tmp_path: Path) -> None:
    board = written("host", tmp_path / "model")
    line = PACKAGE.format(folder=tmp_path / "model", version="")
    passes(consumer(tmp_path / "product", f"{line}\n{line}", *cmsis(board)))


def test_a_newer_interface_than_the_folders_is_not_found(tmp_path: Path) -> None:
    written("host", tmp_path / "model")
    (tmp_path / "CMakeLists.txt").write_text(
        CONSUMER.format(use=PACKAGE.format(folder=tmp_path / "model", version="99.0"))
    )
    done = subprocess.run(["cmake", "-B", "build"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and f"version: {__version__}" in done.stderr


@pytest.mark.parametrize(("name", "preset"), [("host", "host"), ("mps2-an386", "arm-none-eabi")])
def test_the_preset_builds_the_folder(tmp_path: Path, name: str, preset: str) -> None:
    board = written(name, tmp_path / "model")
    assert f'"{preset}"' in cmake("--list-presets", where=tmp_path / "model")
    cmake("--preset", preset, *cmsis(board), where=tmp_path / "model")
    cmake("--build", "--preset", preset, where=tmp_path / "model")
    assert (tmp_path / "model" / "build" / preset / "tinydsn_app").is_file()


def test_missing_cmsis_sources_are_named(tmp_path: Path) -> None:
    written("host", tmp_path / "model")
    bare = {name: value for name, value in os.environ.items() if not name.startswith("CMSIS_")}
    command = ["cmake", "-S", str(tmp_path / "model"), "-B", str(tmp_path / "build")]
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "set CMSIS_NN_ROOT to the folder with CMSIS-NN's Include and Source" in done.stderr


def test_each_board_has_one_preset_and_a_cpu() -> None:
    found = {}
    for name in ("host", "stm32f405", "mps3-an547"):
        board = load_board(name)
        configure = presets(board)["configurePresets"]
        found[name] = ([item["name"] for item in configure], zephyr_cpu(board))
    assert found == {
        "host": (["host"], "ARCH_POSIX"),
        "stm32f405": (["arm-none-eabi"], "CPU_CORTEX_M"),
        "mps3-an547": (["arm-none-eabi"], "ARMV8_1_M_MVEI"),
    }


STUB = """
cmake_minimum_required(VERSION 3.20)
project(zephyr_stub C)
set(CONFIG_TINYDSN_MODEL {enabled})
{roots}
add_library(zephyr_interface INTERFACE)
set_property(GLOBAL PROPERTY libraries "")
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${{name}})
  add_library(${{name}} STATIC "")
  target_link_libraries(${{name}} PUBLIC zephyr_interface)
  set_property(GLOBAL APPEND PROPERTY libraries ${{name}})
endmacro()
function(zephyr_library_sources)
  target_sources(${{ZEPHYR_CURRENT_LIBRARY}} PRIVATE ${{ARGN}})
endfunction()
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${{ARGN}})
endfunction()
function(zephyr_library_include_directories)
  target_include_directories(${{ZEPHYR_CURRENT_LIBRARY}} PRIVATE ${{ARGN}})
endfunction()
function(zephyr_library_compile_definitions)
  target_compile_definitions(${{ZEPHYR_CURRENT_LIBRARY}} PRIVATE ${{ARGN}})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(${{ZEPHYR_CURRENT_LIBRARY}} PRIVATE ${{ARGN}})
endfunction()
function(zephyr_library_link_libraries)
  target_link_libraries(${{ZEPHYR_CURRENT_LIBRARY}} PUBLIC ${{ARGN}})
endfunction()
add_subdirectory("{folder}/zephyr" model)
get_property(found GLOBAL PROPERTY libraries)
message(STATUS "libraries: ${{found}}")
if(found)
  add_executable(app main.c)
  target_link_libraries(app PRIVATE -Wl,--whole-archive ${{found}} -Wl,--no-whole-archive zephyr_interface)
endif()
"""


def stubbed(folder: Path, enabled: bool, roots: str) -> tuple[Path, str]:
    """A project with Zephyr's CMake functions around the module, and what its configuration printed."""
    written("host", folder / "model")
    (folder / "main.c").write_text(MAIN)
    text = STUB.format(enabled="y" if enabled else "n", folder=folder / "model", roots=roots)
    (folder / "CMakeLists.txt").write_text(text)
    return folder / "build", cmake("-S", folder, "-B", folder / "build")


def test_the_zephyr_module_builds_among_zephyrs_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CMSIS_NN_ROOT", raising=False)
    # The folder of Zephyr's own module, with two of CMSIS-NN's files: the whole takes minutes.
    nn = tmp_path / "cmsis-nn"
    shutil.copytree(cmsis_nn_root() / "Include", nn / "Include")
    (nn / "Source").mkdir()
    for name in ("arm_nn_mat_mult_nt_t_s8.c", "arm_relu_q7.c"):
        shutil.copy(next((cmsis_nn_root() / "Source").rglob(name)), nn / "Source" / name)
    build, said = stubbed(tmp_path, True, f'set(ZEPHYR_CMSIS_NN_MODULE_DIR "{nn}")')
    assert "-- libraries: tinydsn_model\n" in said
    cmake("--build", build)
    passes(build / "app")


def test_the_zephyr_module_is_nothing_unless_it_is_switched_on(tmp_path: Path) -> None:
    assert "-- libraries: \n" in stubbed(tmp_path, False, "")[1]


def test_the_zephyr_module_names_what_it_has(tmp_path: Path) -> None:
    generate(tiny(), load_board("stm32f405"), tmp_path / "model", model_sha256=SHA)
    lines = (tmp_path / "model" / "zephyr" / "module.yml").read_text().splitlines()
    assert lines[1:] == ["name: tinydsn_model", "build:", "  cmake: zephyr", "  kconfig: zephyr/Kconfig"]
    options = (tmp_path / "model" / "zephyr" / "Kconfig").read_text()
    assert "\nconfig TINYDSN_MODEL\n" in options and "\tdepends on CPU_CORTEX_M\n" in options
    assert SHA in options


def test_zephyr_builds_the_module(tmp_path: Path) -> None:
    if not shutil.which("west") or not os.environ.get("ZEPHYR_BASE"):
        pytest.skip("needs west, and a Zephyr workspace in ZEPHYR_BASE")
    written("mps2-an386", tmp_path / "model")
    app = tmp_path / "app"
    (app / "src").mkdir(parents=True)
    (app / "prj.conf").write_text("CONFIG_TINYDSN_MODEL=y\n")
    (app / "src" / "main.c").write_text(MAIN)
    (app / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nfind_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})\n"
        "project(app)\ntarget_sources(app PRIVATE src/main.c)\n"
    )
    options = [f"-DZEPHYR_EXTRA_MODULES={tmp_path / 'model'}", f"-DCMSIS_NN_ROOT={cmsis_nn_root()}"]
    command = ["west", "build", "-b", "mps2/an386", "-d", str(tmp_path / "build"), str(app), "--", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=os.environ["ZEPHYR_BASE"], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "build" / "zephyr" / "zephyr.elf").is_file()
