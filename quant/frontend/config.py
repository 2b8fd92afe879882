"""The settings of the fixed-point audio front end."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from quant.errors import ConfigError
from quant.nearest import unknown

MASK, FEATURES = KINDS = ("stft-mask", "stft-features")
WINDOWS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
OVERLAPS = (2, 4, 8)
CHANNELS = (1, 2)
SAMPLE_RATES = (8000, 192000)

ARITHMETIC = 2
"""Version of the integers that the settings stand for; files without one are of version 1."""


@dataclass(frozen=True)
class FrontEnd:
    """A short-time Fourier transform in front of a network that computes a mask, or other numbers.

    The real meaning, with x in [-1, 1) and a periodic square-root Hann window w on both sides:
    ``X = rfft(w * x)``, the network sees ``|X[k]| ** compression`` and answers ``mask[k]`` in [0, 1];
    the output is the overlap-add of ``w * irfft(mask * X)`` (scaled by ``2 * hop / window``). On the
    device features are int16 with scale ``2 ** -feature_fraction_bits`` and masks are int16 Q15.
    That is the kind ``stft-mask``. With ``stft-features`` there is no way back to PCM: the network answers up
    to ``hop`` numbers in [-1, 1), and these, in Q15 and followed by zeros, are the hop of output.

    sample_rate: samples a second. window, hop: samples. bins: leading spectrum lines given to the
    network, window / 2 or window / 2 + 1; the lines from ``bins`` on are zero in the output.
    channels: waves that come out, each by a mask of its own (masks ``[channels, bins]``); more than one only
    with ``stft-mask``.
    Raises ConfigError for values outside the legal sets.
    """

    sample_rate: int = 16000
    window: int = 512
    hop: int = 256
    bins: int = 256
    compression: float = 0.3
    feature_fraction_bits: int = 12
    kind: str = "stft-mask"
    channels: int = 1

    def __post_init__(self) -> None:
        _check("kind", self.kind, self.kind in KINDS, f"one of {', '.join(KINDS)}")
        for name in ("sample_rate", "window", "hop", "bins", "feature_fraction_bits", "channels"):
            value = getattr(self, name)
            _check(name, value, isinstance(value, int) and not isinstance(value, bool), "a whole number")
        low, high = SAMPLE_RATES
        _check("sample_rate", self.sample_rate, low <= self.sample_rate <= high, f"in {low}..{high} Hz")
        _check("window", self.window, self.window in WINDOWS, f"one of {', '.join(map(str, WINDOWS))}")
        hops = [self.window // overlap for overlap in OVERLAPS]
        _check(
            "hop",
            self.hop,
            self.hop in hops,
            f"window / 2, / 4 or / 8: one of {hops} for window {self.window}",
        )
        half = self.window // 2
        _check(
            "bins", self.bins, self.bins in (half, half + 1), f"{half} or {half + 1} for window {self.window}"
        )
        is_number = isinstance(self.compression, (int, float)) and not isinstance(self.compression, bool)
        _check("compression", self.compression, is_number and 0.05 <= self.compression <= 1, "in 0.05..1")
        _check(
            "feature_fraction_bits",
            self.feature_fraction_bits,
            0 <= self.feature_fraction_bits <= 15,
            "in 0..15",
        )
        legal = CHANNELS if self.masks else (1,)
        _check("channels", self.channels, self.channels in legal, f"one of {', '.join(map(str, legal))}")

    @property
    def overlap(self) -> int:
        """Windows that cover one sample: window / hop."""
        return self.window // self.hop

    @property
    def past(self) -> int:
        """Samples before the new ones that the window holds: window - hop."""
        return self.window - self.hop

    @property
    def latency(self) -> int:
        """Samples by which output PCM lags the input of the same call; 0 where the output is no PCM."""
        return self.past if self.masks else 0

    @property
    def masks(self) -> bool:
        """Whether the network's output is a mask, and PCM comes out."""
        return self.kind == MASK

    def to_json(self) -> dict[str, Any]:
        """The settings and the version of their arithmetic as plain values, for ``from_json``; one channel
        is not told, as it was not when there were no more."""
        values = asdict(self)
        if self.channels == 1:
            del values["channels"]
        return {**values, "arithmetic": ARITHMETIC}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FrontEnd:
        """The front end that ``to_json`` described; a missing key takes its default.

        Raises ConfigError for an unknown key, an illegal value, or another version of the arithmetic: its
        output would not be the one for which the file was made and checked.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"front end: must be a table of settings, not {type(values).__name__}")
        legal = [*(field.name for field in fields(cls)), "arithmetic"]
        strange = sorted(set(values) - set(legal))
        for name in strange:
            raise ConfigError(f"front end: {unknown('setting', name, legal)}")
        arithmetic = values.get("arithmetic", 1)
        if arithmetic != ARITHMETIC:
            raise ConfigError(
                f"front end: made for arithmetic {arithmetic} (this tinydsn computes {ARITHMETIC}); "
                "quantize the model again"
            )
        return cls(**{name: value for name, value in values.items() if name != "arithmetic"})


def _check(name: str, value: object, legal: bool, rule: str) -> None:
    """Raise ConfigError, naming the setting and its legal values, unless ``legal``."""
    if not legal:
        raise ConfigError(f"front end: {name} is {value!r} (must be {rule})")
