"""The errors that tinydsn raises on purpose.

Every message says what was wrong, where, which values are legal, and how to mend it, in one line:
the command line prints it as it is and ends with exit code 2.
"""

from __future__ import annotations


class TinydsnError(Exception):
    """Root of all errors a user can cause and mend; ``str(error)`` is the whole line to show."""


class GraphError(TinydsnError):
    """A graph breaks one of its own rules (unknown tensor, two writers, wrong shape)."""


class UnsupportedOperator(TinydsnError):
    """A model uses something that the operator table does not hold."""


class QuantizationError(TinydsnError):
    """A float graph cannot be made integer (no calibration data, an accumulator that could overflow)."""


class ModelFileError(TinydsnError):
    """A checkpoint or integer graph on disk is missing, damaged, or from another format version."""


class AudioError(TinydsnError):
    """An audio file that cannot be used (rate, channels, length, damage)."""


class BoardError(TinydsnError):
    """An unknown board, a wrong board file, or a model that does not fit a board."""


class ToolchainError(TinydsnError):
    """A compiler, emulator or source package that is missing or failed."""


class MissingTool(ToolchainError):
    """A compiler, emulator or source package that is not installed (a reason to skip, not a failure)."""


class ConfigError(TinydsnError):
    """A wrong option, configuration file or user function."""
