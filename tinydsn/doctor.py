"""What tinydsn needs from a machine, what of it is there, and the command that installs the rest."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from quant.errors import TinydsnError, ToolchainError
from tinydsn.codegen.cmsis import CMSIS_NN, cmsis_nn_root, cmsis_nn_version
from tinydsn.codegen.toolchain import CROSS_PREFIX, Core, find_compiler, find_qemu, qemu_version

EMULATED_MACHINES = ("mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "netduinoplus2")

PYTHON_VERSIONS = ((3, 11), (3, 14))
"""From the first (included) to the second (excluded)."""


@dataclass(frozen=True)
class Requirement:
    """One thing that may be missing.

    ``probe`` returns what was found (a version or a path) or raises TinydsnError. ``packages`` are the
    Debian packages that bring it, ``command`` the command when it is no Debian package, ``elsewhere``
    what to do on other systems. Only what is ``required`` makes a machine unfit.
    """

    name: str
    purpose: str
    probe: Callable[[], str]
    required: bool = True
    packages: tuple[str, ...] = ()
    command: str = ""
    elsewhere: str = ""


@dataclass(frozen=True)
class Check:
    """A requirement on this machine: ``found`` is None when it is missing, and ``problem`` says why."""

    requirement: Requirement
    found: str | None
    problem: str = ""

    @property
    def install(self) -> str:
        """The command for Debian and Ubuntu (or for every system) that brings what is missing."""
        if self.requirement.packages:
            sudo = "" if os.geteuid() == 0 else "sudo "
            return f"{sudo}apt-get install {' '.join(self.requirement.packages)}"
        return self.requirement.command


def examine() -> tuple[Check, ...]:
    """Look for everything, in the order in which it is used; runs nothing longer than ``--version``."""
    return tuple(_check(requirement) for requirement in requirements())


def fit(checks: tuple[Check, ...]) -> bool:
    """Whether everything required is there."""
    return all(check.found is not None for check in checks if check.requirement.required)


def requirements() -> tuple[Requirement, ...]:
    """The whole list."""
    return (*_python(), *_tools(), *_optional())


def _python() -> tuple[Requirement, ...]:
    core = Requirement(
        "Python packages",
        "the core",
        lambda: _distributions("core"),
        command="pip install tinydsn (in a checkout: make setup)",
    )
    extras = (("metrics", "SI-SDR, DNSMOS, PESQ, STOI"), ("oracle", "tests against tflite-micro"))
    return (
        Requirement(
            "Python",
            "everything",
            _python_version,
            packages=("python3", "python3-venv"),
            elsewhere="Python 3.11 to 3.13, for instance from python.org, pyenv or uv",
        ),
        core,
        *(
            Requirement(
                f"[{extra}]",
                purpose,
                lambda extra=extra: _distributions(extra),  # type: ignore[misc]
                required=False,
                command=f"pip install 'tinydsn[{extra}]'",
            )
            for extra, purpose in extras
        ),
    )


def _tools() -> tuple[Requirement, ...]:
    tarball = "unpack Arm's GNU toolchain (arm-none-eabi) and put its bin folder on the PATH"
    return (
        Requirement(
            "host C compiler",
            "build and verify on this machine, QEMU plugin",
            lambda: find_compiler(Core("")).version,
            packages=("gcc", "libc6-dev"),
            elsewhere="any GCC or Clang as gcc or cc on the PATH",
        ),
        Requirement(
            "Arm C compiler",
            "firmware",
            lambda: find_compiler(Core(CROSS_PREFIX)).version,
            packages=("gcc-arm-none-eabi",),
            elsewhere=f"{tarball}, or set TINYDSN_ARM_GCC to its arm-none-eabi-gcc",
        ),
        Requirement(
            "newlib",
            "firmware",
            _newlib,
            packages=("libnewlib-arm-none-eabi",),
            elsewhere=f"{tarball}: it brings newlib",
        ),
        Requirement("cmake", "builds generated projects", lambda: _tool("cmake"), packages=("cmake",)),
        Requirement("ninja", "builds generated projects", lambda: _tool("ninja"), packages=("ninja-build",)),
        Requirement(
            "QEMU",
            "runs firmware",
            _qemu,
            packages=("qemu-system-arm",),
            elsewhere="QEMU 7.2 or newer built with --enable-plugins; set QEMU to its qemu-system-arm",
        ),
        Requirement(
            "CMSIS-NN",
            "kernels",
            lambda: f"{cmsis_nn_version()} in {cmsis_nn_root()}",
            command="tinydsn doctor --fix",
            elsewhere=f"set {CMSIS_NN.environment} to a checkout of CMSIS-NN",
        ),
    )


def _optional() -> tuple[Requirement, ...]:
    return (
        Requirement(
            "ffmpeg",
            "decodes the voice of the demo (or use --wav)",
            lambda: _tool("ffmpeg", "-version"),
            required=False,
            packages=("ffmpeg",),
        ),
        Requirement(
            "voice prompts",
            "the voice of the demo (or use --wav)",
            _prompts,
            required=False,
            packages=("asterisk-core-sounds-en-g722",),
            elsewhere="give `tinydsn demo` a recording of your own with --wav",
        ),
        Requirement(
            "Renode",
            "runs the generated Renode scripts",
            _renode,
            required=False,
            command="unpack Renode's portable archive and put renode on the PATH",
            elsewhere="set RENODE to the executable",
        ),
    )


def _check(requirement: Requirement) -> Check:
    try:
        return Check(requirement, requirement.probe())
    except TinydsnError as error:
        return Check(requirement, None, str(error))


def _python_version() -> str:
    first, end = PYTHON_VERSIONS
    found = ".".join(map(str, sys.version_info[:3]))
    if not first <= sys.version_info[:2] < end:
        raise ToolchainError(f"Python {found} is not supported (must be 3.11, 3.12 or 3.13)")
    return found


def _distributions(extra: str) -> str:
    """Whether the packages that tinydsn's own metadata asks for are installed, in any version."""
    try:
        wanted = importlib.metadata.requires("tinydsn") or []
    except importlib.metadata.PackageNotFoundError:
        raise ToolchainError("tinydsn itself is not installed (it runs from a checkout)") from None
    names = []
    for line in wanted:
        named = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if (named.group(1) if named else "core") == extra:
            names.append(re.split(r"[^\w.-]", line, maxsplit=1)[0])
    absent = [name for name in names if not _installed(name)]
    if absent:
        raise ToolchainError(f"not installed: {', '.join(absent)}")
    return f"{len(names)} packages"


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _tool(name: str, option: str = "--version") -> str:
    path = shutil.which(name)
    if path is None:
        raise ToolchainError(f"{name} is not on the PATH")
    found = re.search(r"\d+(?:\.\d+)+", _output([path, option]))
    return found.group(0) if found else path


def _newlib() -> str:
    gcc = find_compiler(Core(CROSS_PREFIX)).path
    # GCC prints the bare name again when it has no such file.
    library = _output([str(gcc), "-mcpu=cortex-m55", "-mfloat-abi=hard", "-print-file-name=libc.a"]).strip()
    if not os.path.isabs(library):
        raise ToolchainError("the Arm compiler has no C library for Cortex-M55")
    return os.path.normpath(library)


def _qemu() -> str:
    qemu = str(find_qemu())
    machines = {line.split(" ", 1)[0] for line in _output([qemu, "-machine", "help"]).splitlines()}
    absent = [name for name in EMULATED_MACHINES if name not in machines]
    if absent:
        raise ToolchainError(f"QEMU {qemu_version()} lacks the machines {', '.join(absent)}")
    if "-plugin" not in _output([qemu, "-help"]):
        raise ToolchainError(f"QEMU {qemu_version()} was built without plugins")
    return qemu_version()


def _prompts() -> str:
    from tinydsn.audio.prompts import find_prompts

    prompts = find_prompts()
    if prompts is None:
        raise ToolchainError("none installed or cached (the demo fetches them when apt-get is there)")
    return str(prompts)


def _renode() -> str:
    name = os.environ.get("RENODE") or "renode"
    path = shutil.which(name)
    if path is None:
        raise ToolchainError(f"{name} is not on the PATH")
    return path


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError as error:
        raise ToolchainError(f"{command[0]} cannot be run ({error.strerror})") from error
