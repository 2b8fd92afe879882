"""Makes the list of test mixtures from a corpus, the same each time.

``python -m tinydsn.evaluation.build_list --corpus DIR --output FILE.json``

Mixture i has speaker ``i % 9`` and SNR bin ``i % 5``: each speaker has each bin equally often, and every
beginning of the list is balanced too. Noise kinds are dealt to each speaker from a shuffled deck.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.errors import AudioError, TinydsnError
from tinydsn.audio.corpus import RATE, decode
from tinydsn.evaluation.recipes import Piece, Recipe, write_list

SAMPLES = int(9.01 * RATE)
COUNT = 180
SPEAKERS = 9
SNR_EDGES = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
ROOM_SHARE = 0.3
LEVELS = (-36.0, -20.0)
FIRST_PAUSE = (0, RATE // 2)
PAUSES = (RATE // 5, RATE * 6 // 5)
SHORTEST_PIECE = RATE // 2
"""A rest shorter than this stays silent (speech): a syllable alone is no test."""
SEED = 180


@dataclass(frozen=True)
class Source:
    """A corpus file and its length in samples."""

    file: str
    length: int


Groups = Mapping[str, Sequence[Source]]


def read_sources(corpus: Path, kind: str, split: str = "test") -> Groups:
    """Files of one type by speaker (speech), by kind of noise, or all under "" (room responses)."""
    path = corpus / "manifest.csv"
    if not path.is_file():
        raise AudioError(f"{path}: no such file (a corpus is a folder with manifest.csv)")
    groups: dict[str, list[Source]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["type"] == kind and row["split"] == split:
                noise = row["note"].split("[")[0].strip().lower().replace(" ", "-")
                name = {"speech": row["speaker"], "noise": noise, "rir": ""}[kind]
                source = Source(row["file"], len(decode(corpus / row["file"])))
                groups.setdefault(name, []).append(source)
    if not groups:
        raise AudioError(f"{path}: no {kind} in the split {split!r}")
    return dict(sorted(groups.items()))


def build_list(
    speech: Groups, noise: Groups, rooms: Sequence[Source], seed: int = SEED
) -> tuple[Recipe, ...]:
    """180 recipes, 20 for each of the 9 speakers. Raises AudioError for another number of speakers."""
    if len(speech) != SPEAKERS:
        raise AudioError(f"the test split has {len(speech)} speakers (must be {SPEAKERS})")
    bins, speakers = len(SNR_EDGES) - 1, list(speech)
    shares = COUNT // SPEAKERS
    rng = np.random.default_rng(seed)
    decks = {name: _deck(list(noise), shares, rng) for name in speakers}
    in_room = {name: rng.permutation(shares) < round(ROOM_SHARE * shares) for name in speakers}
    recipes = []
    for index in range(COUNT):
        speaker, turn, place = speakers[index % SPEAKERS], index // SPEAKERS, index % bins
        kind = decks[speaker][turn]
        room = rooms[int(rng.integers(len(rooms)))].file if in_room[speaker][turn] else ""
        recipes.append(
            Recipe(
                name=f"{index:03d}-{speaker}-{kind}",
                speaker=speaker,
                kind=kind,
                snr=math.floor(100 * rng.uniform(SNR_EDGES[place], SNR_EDGES[place + 1])) / 100,
                level=round(float(rng.uniform(*LEVELS)), 1),
                room=room,
                speech=_talk(speech[speaker], rng),
                noise=_fill(noise[kind], rng),
                samples=SAMPLES,
            )
        )
    return tuple(recipes)


def _deck(kinds: list[str], count: int, rng: np.random.Generator) -> list[str]:
    """``count`` kinds: shuffled, and shuffled again when all have been dealt."""
    deck: list[str] = []
    while len(deck) < count:
        deck += [kinds[int(index)] for index in rng.permutation(len(kinds))]
    return deck[:count]


def _talk(sources: Sequence[Source], rng: np.random.Generator) -> tuple[Piece, ...]:
    """Different utterances with pauses between; the last is cut at the end of the mixture."""
    pieces: list[Piece] = []
    at = int(rng.integers(*FIRST_PAUSE))
    order = [sources[int(index)] for index in rng.permutation(len(sources))]
    while SAMPLES - at >= SHORTEST_PIECE:
        source = order[len(pieces) % len(order)]
        length = min(source.length, SAMPLES - at)
        pieces.append(Piece(source.file, 0, length, at))
        at += length + int(rng.integers(*PAUSES))
    return tuple(pieces)


def _fill(sources: Sequence[Source], rng: np.random.Generator) -> tuple[Piece, ...]:
    """Recordings of one kind end to end; a long one from a random place."""
    pieces: list[Piece] = []
    at = 0
    while at < SAMPLES:
        source = sources[int(rng.integers(len(sources)))]
        length = min(source.length, SAMPLES - at)
        start = int(rng.integers(source.length - length + 1))
        pieces.append(Piece(source.file, start, length, at))
        at += length
    return tuple(pieces)


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 2 after one line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tinydsn.evaluation.build_list")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--output", type=Path, required=True, help="the list to write, *.json")
    options = parser.parse_args(arguments)
    try:
        speech, noise, rooms = (read_sources(options.corpus, kind) for kind in ("speech", "noise", "rir"))
        recipes = build_list(speech, noise, rooms[""])
        write_list(recipes, options.output)
    except TinydsnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(recipes)} mixtures: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
