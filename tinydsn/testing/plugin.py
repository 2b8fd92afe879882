"""The pytest plugin (entry point ``pytest11``): options, and the fixture ``tinydsn_firmware``.

Everything heavy is imported by the fixture: pytest loads this module in every run of the environment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tinydsn.testing.firmware import BoardFirmware

DEFAULT_BOARD = "mps2-an386"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The command line's options and the settings of the ini file."""
    group = parser.getgroup("tinydsn", "firmware regression tests (tinydsn)")
    group.addoption(
        "--tinydsn-board",
        action="append",
        metavar="NAME",
        help=f"run on this board (repeatable; host or a name from `tinydsn boards`; default {DEFAULT_BOARD})",
    )
    group.addoption(
        "--tinydsn-slack",
        type=float,
        metavar="PERCENT",
        help="how far instruction counts may be off under another compiler, flags or CMSIS-NN",
    )
    group.addoption("--update-golden", action="store_true", help="write golden files instead of comparing")
    group.addoption(
        "--tinydsn-require",
        action="store_true",
        help="fail, not skip, where a compiler or emulator is missing",
    )
    group.addoption(
        "--tinydsn-keep",
        metavar="FOLDER",
        default="tinydsn-failures",
        help="where output, difference and gates of failures are kept (default tinydsn-failures)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a board for whatever uses a firmware."""
    if "tinydsn_board" in metafunc.fixturenames:
        boards = metafunc.config.getoption("--tinydsn-board") or [DEFAULT_BOARD]
        metafunc.parametrize("tinydsn_board", list(dict.fromkeys(boards)), scope="session")


@pytest.fixture(scope="session")
def tinydsn_builds() -> dict[tuple[str, str], BoardFirmware]:
    """What this session has built, by model and board."""
    return {}


@pytest.fixture
def tinydsn_firmware(
    request: pytest.FixtureRequest,
    tinydsn_board: str,
    tinydsn_builds: dict[tuple[str, str], BoardFirmware],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str | Path], BoardFirmware]:
    """Builds a model for the board of this test, once a session: ``tinydsn_firmware("model.tdsn")``.

    The model is an integer graph, a checkpoint, or a shipped model's name. A missing compiler or emulator
    skips the test, or fails it with ``--tinydsn-require``.
    """
    from quant.errors import MissingTool, TinydsnError
    from tinydsn.testing.firmware import Options, build_for

    config = request.config
    options = Options(
        config.getoption("--tinydsn-slack"),
        config.getoption("--update-golden"),
        config.rootpath / config.getoption("--tinydsn-keep"),
    )

    def firmware(model: str | Path) -> BoardFirmware:
        key = str(model), tinydsn_board
        if key not in tinydsn_builds:
            folder = tmp_path_factory.mktemp("tinydsn") / "project"
            try:
                tinydsn_builds[key] = build_for(*key, folder, options)
            except MissingTool as error:
                if config.getoption("--tinydsn-require"):
                    pytest.fail(f"--tinydsn-require: {error}", pytrace=False)
                pytest.skip(str(error))
            except TinydsnError as error:
                pytest.fail(str(error), pytrace=False)
        return tinydsn_builds[key]

    return firmware
