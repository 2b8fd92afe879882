"""The demo's voice: which prompts are taken, in which order, and what is said when there are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from quant.errors import AudioError
from tinydsn.audio import prompts

SECOND = prompts.G722_BYTES_PER_SECOND


@pytest.fixture
def voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cached copy with six files, of which three are sentences (G.722 bytes of no meaning)."""
    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path))
    folder = tmp_path / "voices" / prompts.PACKAGE / "en_US_someone"
    sizes = {"one": 2.0, "two": 3.5, "digits/three": 9.0, "word": 1.9, "silence/9": 9.0, "long": 9.1}
    generator = np.random.default_rng(1)
    for name, seconds in sizes.items():
        path = folder / f"{name}.g722"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.integers(0, 256, int(seconds * SECOND), dtype=np.uint8).tobytes())
    return folder


def needs_ffmpeg() -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")


def test_sentences_are_taken_in_a_fixed_order(voice: Path) -> None:
    names = [path.relative_to(voice).as_posix() for path in prompts.prompt_files(voice)]
    # By the SHA-256 of the name; another order would change every figure of the demo.
    assert names == ["one.g722", "digits/three.g722", "two.g722"]


def test_english_is_preferred(voice: Path) -> None:
    other = voice.parent / "de_DE_somebody"
    other.mkdir()
    shutil.copy(voice / "one.g722", other)
    assert prompts.find_prompts() == voice


def test_speech_is_joined_with_pauses_and_always_the_same(voice: Path) -> None:
    needs_ffmpeg()
    speech = prompts.read_prompts(30.0, pause=0.5)
    assert speech.dtype == np.int16 and speech.shape == (480000,)
    np.testing.assert_array_equal(speech, prompts.read_prompts(30.0, pause=0.5))
    first, second = (prompts.decode(path) for path in prompts.prompt_files(voice)[:2])
    assert len(first) == 2 * SECOND * 2, "two samples a byte"
    pause = np.zeros(8000, dtype=np.int16)
    start = np.concatenate([pause, first, pause, second])
    np.testing.assert_array_equal(speech[: len(start)], start)
    # 14.5 s of prompts and 1.5 s of pauses: then the first one comes again.
    np.testing.assert_array_equal(speech[256000 : 256000 + len(start)], start)


def test_no_length_is_refused(voice: Path) -> None:
    with pytest.raises(AudioError, match=r"^cannot make 0 seconds of speech \(must be more than 0\)$"):
        prompts.read_prompts(0)


def test_no_decoder(voice: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError) as caught:
        prompts.read_prompts(1.0)
    assert str(caught.value) == (
        "decoding the voice prompts needs ffmpeg; install it: apt-get install ffmpeg, or give a recording of "
        "your own with --wav"
    )


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no installed copy, and an empty folder as the PATH."""
    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prompts, "INSTALLED", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_no_package_manager(bare: Path) -> None:
    assert prompts.find_prompts() is None
    with pytest.raises(AudioError) as caught:
        prompts.fetch_prompts()
    assert str(caught.value) == (
        f"the demo's voice comes from the Debian package {prompts.PACKAGE}, and apt-get is not on this "
        "machine; give a recording of your own with --wav"
    )


def script(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_package_that_cannot_be_had(bare: Path) -> None:
    script(bare, "apt-get", 'echo "E: Unable to locate package $2" >&2; exit 100')
    script(bare, "dpkg-deb", "exit 0")
    with pytest.raises(AudioError) as caught:
        prompts.fetch_prompts()
    assert str(caught.value) == (
        f"cannot fetch the Debian package {prompts.PACKAGE} (E: Unable to locate package {prompts.PACKAGE}); "
        "try apt-get update, or give a recording of your own with --wav"
    )
    assert [path.suffix for path in (bare / "cache" / "voices").iterdir()] == [".lock"]


def test_any_version_will_do_when_the_pinned_one_is_gone(bare: Path) -> None:
    """A pretended archive that has lost the pinned version and gives the current one."""
    script(bare, "apt-get", f'[ "$2" = {prompts.PACKAGE} ] || exit 100; echo > {prompts.PACKAGE}_9_all.deb')
    sounds, documents = "$3/usr/share/asterisk/sounds/en_US", f"$3/usr/share/doc/{prompts.PACKAGE}"
    unpack = f"/bin/mkdir -p {sounds} {documents} && echo CC > {documents}/copyright"
    script(bare, "dpkg-deb", f"{unpack} && /usr/bin/head -c 16000 /dev/zero > {sounds}/hello.g722")
    folder = prompts.fetch_prompts()
    assert folder == bare / "cache" / "voices" / prompts.PACKAGE / "en_US"
    assert (folder.parent / "copyright").read_text() == "CC\n"
    script(bare, "apt-get", "exit 100")
    assert prompts.fetch_prompts() == folder
