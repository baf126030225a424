"""Sound files: widths, channels, rates, parts, and files that are not what they say."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from support.sounds import save_sound, tone

from edgedeploy.datasets.sound.sound_file import SoundPart, read_sound, sound_facts
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError

TORCH = np.load(Path(__file__).parents[2] / "data/sound/torch.npz")


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_U8", 2**-7),
        ("a.wav", "FLOAT", 1e-7),
        ("a.wav", "DOUBLE", 1e-7),
        ("a.flac", "PCM_16", 2**-15),
        ("a.flac", "PCM_24", 2**-23),
    ],
)
def test_all_widths_are_the_same_sound(tmp_path, name, subtype, step):
    path = save_sound(tmp_path / name, tone(0.1), subtype=subtype)
    found = read_sound(path, 16_000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tone(0.1), atol=step)


def test_channels_are_mixed_to_their_mean(tmp_path):
    path = save_sound(tmp_path / "a.wav", np.stack([tone(0.1), -tone(0.1), tone(0.1)], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(read_sound(path, 16_000), tone(0.1) / 3, atol=1e-7)


@pytest.mark.parametrize("rate_hz", [11_025, 48_000])
def test_rates_are_converted_as_librosa_does(tmp_path, rate_hz):
    path = save_sound(tmp_path / "a.wav", TORCH["signal"], subtype="FLOAT")
    expected = TORCH[f"from_16000_to_{rate_hz}"]
    found = read_sound(path, rate_hz)
    # librosa takes the length up, soxr to the nearest: at most one sample at the end.
    assert abs(len(found) - len(TORCH["signal"]) * rate_hz / 16_000) <= 1
    shared = min(len(found), len(expected))
    np.testing.assert_allclose(found[:shared], expected[:shared], atol=1e-6)


def test_what_is_cut_is_as_if_all_had_been_read(tmp_path):
    """A filter looks ahead: enough has to be read for it."""
    path = save_sound(tmp_path / "a.wav", tone(20.0, 44_100, 1000.0), 44_100, "FLOAT")
    whole = read_sound(path, 16_000)
    np.testing.assert_array_equal(read_sound(path, 16_000, most_samples=16_000), whole[:16_000])


def test_a_part_is_taken_where_it_is(tmp_path):
    for name in ("a.wav", "a.flac"):
        path = save_sound(tmp_path / name, np.linspace(-1, 1, 32_000))
        found = read_sound(path, 16_000, SoundPart(1.0, 1.5))
        np.testing.assert_allclose(found, np.linspace(-1, 1, 32_000)[16_000:24_000], atol=1e-4)
        assert len(read_sound(path, 16_000, SoundPart(1.0, 2.05))) == 16_000  # a rounded duration
        for part in (SoundPart(1.0, 2.2), SoundPart(2.0), SoundPart(3.0, 4.0)):
            with pytest.raises(DatasetError, match="there is no part"):
                read_sound(path, 16_000, part)


def test_another_rate_is_an_error_where_that_is_declared(tmp_path):
    path = save_sound(tmp_path / "a.wav", tone(0.1, 8000), 8000)
    with pytest.raises(DatasetError, match="has 8,000 Hz, expected 16,000 Hz"):
        read_sound(path, 16_000, resample=False)


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    for name in ("a.wav", "a.flac"):
        path = save_sound(tmp_path / name, np.random.default_rng(0).uniform(-1, 1, 16_000))
        os.truncate(path, path.stat().st_size * 2 // 3)
        with pytest.raises(InvalidFileError, match=r"cut short|damaged|cannot be read"):
            read_sound(path, 16_000)


def test_a_wav_that_was_written_into_a_pipe_is_read(tmp_path):
    path = save_sound(tmp_path / "a.wav", tone(0.1))
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(read_sound(path, 16_000)) == 1600


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\xff\xff\xff\xffWAVE", b"no sound at all" * 99, b"fLaC\0\0"])
def test_what_is_no_sound_is_refused(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError, match=r"a\.wav"):
        read_sound(path, 16_000)


def test_a_recording_without_samples_is_refused(tmp_path):
    path = save_sound(tmp_path / "a.wav", np.zeros(0))
    for read in (sound_facts, lambda path: read_sound(path, 16_000)):
        with pytest.raises(DatasetError, match="holds no sound"):
            read(path)


def test_values_that_are_no_numbers_are_refused(tmp_path):
    path = save_sound(tmp_path / "a.wav", np.array([0.0, np.nan, 0.0]), subtype="FLOAT")
    with pytest.raises(DatasetError, match="no numbers"):
        read_sound(path, 16_000)


def test_pipes_and_folders_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path / "pipe.wav", tmp_path, tmp_path / "none.wav"):
        with pytest.raises(InvalidFileError):
            read_sound(path, 16_000)


def test_eight_hours_are_read_in_blocks(tmp_path):
    """461 million samples in a sparse file: a cut of it takes no more memory than it has, and all of it is refused."""
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 16_000, 1, "PCM_16") as sound:
        sound.write(np.zeros(16_000))
    size = 8 * 3600 * 16_000 * 2
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)
    os.truncate(path, place + 4 + size)
    assert sound_facts(path).duration_s == pytest.approx(8 * 3600)
    tracemalloc.start()
    try:
        assert len(read_sound(path, 8000, SoundPart(7 * 3600.0, 7 * 3600.0 + 10))) == 80_000
        assert len(read_sound(path, 16_000, most_samples=160_000)) == 160_000
        with pytest.raises(DatasetError, match=r"8\.0 hours are too long") as caught:
            read_sound(path, 16_000)
        assert "duration_s" in caught.value.hint
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_rate_that_no_recording_has_is_refused(tmp_path):
    """A second at 1 Hz is 16,000 samples: a file of a megabyte would become 32 GB."""
    path = save_sound(tmp_path / "a.wav", np.zeros(100_000), 10)
    with pytest.raises(DatasetError, match="by a factor of 256"):
        read_sound(path, 16_000, most_samples=16_000)
    assert len(read_sound(path, 10)) == 100_000


def test_a_wav_of_nothing_but_chunks_is_no_work(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\xff\xff\xff\x7fWAVE")
    os.truncate(path, 4_000_000_000)
    with pytest.raises(InvalidFileError, match="cannot be read as sound"):
        read_sound(path, 16_000)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_formats_are_read(tmp_path, name):
    found = read_sound(save_sound(tmp_path / name, tone(1.0)), 16_000)
    assert abs(len(found) - 16_000) < 2000
    assert np.abs(np.fft.rfft(found[:8000])).argmax() == 220  # 440 Hz


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    return [save_sound(folder / name, tone(0.02)).read_bytes() for name in ("a.wav", "a.flac")]


@given(st.integers(0, 1), st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=8))
def test_damaged_files_are_sound_or_an_error(tmp_path_factory, originals, which, changes):
    content = bytearray(originals[which])
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.mktemp("damaged") / "a.wav"
    path.write_bytes(content)
    try:
        assert np.isfinite(read_sound(path, 16_000, most_samples=16_000)).all()
    except EdgedeployError as error:
        assert str(path) in str(error)
