"""Runs generated firmware: natively, in QEMU with instruction counts, or in Renode."""

from tinydsn.emulation.host import run_host
from tinydsn.emulation.qemu import run_qemu
from tinydsn.emulation.renode import find_renode, run_renode
from tinydsn.emulation.result import RunResult

__all__ = ["RunResult", "find_renode", "run_host", "run_qemu", "run_renode"]
