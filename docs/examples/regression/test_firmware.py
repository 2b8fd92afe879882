"""The firmware still gives the approved bits, at the approved cost."""

from pathlib import Path

AUDIO = Path(__file__).parent / "audio"


def test_prompt(tinydsn_firmware):
    tinydsn_firmware("dsn-s").assert_golden(AUDIO / "chirp.wav")


def test_a_quiet_room_costs_less_than_all_gates_on(tinydsn_firmware):
    firmware = tinydsn_firmware("dsn-s")
    learned = firmware.run(AUDIO / "chirp.wav")
    everything = firmware.run(AUDIO / "chirp.wav", gates="max")
    if learned.instructions is not None:  # the host is not counted
        assert learned.instructions.sum() <= everything.instructions.sum()
