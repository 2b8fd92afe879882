"""The firmware gives the approved bits at the approved cost (`pytest --update-golden` approves)."""

from pathlib import Path

HERE = Path(__file__).parent


def test_prompt(tinydsn_firmware):
    tinydsn_firmware(str(HERE / "model.tdsn")).assert_golden(HERE / "audio" / "noisy.wav")
