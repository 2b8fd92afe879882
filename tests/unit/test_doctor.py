"""``tinydsn doctor``: what it reports for machines that lack things."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant.errors import ToolchainError
from tinydsn import doctor
from tinydsn.cli import invoke
from tinydsn.cli.doctor import as_record
from tinydsn.doctor import Check, Requirement, examine, fit, requirements


def absent() -> str:
    raise ToolchainError("it is not on the PATH")


def check(required: bool = True, found: str | None = None, packages: tuple[str, ...] = ()) -> Check:
    requirement = Requirement("thing", "work", absent, required, packages, "get thing", "build it")
    return Check(requirement, found, "" if found else "it is not on the PATH")


def only(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: checks)


def test_an_empty_machine_lacks_each_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path))
    for name in ("QEMU", "RENODE", "TINYDSN_ARM_GCC", "CMSIS_NN_ROOT"):
        monkeypatch.delenv(name, raising=False)
    checks = {check.requirement.name: check for check in examine()}
    assert len(checks) == len(requirements())
    assert not fit(tuple(checks.values()))
    tools = ("host C compiler", "Arm C compiler", "newlib", "cmake", "QEMU", "CMSIS-NN")
    for name in tools:
        assert checks[name].found is None, name
        assert checks[name].problem and checks[name].install, name
    assert checks["Python"].found


def test_every_requirement_has_a_remedy() -> None:
    for requirement in requirements():
        assert requirement.packages or requirement.command, requirement.name
        assert requirement.purpose, requirement.name


def test_fit_asks_only_for_what_is_required() -> None:
    assert fit((check(found="1.2"), check(required=False)))
    assert not fit((check(found="1.2"), check(required=True)))


def test_install_command_needs_sudo_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert check(packages=("a", "b")).install == "apt-get install a b"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert check(packages=("a", "b")).install == "sudo apt-get install a b"
    assert check().install == "get thing"


def test_exit_code_and_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    only(monkeypatch, check(found="1.2"), check(required=False))
    assert invoke(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == 1 and report["fit"] is True
    assert report["checks"][1] == {
        "name": "thing",
        "purpose": "work",
        "required": False,
        "found": None,
        "problem": "it is not on the PATH",
        "install": "get thing",
        "elsewhere": "build it",
    }
    only(monkeypatch, check())
    assert invoke(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["fit"] is False


def test_found_things_have_no_remedy() -> None:
    record = as_record(check(found="1.2", packages=("a",)))
    assert (record["found"], record["install"], record["elsewhere"]) == ("1.2", None, None)


def test_table_names_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/apt-get")
    only(monkeypatch, check(packages=("thing-dev",)))
    assert invoke(["doctor"]) == 1
    printed = capsys.readouterr().out
    missing = "missing: thing (it is not on the PATH)\n"
    assert f"{missing}    apt-get install thing-dev\n    or: build it\n" in printed
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert invoke(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert f"{missing}    build it\n" in printed
    assert "apt-get" not in printed


def test_all_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    only(monkeypatch, check(found="1.2"), check(required=False))
    assert invoke(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "Everything required is here." in printed and "optional: thing" in printed


def test_fix_fetches_the_sources(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tinydsn.codegen.cmsis.fetch_cmsis", lambda: Path("/cache/nn"))
    only(monkeypatch, check(found="1.2"))
    assert invoke(["doctor", "--fix", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "sources in /cache/nn\n"
    assert json.loads(captured.out)["fit"] is True


def test_old_emulator_is_not_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A QEMU without plugins, or without a machine that a board needs, counts as missing."""
    script = tmp_path / "qemu-system-arm"
    machines = "\n".join(f"{name} a machine" for name in doctor.EMULATED_MACHINES)

    def pretend(machine_list: str, options: str) -> str:
        script.write_text(
            "#!/bin/sh\ncase $1 in\n--version) echo 'QEMU emulator version 6.0.1' ;;\n"
            f"-machine) echo '{machine_list}' ;;\n*) echo '{options}' ;;\nesac\n"
        )
        script.chmod(0o755)
        found = [check for check in examine() if check.requirement.name == "QEMU"]
        return found[0].found or found[0].problem

    monkeypatch.setenv("QEMU", str(script))
    assert pretend(machines, "-plugin file") == "6.0.1"
    assert pretend(machines, "-other") == "QEMU 6.0.1 was built without plugins"
    assert pretend("none", "-plugin").startswith("QEMU 6.0.1 lacks the machines mps2-an386, mps2-an500")
