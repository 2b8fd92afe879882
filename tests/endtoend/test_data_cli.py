"""`tinydsn data`: what it tells, the manifest that it writes, and bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from refusals import Refused

from tinydsn.audio.corpus import decode, load_bank, read_manifest, select
from tinydsn.audio.files import write_wav
from tinydsn.cli import invoke

SPLITS = ("train", "valid", "test")
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"


def sound(path: Path, seed: int, rate: int = 16000, samples: int = 8000) -> np.ndarray:
    """Writes noise, and returns it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(seed).integers(-3000, 3000, samples).astype(np.int16)
    write_wav(path, wave, rate)
    return wave


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for seed, split in enumerate(SPLITS):
        sound(tmp_path / f"mine/speech/{split}/{split}-anna/1.wav", seed)
        sound(tmp_path / f"mine/noise/{split}/tram/{split}.wav", seed)
    return tmp_path / "mine"


@pytest.fixture
def voicebank(tmp_path: Path) -> Path:
    """Pairs at 48 kHz."""
    folder = tmp_path / "VoiceBank"
    for seed, (split, name) in enumerate((("train", "p226"), ("train", "p227"), ("test", "p232"))):
        middle = "testset" if split == "test" else "trainset_28spk"
        voice = sound(folder / f"clean_{middle}_wav/{name}_001.wav", seed, 48000, 24000)
        noise = np.random.default_rng(100 + seed).integers(-3000, 3000, 24000).astype(np.int16)
        (folder / f"noisy_{middle}_wav").mkdir(exist_ok=True)
        write_wav(folder / f"noisy_{middle}_wav/{name}_001.wav", voice + noise, 48000)
    return folder


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `tinydsn data` and returns what it tells."""

    def run(*arguments: object) -> dict[str, Any]:
        assert invoke(["data", *map(str, arguments), "--json"]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return json.loads(captured.out)

    return run


def test_data_tells_what_a_folder_holds(corpus: Path, told: Any) -> None:
    result = told(corpus, "--check")
    assert result["layouts"] == [{"folder": str(corpus), "layout": "folders", "files": 6}]
    assert [(row["type"], row["split"], row["files"], row["speakers"]) for row in result["parts"]] == [
        *(("speech", split, 1, 1) for split in SPLITS),
        *(("noise", split, 1, None) for split in SPLITS),
    ]
    assert result["noises"] == [{"noise": "tram", "minutes": 0.0}]
    assert result["remarks"] == [
        {"remark": "no rir in the split train, valid, test: rooms are simulated when a manifest is written"}
    ]
    assert (result["files"], result["skipped"], result["problems"]) == (6, 0, [])
    assert "manifest" not in result and not list(corpus.glob("*.csv"))


def test_the_table_has_all_of_it(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(40):
        sound(corpus / f"noise/train/kind{index:02}/a.wav", index)
    assert invoke(["data", str(corpus)]) == 0
    printed = capsys.readouterr().out
    for words in ("folders", "speech", "speakers", "kind00", "... and 16 more (--json lists all)", "no rir"):
        assert words in printed
    assert "kind39" not in printed


def test_the_manifest_is_one_that_training_reads(corpus: Path, told: Any) -> None:
    result = told(corpus, "-o", corpus)
    assert result["manifest"] == str(corpus / "manifest.csv") and result["remarks"] == []
    clips = read_manifest(corpus)
    assert select(clips, "speech", "train")[0].speaker == "train-anna"
    for kind in ("speech", "noise", "rir"):
        for split in SPLITS:
            assert len(load_bank(select(clips, kind, split))) > 0
    with (corpus / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == "file,type,split,source,licence,speaker,lang,seconds,note"
    assert rows[0]["file"] == "speech/test/test-anna/1.wav" and rows[0]["seconds"] == "0.50"
    assert {row["file"] for row in rows if row["type"] == "rir" and row["split"] == "valid"} == {
        f"derived/rir/valid/room-{index:02}.flac" for index in range(8)
    }
    assert not list(corpus.glob(".*"))


def test_a_corpus_with_a_manifest_is_taken_by_it(corpus: Path, told: Any) -> None:
    told(corpus, "-o", corpus / "manifest.csv")
    before = (corpus / "manifest.csv").read_bytes()
    result = told(corpus, "-o", corpus / "manifest.csv")
    assert result["layouts"][0]["layout"] == "manifest" and result["remarks"] == []
    assert (corpus / "manifest.csv").read_bytes() == before
    sound(corpus / "noise" / "train" / "new.wav", 1)
    assert told(corpus)["remarks"] == [
        {
            "remark": f"1 audio files in {corpus} are not in its manifest.csv, such as new.wav; move the "
            "manifest away to have them found"
        }
    ]


def test_voicebank_gives_its_noise_by_subtraction(voicebank: Path, tmp_path: Path, told: Any) -> None:
    result = told(voicebank, "-o", tmp_path / "corpus" / "manifest.csv")
    assert [(row["type"], row["split"], row["files"]) for row in result["parts"]] == [
        *(("speech", split, 1) for split in SPLITS),
        *(("noise", split, 1) for split in SPLITS),
        *(("rir", "train", 44), ("rir", "valid", 8), ("rir", "test", 8)),
    ]
    clips = read_manifest(tmp_path / "corpus")
    (speech,) = select(clips, "speech", "test")
    (noise,) = select(clips, "noise", "test")
    assert speech.path == voicebank / "clean_testset_wav/p232_001.wav"
    assert noise.path.parent == tmp_path / "corpus/derived/noise/test" and noise.seconds == 0.5
    noisy = decode(voicebank / "noisy_testset_wav/p232_001.wav").astype(int)
    assert soundfile.info(noise.path).samplerate == 16000
    assert np.array_equal(decode(noise.path), noisy - decode(speech.path))


def test_other_noise_comes_before_subtraction(voicebank: Path, tmp_path: Path, told: Any) -> None:
    for seed, place in enumerate(("DKITCHEN", "NPARK", "TBUS")):
        sound(tmp_path / "DEMAND" / place / "ch01.wav", seed)
    result = told(voicebank, tmp_path / "DEMAND", "-o", tmp_path / "all.csv")
    assert [row["layout"] for row in result["layouts"]] == ["VoiceBank+DEMAND", "DEMAND"]
    assert {row["noise"] for row in result["noises"]} == {"dkitchen", "npark", "tbus"}
    assert [row["remark"] for row in result["remarks"]] == [
        "the difference of noisy and clean files is not used as noise: there is other noise",
        "training takes a folder with manifest.csv; this one is named all.csv",
    ]
    assert not (tmp_path / "derived" / "noise").exists()


def test_hours_bound_what_training_hears(corpus: Path, told: Any) -> None:
    for index in range(20):
        sound(corpus / f"noise/train/tram/{index}.wav", index, samples=16000)
    hours = {(row["type"], row["split"]): row["files"] for row in told(corpus, "--hours", "0.00167")["parts"]}
    assert 5 <= hours["noise", "train"] <= 7 and hours["speech", "train"] == 1
    assert hours["noise", "test"] == 1


def test_bad_files_are_listed_or_too_many(corpus: Path, tmp_path: Path, refused: Refused, told: Any) -> None:
    broken = corpus / "noise" / "train" / "tram" / "broken.wav"
    broken.write_bytes(b"rubbish, and no audio")
    place = tmp_path / "new" / "m.csv"
    assert refused("data", corpus, "-o", place) == (
        "error: 1 of 7 files are of no use (more than --max-bad 2 %; --max-bad 100 lists them); the first: "
        f"{broken}: cannot be read (Format not recognised)"
    )
    assert not place.parent.exists()
    result = told(corpus, "--max-bad", "20", "-o", place)
    assert result["skipped"] == 1
    assert result["problems"] == [{"file": str(broken), "problem": "cannot be read (Format not recognised)"}]
    assert "broken" not in place.read_text()


def test_pairs_that_give_no_noise_leave_nothing_behind(
    voicebank: Path, tmp_path: Path, refused: Refused
) -> None:
    clean = voicebank / "clean_testset_wav/p232_001.wav"
    noisy = voicebank / "noisy_testset_wav/p232_001.wav"
    noisy.write_bytes(clean.read_bytes())
    place = tmp_path / "corpus" / "manifest.csv"
    line = refused("data", voicebank, "-o", place)
    assert line.endswith(f"the first: {noisy}: equals its clean version")
    assert not place.parent.exists()


def test_speakers_in_two_splits_are_told(corpus: Path, told: Any) -> None:
    (corpus / "speech" / "test" / "test-anna").rename(corpus / "speech" / "test" / "train-anna")
    assert told(corpus)["remarks"][-1] == {
        "remark": "1 speakers are in train and in another split, such as train-anna"
    }


def test_folders_without_a_layout(corpus: Path, tmp_path: Path, refused: Refused) -> None:
    assert refused("data", tmp_path / "none") == f"error: {tmp_path / 'none'}: no such folder"
    assert refused("data", tmp_path) == (
        f"error: {tmp_path}: no known layout, but {corpus} has one (folders); name that"
    )
    empty = tmp_path / "other" / "empty"
    empty.mkdir(parents=True)
    assert refused("data", empty).startswith(f"error: {empty}: holds no audio (.wav, .flac, .ogg, .opus); ")
    (empty / "a.wav").write_bytes(b"x")
    assert refused("data", empty).endswith("; sort the files into speech/ and noise/")
    assert refused("data", empty / "a.wav") == (
        f"error: {empty / 'a.wav'}: is a file (must be a folder; of a manifest the one that holds it)"
    )


def test_manifests_that_are_no_good(corpus: Path, refused: Refused) -> None:
    path = corpus / "manifest.csv"
    header = "file,type,split,source,licence,speaker,lang,seconds,note\n"
    path.write_text(header + "gone.wav,speech,train,own,,anna,,1.0,\n")
    assert refused("data", corpus) == (
        f"error: 1 of 1 files are of no use (all); the first: {corpus / 'gone.wav'}: no such file"
    )
    path.write_text(header)
    assert refused("data", corpus).startswith(
        f"error: {corpus}: looks like manifest (manifest.csv), but lists"
    )
    path.write_text(header + "gone.wav,speech\n")
    assert refused("data", corpus) == (
        f"error: {path}, line 2: split is '' (must be one of train, valid, test)"
    )


def test_the_shared_corpus(told: Any) -> None:
    if not (CORPUS / "manifest.csv").is_file():
        pytest.skip("the corpus is not there")
    result = told(CORPUS)
    assert [row["layout"] for row in result["layouts"]] == ["manifest"]
    assert result["skipped"] == 0 and result["remarks"] == []
    assert {(row["type"], row["split"]) for row in result["parts"]} == {
        (kind, split) for kind in ("speech", "noise", "rir") for split in SPLITS
    }
