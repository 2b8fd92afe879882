"""A fixed pool of mixtures whose DNSMOS ratings are known: what metric guidance trains on.

A mixture is its recipe: the pool's seed and the mixture's index (PAPERS.md, section 1, "MGT loss"). The
ratings of the noisy mixtures are computed once and kept in one small file; training segments are cut
from the pool and inherit the rating of their mixture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from quant.errors import ConfigError, ModelFileError
from tinydsn.audio.corpus import Bank, load_bank, read_manifest, select
from tinydsn.audio.files import replace_file
from tinydsn.audio.metrics import SEGMENT, dnsmos
from tinydsn.audio.mixing import MixOptions, draw

RATINGS = Path(__file__).parent / "ratings"
SHORTEST_PAUSE, LONGEST_LEAD = 1600, 8000
"""Samples of silence that are a pause, and of a pause before a segment's speech at most."""
Progress = Callable[[int, int], None]
"""Called with the number done and the number in all."""


@dataclass(frozen=True)
class PoolOptions:
    """What decides a pool besides the corpus.

    size   number of mixtures, each of 9.01 s (what one DNSMOS rating looks at)
    seed   of the recipes
    mix    how a mixture is drawn; ``samples`` is 144,160
    """

    size: int = 6000
    seed: int = 9
    mix: MixOptions = MixOptions(samples=SEGMENT)

    def __post_init__(self) -> None:
        if self.size < 1 or self.mix.samples != SEGMENT:
            raise ConfigError(
                f"a pool of {self.size} mixtures of {self.mix.samples} samples "
                f"(must be at least one, of {SEGMENT} samples)"
            )


@dataclass(frozen=True)
class Banks:
    """A split's speech, noise and room responses."""

    speech: Bank
    noise: Bank
    rooms: Bank


def load_banks(corpus: Path, split: str, say: Callable[[str], None] | None = None) -> Banks:
    """A split of a corpus, decoded; ``say`` is told of skipped files and of what was found."""
    clips, loaded = read_manifest(corpus), []
    for kind in ("speech", "noise", "rir"):
        loaded.append(bank := load_bank(select(clips, kind, split), skipped=say))
        if say:
            say(f"{split} {kind}: {len(bank)} clips, {bank.seconds / 3600:.2f} h")
    return Banks(*loaded)


def recipe_hash(banks: Banks, options: PoolOptions) -> str:
    """16 hexadecimal digits that change with the options, the sources or a mixture's meaning.

    The meaning of a recipe is pinned by two rendered mixtures, so that a change of the mixing code or of a
    decoder shows; the sources by their lengths.
    """
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode())
    for bank in (banks.speech, banks.noise, banks.rooms):
        digest.update(bank.offsets.astype("<i8").tobytes())
    for index in (0, options.size - 1):
        digest.update(render(banks, options, index).astype("<i2").tobytes())
    return digest.hexdigest()[:16]


def render(banks: Banks, options: PoolOptions, index: int) -> np.ndarray:
    """Noisy and target wave of one mixture, int16 ``[2, samples]``."""
    rng = np.random.default_rng([options.seed, index])
    mixture = draw(banks.speech, banks.noise, banks.rooms, options.mix, rng)
    waves = np.stack([mixture.noisy, mixture.target])
    return np.clip(np.rint(waves * 32768), -32768, 32767).astype(np.int16)


def pool_file(folder: Path, key: str) -> Path:
    """Where `rendered_pool` keeps the waves of the pool ``key``."""
    return folder / f"pool-{key}.i16"


def rendered_pool(
    banks: Banks, options: PoolOptions, folder: Path, say: Progress | None = None
) -> np.ndarray:
    """All mixtures, int16 ``[size, 2, samples]``, on disk in ``folder`` (3.5 GB for 6,000); made if missing.

    Several runs share the file: it is written under another name first.
    """
    path = pool_file(folder, recipe_hash(banks, options))
    shape = (options.size, 2, options.mix.samples)
    if not path.is_file() or path.stat().st_size != 2 * int(np.prod(shape)):
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            for index in range(options.size):
                file.write(render(banks, options, index).tobytes())
                if say:
                    say(index + 1, options.size)
        part.replace(path)
    return np.memmap(path, np.int16, "r", shape=shape)


def shipped_path(key: str) -> Path:
    """Where the package keeps the ratings of the pool ``key``, if it has them."""
    return RATINGS / f"{key}.safetensors"


def shipped_table(key: str) -> Path:
    """The table of ratings that comes with the package for the pool ``key``. Raises ConfigError for a pool
    that it does not know: one of another corpus."""
    path = shipped_path(key)
    if not path.is_file():
        raise ConfigError(
            f"no ratings come with tinydsn for the pool {key} of this corpus (make them: `tinydsn rate`, and "
            "give --ratings)"
        )
    return path


def read_table(path: Path) -> tuple[str | None, np.ndarray]:
    """The pool's hash and its ratings float32 ``[size, 3]``, NaN where one is missing.

    Raises ModelFileError when the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "numpy") as file:
            return (file.metadata() or {}).get("pool"), file.get_tensor("scores")
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: no ratings of a pool ({error}); make them: `tinydsn rate`") from None


def read_scores(path: Path, key: str) -> np.ndarray:
    """DNSMOS ratings (SIG, BAK, OVRL) float32 ``[size, 3]`` of the pool ``key``.

    Raises ModelFileError when the file is missing, damaged, of another pool, or not complete.
    """
    found, scores = read_table(path)
    if found != key:
        raise ModelFileError(f"{path}: ratings of the pool {found}, not of {key}; make them: `tinydsn rate`")
    if np.isnan(scores).any():
        missing = int(np.isnan(scores[:, 2]).sum())
        raise ModelFileError(f"{path}: {missing} ratings are missing; go on: `tinydsn rate`")
    return scores


def score_pool(waves: np.ndarray, key: str, path: Path, say: Progress | None = None, every: int = 50) -> None:
    """Rates every mixture's noisy wave and keeps the table in ``path``; goes on where it was stopped.

    Raises ModelFileError when ``path`` is something else, or ratings of another pool.
    """
    scores = np.full((len(waves), 3), np.nan, np.float32)
    if path.is_file():
        found, scores = read_table(path)
        if found != key:
            raise ModelFileError(
                f"{path}: ratings of the pool {found}, not of {key}; choose another --ratings or delete it"
            )
    for index in np.flatnonzero(np.isnan(scores[:, 2])):
        scores[index] = dnsmos(waves[index, 0])
        if (index + 1) % every == 0 or index + 1 == len(waves):
            _write(scores, key, path)
            if say:
                say(int(index) + 1, len(waves))


def _write(scores: np.ndarray, key: str, path: Path) -> None:
    from safetensors.numpy import save

    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, save({"scores": scores}, {"pool": key}))


def start_in_pause(target: np.ndarray, samples: int, which: float, where: float) -> int:
    """Where a segment of ``samples`` begins in a mixture whose speech is ``target`` int16 ``[n]``.

    In one of the pauses (silence of at least 0.1 s), at most 0.5 s before its end; ``which`` and ``where`` in
    [0, 1) choose pause and place. A network that is on has long heard the noise, but a segment's states begin
    at zero: networks whose segments begin amid speech do not learn to use a pause, and lose 0.8 dB SI-SDR in
    the first 3 s of a recording. Anywhere, where no pause leaves room.
    """
    last = len(target) - samples
    heard = np.flatnonzero(target)
    before = np.concatenate([[-1], heard[:-1]]) + 1
    pauses = (heard - before >= SHORTEST_PAUSE) & (before <= last)
    if not pauses.any():
        return int(where * (last + 1))
    chosen = np.flatnonzero(pauses)[int(which * np.count_nonzero(pauses))]
    end = min(int(heard[chosen]), last)
    begin = max(int(before[chosen]), end - LONGEST_LEAD)
    return begin + int(where * (end - begin + 1))


@dataclass(frozen=True)
class Segments:
    """Training segments out of a scored pool.

    waves    int16 ``[size, 2, samples]``
    scores   float32 ``[size, 3]``: SIG, BAK, OVRL of the noisy wave
    """

    waves: np.ndarray
    scores: np.ndarray

    def batch(
        self, samples: int, seed: int, step: int, size: int, gain_db: float = 6.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Noisy and target ``[size, samples]`` in [-1, 1], and the OVRL ``[size]`` of their mixtures.

        Depends on seed and step only. A segment begins in a pause (`start_in_pause`). Only the gain is drawn
        anew (uniform within ``gain_db``, and never into clipping): everything else belongs to the recipe that
        was rated.
        """
        rng = np.random.default_rng([seed, step])
        chosen = rng.integers(len(self.waves), size=size)
        places = rng.uniform(size=(size, 2))
        gains = 10 ** (rng.uniform(-gain_db, gain_db, size) / 20)
        noisy = np.empty((size, samples), np.float32)
        target = np.empty((size, samples), np.float32)
        for row, (index, place, gain) in enumerate(zip(chosen, places, gains, strict=True)):
            start = start_in_pause(self.waves[index, 1], samples, *place)
            cut = self.waves[index, :, start : start + samples].astype(np.float32) / 32768
            peak = float(np.abs(cut[0]).max())
            noisy[row], target[row] = cut * np.float32(min(gain, 0.99 / peak) if peak > 0 else 1.0)
        return noisy, target, self.scores[chosen, 2].astype(np.float32)
