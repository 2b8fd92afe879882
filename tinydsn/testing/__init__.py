"""Regression tests of a model's firmware in the user's own CI.

The plugin is found by pytest where tinydsn is installed. ::

    def test_prompt(tinydsn_firmware):
        firmware = tinydsn_firmware("models/denoiser.tdsn")
        firmware.assert_golden("audio/prompt.wav")

The firmware is built once a board (``--tinydsn-board``, default mps2-an386), the recording goes through it
in the emulator, and hashes and instruction counts are compared with ``audio/prompt.wav.<board>.golden``,
which ``pytest --update-golden`` writes.
"""

from __future__ import annotations

from tinydsn.testing.firmware import BoardFirmware
from tinydsn.testing.golden import Fingerprint, Golden

__all__ = ["BoardFirmware", "Fingerprint", "Golden"]
