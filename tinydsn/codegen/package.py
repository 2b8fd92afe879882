"""The generated folder inside somebody's build: a CMake package with presets, and a module of Zephyr."""

from __future__ import annotations

import json
from typing import Any

from tinydsn.codegen.board import Board
from tinydsn.codegen.templates import render

PACKAGE = "tinydsn_model"
"""Name for ``find_package``; the target is ``tinydsn::model``."""


def package_files(board: Board, values: dict[str, Any]) -> dict[str, str]:
    """Text of ``cmake/``, ``zephyr/`` and ``CMakePresets.json`` by path in the project.

    ``values``: of the project's CMakeLists.txt (`tinydsn.codegen.project`).
    """
    values = values | {"zephyr_cpu": zephyr_cpu(board)}
    parts = ["tinydsn_sources", "tinydsn_library", f"{PACKAGE}-config", f"{PACKAGE}-config-version"]
    files = {f"cmake/{name}.cmake": render(f"{name}.cmake.j2", values) for name in parts}
    if board.prefix:
        files[f"cmake/{toolchain(board)}.cmake"] = render("toolchain.cmake.j2", values)
    for name in ("module.yml", "CMakeLists.txt", "Kconfig"):
        files[f"zephyr/{name}"] = render(f"zephyr/{name}.j2", values)
    files["CMakePresets.json"] = json.dumps(presets(board), indent=2) + "\n"
    return files


def toolchain(board: Board) -> str:
    """Name of the preset and of its toolchain file, such as "arm-none-eabi"; "host" for the host."""
    return board.prefix.rstrip("-") or "host"


def zephyr_cpu(board: Board) -> str:
    """Kconfig symbol that a Zephyr configuration must have: what the weights are laid out for."""
    if board.is_host:
        return "ARCH_POSIX"
    return "ARMV8_1_M_MVEI" if board.mve else "CPU_CORTEX_M"


def presets(board: Board) -> dict[str, Any]:
    """``CMakePresets.json``: one way to configure and to build, named as the toolchain.

    One only, because constants are laid out for the core that the folder was generated for.
    """
    name = toolchain(board)
    file = {"toolchainFile": f"${{sourceDir}}/cmake/{name}.cmake"} if board.prefix else {}
    configure = {
        "name": name,
        "displayName": board.description,
        "binaryDir": "${sourceDir}/build/${presetName}",
        **file,
        "cacheVariables": {"CMAKE_BUILD_TYPE": "Release"},
    }
    return {
        "version": 3,
        "cmakeMinimumRequired": {"major": 3, "minor": 21, "patch": 0},
        "configurePresets": [configure],
        "buildPresets": [{"name": name, "configurePreset": name}],
    }
