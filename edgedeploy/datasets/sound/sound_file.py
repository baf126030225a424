"""Sound files as one channel of samples at a wanted rate, read in blocks.

libsndfile (by soundfile) reads WAV, FLAC, Ogg and MP3, of any width; channels are mixed to their mean, and rates
converted by soxr in its quality HQ, as librosa does. What ends before its header says so is an error: libsndfile alone
would give a shorter recording without a word.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.library import library
from edgedeploy.datasets.preprocessing.audio import MOST_SAMPLES
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import open_file
from edgedeploy.foundation.units import bytes_in_words

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
_BLOCK_FRAMES = 1 << 16
_LARGEST_RATIO = 256
"""Of two rates. Phones have 8 kHz, studios 192."""
_MOST_CHUNKS = 1000
"""Of a WAV before its sound; some programs write a dozen."""
_MOST_CHANNELS = 64
_LATE_S = 0.1
"""By which a manifest may name more than there is: durations are rounded there."""
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""Of the data in a WAV that was written into a pipe, where nobody knew its length."""


class SoundFacts(Struct, frozen=True):
    """What the header of a sound file says."""

    rate_hz: int
    frames: int
    channels: int

    @property
    def duration_s(self) -> float:
        """Of the whole file."""
        return self.frames / self.rate_hz


class SoundPart(Struct, frozen=True):
    """A part of a recording."""

    begin_s: float = 0.0
    end_s: float | None = None
    """None: its end."""

    def duration_s(self, facts: SoundFacts) -> float:
        """Return how long it is, in a recording with this header."""
        end_s = facts.duration_s if self.end_s is None else min(self.end_s, facts.duration_s)
        return end_s - self.begin_s


WHOLE = SoundPart()


def sound_facts(path: Path) -> SoundFacts:
    """Read the header of a sound file.

    Raises:
        InvalidFileError: the file cannot be read, is no sound, or is shorter than its header says.
        DatasetError: it has no samples, or far too many channels.
        HostError: soundfile is not installed.
    """
    with _Sound(path) as sound:
        return sound.facts


def read_sound(
    path: Path, rate_hz: int, part: SoundPart = WHOLE, most_samples: int | None = None, *, resample: bool = True
) -> np.ndarray:
    """Read a recording, or a part of one.

    Args:
        rate_hz: of the result.
        most_samples: at that rate; what follows is not read. None: all.
        resample: without, a recording of another rate is an error.

    Returns:
        float32, shape (samples,), in [-1, 1] where the file has whole numbers.

    Raises:
        InvalidFileError: as `sound_facts`, or its data is damaged.
        DatasetError: its rate is another and must not be, the part is not in it, it holds values that are no numbers,
            or it is longer than memory is for.
        HostError: soundfile or soxr is not installed.
    """
    limit = MOST_SAMPLES if most_samples is None else most_samples
    with _Sound(path) as sound:
        facts = sound.facts
        if facts.rate_hz != rate_hz and not resample:
            raise DatasetError(
                f"{path} has {facts.rate_hz:,} Hz, expected {rate_hz:,} Hz",
                hint="state the rate of the model with rate_hz, or resample = true, under [preprocessing]",
            )
        begin, end = _frames_of(path, part, facts)
        if most_samples is None and (end - begin) * rate_hz / facts.rate_hz > MOST_SAMPLES:
            raise DatasetError(
                f"{path}: {(end - begin) / facts.rate_hz / 3600:.1f} hours are too long for one sample",
                why=f"at most {bytes_in_words(MOST_SAMPLES * 4)} of samples are in memory",
                hint="state duration_s under [preprocessing], or begin_s and end_s for each row of the manifest",
            )
        if not 1 / _LARGEST_RATIO <= rate_hz / facts.rate_hz <= _LARGEST_RATIO:
            raise DatasetError(
                f"{path} has {facts.rate_hz:,} Hz, and the model takes {rate_hz:,} Hz",
                why=f"rates are converted by a factor of {_LARGEST_RATIO} at most",
            )
        blocks = sound.mono(begin, end, max(1, min(_BLOCK_FRAMES, _BLOCK_FRAMES * facts.rate_hz // rate_hz)))
        if facts.rate_hz != rate_hz:
            blocks = _resampled(blocks, facts.rate_hz, rate_hz)
        return _gathered(path, blocks, limit)


def _frames_of(path: Path, part: SoundPart, facts: SoundFacts) -> tuple[int, int]:
    begin = round(part.begin_s * facts.rate_hz)
    end = facts.frames if part.end_s is None else round(part.end_s * facts.rate_hz)
    if not 0 <= begin < end or end > facts.frames + _LATE_S * facts.rate_hz or begin >= facts.frames:
        raise DatasetError(
            f"{path}: there is no part from {part.begin_s:g} s to {part.end_s or facts.duration_s:g} s",
            why=f"the recording has {facts.duration_s:.3f} s",
        )
    return begin, min(end, facts.frames)


def _gathered(path: Path, blocks: Iterator[np.ndarray], limit: int) -> np.ndarray:
    parts, count = [], 0
    for block in blocks:
        if not np.isfinite(block).all():
            raise DatasetError(f"{path} holds values that are no numbers (NaN or infinite)")
        parts.append(block[: limit - count])
        count += len(parts[-1])
        if count >= limit:
            break
    if not count:
        raise DatasetError(f"{path} holds no sound: it has no samples")
    return np.concatenate(parts)


def _resampled(blocks: Iterator[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    soxr = library("soxr", "audio", "recordings of another rate")
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


class _Sound:
    """An open sound file. What libsndfile raises of it becomes an error that names it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._library = library("soundfile", "audio", "recordings")
        try:
            self._file = open_file(path)
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            _refuse_cut_wav(path, self._file)
            self._sound = self._library.SoundFile(self._file)
        except (self._library.SoundFileError, TypeError, ValueError) as error:
            self._file.close()
            raise InvalidFileError(f"{path} cannot be read as sound", why=_said(error)) from error
        except BaseException:
            self._file.close()
            raise
        self.facts = SoundFacts(self._sound.samplerate, self._sound.frames, self._sound.channels)

    def __enter__(self) -> _Sound:
        if self.facts.frames < 1 or not 1 <= self.facts.channels <= _MOST_CHANNELS:
            self.__exit__()
            if self.facts.frames < 1:
                raise DatasetError(f"{self._path} holds no sound: it has no samples")
            raise DatasetError(f"{self._path} has {self.facts.channels} channels, expected 1 to {_MOST_CHANNELS}")
        return self

    def __exit__(self, *error: object) -> None:
        self._sound.close()
        self._file.close()

    def mono(self, begin: int, end: int, block_frames: int) -> Iterator[np.ndarray]:
        """Yield the mean of the channels from one frame to another, in blocks."""
        try:
            if begin:
                self._sound.seek(begin)
            while begin < end:
                block = self._sound.read(min(block_frames, end - begin), dtype="float32", always_2d=True)
                if not len(block):
                    raise InvalidFileError(
                        f"{self._path} is cut short", why=f"it ends at sample {begin:,} of {self.facts.frames:,}"
                    )
                begin += len(block)
                yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        except self._library.SoundFileError as error:
            raise InvalidFileError(f"{self._path} is damaged", why=_said(error)) from error


def _said(error: Any) -> str:
    return str(getattr(error, "error_string", "") or error)


def _refuse_cut_wav(path: Path, file: IO[bytes]) -> None:
    """Refuse a WAV whose data ends before its header says so; leave the file at its begin."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    place = 12
    for _ in range(_MOST_CHUNKS if head[:4] == b"RIFF" and head[8:] == b"WAVE" else 0):
        if place + 8 > size:
            break
        file.seek(place)
        name, length = struct.unpack("<4sI", file.read(8))
        place += 8
        if name == b"data":
            if length not in _UNKNOWN_SIZES and place + length > size:
                raise InvalidFileError(
                    f"{path} is cut short",
                    why=f"its header says {length:,} bytes of sound, and {size - place:,} follow",
                )
            break
        place += length + length % 2
    file.seek(0)
