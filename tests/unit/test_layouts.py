"""Layouts of corpora: each is found by structure, with its speakers, splits and noises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quant.errors import AudioError
from tinydsn.audio.corpus import decode
from tinydsn.audio.layouts import Entry, inspect_entries, read_layout
from tinydsn.audio.layouts.inspect import samples_of
from tinydsn.audio.layouts.rooms import room
from tinydsn.audio.layouts.splits import at_most, fill_splits, split_of


def sound(path: Path, rate: int = 16000, seconds: float = 0.5, channels: int = 1) -> Path:
    """A file of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(path.name)).integers(-3000, 3000, (int(rate * seconds), channels))
    soundfile.write(path, samples.astype(np.int16), rate)
    return path


def found(folder: Path) -> tuple[str, dict[str, Entry]]:
    """The layout's name, and its entries by file."""
    layout, entries = read_layout(folder)
    return layout.name, {str(entry.path.relative_to(folder)): entry for entry in entries}


def speech(*speakers: str, split: str = "") -> list[Entry]:
    return [Entry(Path(f"{name}-{n}.wav"), "speech", split, "own", name) for name in speakers for n in (1, 2)]


def test_voicebank_gives_speech_and_the_noise_between_its_pairs(tmp_path: Path) -> None:
    for speaker in ("p226", "p227"):
        sound(tmp_path / f"clean_trainset_28spk_wav/{speaker}_001.wav")
    sound(tmp_path / "noisy_trainset_28spk_wav/p227_001.wav")
    sound(tmp_path / "clean_testset_wav/p232_001.wav")
    sound(tmp_path / "noisy_testset_wav/p232_001.wav")
    (tmp_path / "log_testset.txt").write_text("p232_001 bus 17.5\n")
    name, entries = found(tmp_path)
    assert name == "VoiceBank+DEMAND"
    assert {key: (e.kind, e.split, e.speaker, e.note) for key, e in entries.items()} == {
        "clean_trainset_28spk_wav/p226_001.wav": ("speech", "valid", "p226", ""),
        "clean_trainset_28spk_wav/p227_001.wav": ("speech", "train", "p227", ""),
        "noisy_trainset_28spk_wav/p227_001.wav": ("noise", "train", "", "noisy - clean"),
        "clean_testset_wav/p232_001.wav": ("speech", "test", "p232", ""),
        "noisy_testset_wav/p232_001.wav": ("noise", "test", "", "bus"),
    }
    pair = entries["noisy_testset_wav/p232_001.wav"]
    assert pair.minus == tmp_path / "clean_testset_wav/p232_001.wav"


def test_voicebank_without_its_usual_speakers_gets_a_valid_split_by_speaker(tmp_path: Path) -> None:
    names = [f"p{number}_{take:03}" for number in range(234, 258) for take in (1, 2)]
    for name in names:
        sound(tmp_path / f"clean_trainset_56spk_wav/{name}.wav", seconds=0.01)
        sound(tmp_path / f"noisy_trainset_56spk_wav/{name}.wav", seconds=0.01)
    sound(tmp_path / "clean_testset_wav/p257_001.wav", seconds=0.01)
    _, entries = found(tmp_path)
    splits = {
        kind: {(e.path.name[:4], e.split) for e in entries.values() if (e.kind, e.split) == (kind, "valid")}
        for kind in ("speech", "noise")
    }
    valid = [f"p{n}" for n in range(234, 258) if split_of(f"p{n}") == "valid"]
    assert valid and splits["speech"] == {(name, "valid") for name in valid}
    assert splits["noise"] >= splits["speech"]


def test_demand_keeps_voicebanks_test_noises_for_testing(tmp_path: Path) -> None:
    for place in ("DKITCHEN", "TBUS", "NPARK"):
        for channel in ("ch01", "ch02"):
            sound(tmp_path / place / f"{channel}.wav")
    name, entries = found(tmp_path)
    assert name == "DEMAND" and set(entries) == {f"{p}/ch01.wav" for p in ("DKITCHEN", "TBUS", "NPARK")}
    assert (entries["TBUS/ch01.wav"].split, entries["TBUS/ch01.wav"].note) == ("test", "tbus")
    assert sorted(entries[f"{p}/ch01.wav"].split for p in ("DKITCHEN", "NPARK")) == ["train", "valid"]


@pytest.mark.parametrize("top", ["", "datasets_fullband/"])
def test_dns_challenge(top: str, tmp_path: Path) -> None:
    names = {
        "clean_fullband/read_speech/book_1_chp_2_reader_00042_3.wav": ("speech", "00042", "read_speech"),
        "clean_fullband/vctk_wav48_silence_trimmed/p225/p225_001_mic1.wav": (
            *("speech", "p225"),
            "vctk_wav48_silence_trimmed/p225",
        ),
        "clean_fullband/german_speech/wiki/x.wav": ("speech", "german_speech/wiki", "german_speech/wiki"),
        "noise_fullband/clothing_rustle_Freesound_validated_11_0.wav": ("noise", "", "clothing rustle"),
        "noise_fullband/1-aXyZ09_k.wav": ("noise", "", "AudioSet"),
        "impulse_responses/SLR26/simulated_rirs_48k/smallroom/Room001/Room001-00001.wav": ("rir", "", ""),
    }
    for name in names:
        sound(tmp_path / top / name)
    sound(tmp_path / top / "impulse_responses/SLR28/real_rirs_isotropic_noises/RWCP_type1_noise_1.wav")
    name, entries = found(tmp_path)
    assert name == "DNS Challenge"
    assert {key: (e.kind, e.speaker, e.note) for key, e in entries.items()} == {
        top + key: value for key, value in names.items()
    }
    assert entries[f"{top}clean_fullband/german_speech/wiki/x.wav"].lang == "de"
    assert {e.split for e in entries.values() if e.kind == "speech"} == {"train", "valid", "test"}


def test_dns_challenge_4_has_the_languages_beside_the_noise(tmp_path: Path) -> None:
    sound(tmp_path / "datasets/french_speech/reader_00007_1.wav")
    sound(tmp_path / "datasets/VocalSet_48kHz_mono/song.wav")
    sound(tmp_path / "datasets/noise/fan_Freesound_validated_5_0.wav")
    name, entries = found(tmp_path)
    assert name == "DNS Challenge"
    assert [(e.kind, e.speaker, e.lang) for e in entries.values()] == [
        ("speech", "00007", "fr"),
        ("noise", "", ""),
    ]


def test_pieces_of_one_recording_stay_together(tmp_path: Path) -> None:
    for recording in range(30):
        for piece in (0, 1, 12):
            sound(tmp_path / f"noise_fullband/door_Freesound_validated_{recording}_{piece}.wav", seconds=0.01)
    sound(tmp_path / "clean_fullband/reader_1_1.wav", seconds=0.01)
    _, entries = found(tmp_path)
    splits: dict[str, set[str]] = {}
    for e in entries.values():
        splits.setdefault(e.path.stem.rsplit("_", 1)[0], set()).add(e.split)
    assert all(len(names) == 1 for names in splits.values())
    assert set.union(*splits.values()) == {"train", "valid", "test"}


@pytest.mark.parametrize("top", ["", "no_reverb", "test_set/synthetic/no_reverb"])
def test_dns_test_sets_pair_by_number(top: str, tmp_path: Path) -> None:
    folder = tmp_path / (top or "no_reverb")
    for number in (1, 12):
        sound(folder / f"clean/clean_fileid_{number}.wav")
        sound(folder / f"noisy/clnsp{number}_train_snr5_tl-20_fileid_{number}.wav")
    name, entries = found(tmp_path if top else folder)
    assert name == "pairs"
    noises = {entry.path.name: entry for entry in entries.values() if entry.kind == "noise"}
    assert set(noises) == {f"clnsp{n}_train_snr5_tl-20_fileid_{n}.wav" for n in (1, 12)}
    pair = noises["clnsp12_train_snr5_tl-20_fileid_12.wav"]
    assert pair.minus == folder / "clean/clean_fileid_12.wav"
    assert {(e.split, e.source) for e in entries.values()} == {("test", "DNS Challenge test set")}


def test_librimix_takes_each_utterance_once(tmp_path: Path) -> None:
    base = "Libri2Mix/wav16k/min"
    for split in ("train-100", "dev"):
        for name in ("103-1240-0003_1235-135887-0017.wav", "1235-135887-0017_40-222-0001.wav"):
            for part in ("s1", "s2", "noise", "mix_both"):
                sound(tmp_path / base / split / part / name)
    sound(tmp_path / "Libri2Mix/wav8k/min/test/s1/1-2-3_4-5-6.wav", 8000)
    name, entries = found(tmp_path)
    assert name == "LibriMix"
    for split, folder in (("train", "train-100"), ("valid", "dev")):
        mine = [e for key, e in entries.items() if f"/{folder}/" in key]
        heard = [(e.speaker, e.split) for e in mine if e.kind == "speech"]
        if split == "valid":
            assert sorted(heard) == [(speaker, "valid") for speaker in ("103", "1235", "40")]
        else:
            # Of three training speakers one is test, which this LibriMix lacks.
            assert sorted(speaker for speaker, _ in heard) == ["103", "1235", "40"]
            assert sorted(split for _, split in heard) == ["test", "train", "train"]
        assert sum(e.kind == "noise" for e in mine) == 2
    assert read_layout(tmp_path / base)[0].name == "LibriMix"


def test_plain_folders(tmp_path: Path) -> None:
    sound(tmp_path / "speech/train/bert/1.wav")
    sound(tmp_path / "speech/val/anna/1.wav")
    sound(tmp_path / "speech/test/2.flac")
    sound(tmp_path / "noise/street/tram.wav")
    name, entries = found(tmp_path)
    assert name == "folders"
    assert {key: (e.split, e.speaker, e.note) for key, e in entries.items()} == {
        "speech/train/bert/1.wav": ("train", "bert", ""),
        "speech/val/anna/1.wav": ("valid", "anna", ""),
        "speech/test/2.flac": ("test", "", ""),
        "noise/street/tram.wav": ("train", "", "street"),
    }


def test_plain_folders_with_the_split_first(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        sound(tmp_path / split / "clean" / "anna" / "1.wav")
        sound(tmp_path / split / "noise" / "fan.wav")
    name, entries = found(tmp_path)
    assert name == "folders"
    assert {(e.kind, e.split) for e in entries.values()} == {
        (kind, split) for kind in ("speech", "noise") for split in ("train", "valid", "test")
    }
    assert entries["dev/clean/anna/1.wav"].speaker == "anna"


def test_splits_are_drawn_by_name_in_the_stated_shares() -> None:
    splits = [split_of(f"speaker{n}") for n in range(4000)]
    assert split_of("speaker7") == splits[7]
    assert 0.08 < splits.count("valid") / 4000 < 0.12 and 0.08 < splits.count("test") / 4000 < 0.12


def test_splits_are_by_speaker_and_do_not_move_when_files_are_added() -> None:
    few = speech(*(f"s{n}" for n in range(40)))
    many = fill_splits([*speech("new"), *few])[2:]
    drawn = fill_splits(few)
    assert [entry.split for entry in drawn] == [split_of(entry.speaker) for entry in few]
    assert many == drawn


def test_each_split_gets_a_speaker_where_there_are_enough() -> None:
    drawn = fill_splits(speech("a", "b", "c"))
    assert {entry.split for entry in drawn} == {"train", "valid", "test"}
    assert len({(entry.speaker, entry.split) for entry in drawn}) == 3


def test_splits_of_the_layout_are_kept_and_only_the_lacking_one_is_drawn() -> None:
    given = [*speech(*(f"s{n}" for n in range(40)), split="train"), *speech("t", split="test")]
    drawn = fill_splits(given)
    assert [entry.split for entry in drawn[-2:]] == ["test", "test"]
    expected = ["valid" if split_of(entry.speaker) == "valid" else "train" for entry in given[:-2]]
    assert [entry.split for entry in drawn[:-2]] == expected


def test_one_speaker_is_split_by_file_and_one_file_is_for_training() -> None:
    entries = [Entry(Path(f"{n}.wav"), "speech", "", "own", "anna") for n in range(20)]
    assert {entry.split for entry in fill_splits(entries)} == {"train", "valid", "test"}
    assert [entry.split for entry in fill_splits(entries[:1])] == ["train"]


def test_at_most_so_many_hours_of_training() -> None:
    entries = [Entry(Path(f"{n}.wav"), "speech", "train", "own", seconds=360) for n in range(50)]
    other = [Entry(Path("t.wav"), "speech", "test", "own", seconds=9000)]
    kept = at_most([*entries, *other], 1.0)
    assert len(kept) == 11 and kept[-1] == other[0]
    assert set(at_most(entries[:40], 1.0)) & set(kept)
    assert at_most(entries, 5.001) == tuple(entries)


def test_files_of_no_use_are_named(tmp_path: Path) -> None:
    good = sound(tmp_path / "good.wav", seconds=0.4)
    stereo, low = sound(tmp_path / "stereo.wav", channels=2), sound(tmp_path / "low.wav", rate=8000)
    short, missing = sound(tmp_path / "short.wav", seconds=0.1), tmp_path / "missing.wav"
    broken, silent = tmp_path / "broken.wav", tmp_path / "silent.wav"
    broken.write_bytes(b"rubbish, and no audio")
    soundfile.write(silent, np.zeros(16000, np.int16), 16000)
    paths = (good, stereo, low, short, broken, silent, missing)
    entries = [Entry(path, "speech", "train", "here") for path in paths]
    seen = inspect_entries(entries, whole=True)
    assert [(entry.path, entry.seconds) for entry in seen.entries] == [(good, 0.4)]
    assert dict(seen.problems) == {
        stereo: "2 channels (must be 1, mono)",
        low: "8000 Hz (must be 16000 Hz or more)",
        short: "0.10 s long (must be 0.3 s or more)",
        broken: "cannot be read (Format not recognised)",
        silent: "silent",
        missing: "no such file",
    }
    assert silent not in dict(inspect_entries(entries, whole=False).problems)
    assert not inspect_entries([Entry(short, "rir", "train", "here")], whole=True).problems


def test_a_truncated_file_is_found_by_decoding_it(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(1).integers(-9000, 9000, 32000).astype(np.int16), 16000)
    path.write_bytes(path.read_bytes()[:20000])
    entries = [Entry(path, "speech", "train", "here")]
    assert not inspect_entries(entries, whole=False).problems
    ((_, problem),) = inspect_entries(entries, whole=True).problems
    assert problem.startswith("cannot be decoded (")


def test_the_noise_of_a_pair_is_the_difference(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    voice, noise = rng.integers(-9000, 9000, (2, 8000)).astype(np.int16)
    soundfile.write(tmp_path / "clean.wav", voice, 16000)
    soundfile.write(tmp_path / "noisy.wav", voice + noise, 16000)
    entry = Entry(tmp_path / "noisy.wav", "noise", "train", "here", minus=tmp_path / "clean.wav")
    assert np.array_equal(samples_of(entry), noise)
    soundfile.write(tmp_path / "clean.wav", np.full(8000, -30000, np.int16), 16000)
    soundfile.write(tmp_path / "noisy.wav", np.full(8000, 30000, np.int16), 16000)
    assert set(samples_of(entry)) == {32767}
    soundfile.write(tmp_path / "clean.wav", voice, 16000)
    soundfile.write(tmp_path / "noisy.wav", voice, 16000)
    with pytest.raises(AudioError, match="equals its clean version"):
        samples_of(entry)
    soundfile.write(tmp_path / "noisy.wav", voice[:-5], 16000)
    ((_, problem),) = inspect_entries([entry], whole=False).problems
    assert problem == ("7995 samples at 16000 Hz (must be as its clean version clean.wav: 8000 at 16000 Hz)")


def test_rooms_decay_and_differ(tmp_path: Path) -> None:
    for seed in range(4):
        response = room(seed).astype(np.float64)
        assert np.abs(response).max() == 29491 and np.array_equal(room(seed), response)
        direct = int(np.abs(response).argmax())
        energy = [float(np.sum(part**2)) for part in np.array_split(response[direct:], 4)]
        assert energy == sorted(energy, reverse=True) and energy[3] < energy[0] / 20
        # The image method without its high-pass would leave a large mean.
        assert abs(response.mean()) < 0.02 * np.sqrt(np.mean(response**2))
    assert not np.array_equal(room(0)[:2000], room(1)[:2000])
    soundfile.write(tmp_path / "room.flac", room(3), 16000)
    assert np.array_equal(decode(tmp_path / "room.flac"), room(3))


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (
            "noisy_testset_wav",
            "nearest is VoiceBank+DEMAND, which has clean_testset_wav where this has noisy_testset_wav",
        ),
        ("speach", "nearest is folders, which has speech where this has speach"),
        ("Libri2mix_v2", "nearest is LibriMix, which has Libri2Mix where this has Libri2mix_v2"),
        ("xyz", "sort the files into speech/ and noise/"),
    ],
)
def test_a_folder_of_no_layout_is_told_the_nearest(folder: str, words: str, tmp_path: Path) -> None:
    sound(tmp_path / "it" / folder / "a.wav")
    with pytest.raises(AudioError) as caught:
        read_layout(tmp_path / "it")
    assert str(caught.value) == (
        f"{tmp_path / 'it'}: no known layout (looked for manifest.csv; clean_trainset_28spk_wav/; "
        "DKITCHEN/ch01.wav; Libri2Mix/wav16k/min/train-100/s1/; datasets_fullband/ with clean_fullband/ and "
        f"noise_fullband/; no_reverb/, or clean/ and noisy/; speech/ and noise/); {words}"
    )


def test_the_folder_above_or_below_is_named(tmp_path: Path) -> None:
    sound(tmp_path / "set/clean_testset_wav/p232_001.wav")
    inner = tmp_path / "set/clean_testset_wav"
    for folder, other in ((tmp_path, tmp_path / "set"), (inner, tmp_path / "set")):
        with pytest.raises(AudioError) as caught:
            read_layout(folder)
        assert str(caught.value) == (
            f"{folder}: no known layout, but {other} has one (VoiceBank+DEMAND); name that"
        )


def test_folders_without_files(tmp_path: Path) -> None:
    (tmp_path / "speech").mkdir()
    with pytest.raises(AudioError) as caught:
        read_layout(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: looks like folders (speech/ and noise/), but lists no audio (.wav, .flac, .ogg, .opus)"
    )
