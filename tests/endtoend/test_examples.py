"""The example projects in docs/examples pass as they stand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from refusals import needs_emulator

ROOT = Path(__file__).resolve().parents[2]


def test_the_regression_example(tmp_path: Path) -> None:
    """Its golden files also hold the shipped model's instructions: no change of them goes unseen.

    Under another compiler or CMSIS-NN the counts are not compared, and pytest's warning says so.
    """
    needs_emulator()
    project = tmp_path / "regression"
    shutil.copytree(ROOT / "docs" / "examples" / "regression", project)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    boards = [f"--tinydsn-board={name}" for name in ("mps2-an386", "mps3-an547")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tinydsn-require", *boards]
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
