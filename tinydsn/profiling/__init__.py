"""What a frame costs and why: every executed instruction, every byte of flash, RAM and stack, by cause."""

from tinydsn.profiling.collect import profile_firmware, require_counts
from tinydsn.profiling.data import Profile, as_json
from tinydsn.profiling.page import write_page
from tinydsn.profiling.signal import speech_like
from tinydsn.profiling.tables import tables

__all__ = ["Profile", "as_json", "profile_firmware", "require_counts", "speech_like", "tables", "write_page"]
