"""Recordings as samples, with classes, transcripts or spans of time for labels."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.base import Sample
from edgedeploy.datasets.class_labels import ClassLabels
from edgedeploy.datasets.manifest import OnBroken, pass_over, refuse
from edgedeploy.datasets.prepared import Prepared, PreparedSamples, each_prepared
from edgedeploy.datasets.preprocessing.audio import prepare_sound, samples_of
from edgedeploy.datasets.preprocessing.audio_presets import audio_preprocessing
from edgedeploy.datasets.sound.sound_file import WHOLE, SoundPart, read_sound, sound_facts
from edgedeploy.datasets.sound.spans import Span, clipped
from edgedeploy.datasets.sound.tensors import SoundInputs, sound_inputs
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.data import DataSource, Task
from edgedeploy.values.model import TensorFacts

LabelKind = Literal["class", "text", "spans", ""]
_HEADERS_READ = 2000
"""When the data is opened, to say which rates there are: a header takes some 0.1 ms."""

_HASHES_KEPT = 1024
_CUT_UNSEEN_S = 0.05
"""Of what is cut from a recording: nobody speaks a word in it."""


class Recording(Struct, frozen=True, kw_only=True):
    """One sample, as a manifest or folder names it."""

    path: Path
    name: str
    """As it is named there, which does not change when the data moves."""
    where: str
    """For messages: the row, or the file."""
    label: Any = None
    """A class as it stands there, a transcript, or a tuple of `Span`."""
    part: SoundPart = WHOLE


class Recordings(PreparedSamples):
    """Recordings that a subclass lists. It calls `_listed` at the end of its constructor."""

    def __init__(
        self, source: DataSource, inputs: Sequence[TensorFacts], kind: LabelKind, keys: Collection[str]
    ) -> None:
        """
        Args:
            kind: of labels.
            keys: as `PreparedSamples` has it.

        Raises:
            DatasetError: the preprocessing is not sound, or the model has no input for recordings.
            UnknownNameError: there is no such preset.
        """
        super().__init__(source, inputs, keys)
        self.preprocessing = self._preprocessing = audio_preprocessing(source)
        self._sound_inputs: SoundInputs = sound_inputs(source.path, inputs)
        self._kind = kind
        self._classes = ClassLabels(source.class_names)
        self.has_labels = bool(kind)
        if self.task is None:
            tasks: Mapping[str, Task] = {"text": "speech", "class": "classification"}
            self.task = tasks.get(kind)

    def recordings(self, broken: OnBroken) -> Iterator[Recording]:
        """Yield what there is, in order; what is none is told to `broken`."""
        raise NotImplementedError

    def prepared(self, broken: OnBroken) -> Iterator[Prepared]:
        return each_prepared(self.recordings(broken), lambda each: [self._prepare(each)], broken)

    def chosen(self, places: Sequence[int]) -> Iterator[Sample]:
        if self._batch > 1 or self._source.skip_broken:
            yield from super().chosen(places)
            return
        wanted = frozenset(places)
        for place, each in enumerate(itertools.islice(self.recordings(refuse), max(wanted, default=-1) + 1)):
            if place in wanted:
                yield self._sample([self._checked(self._prepare(each))])

    def class_counts(self) -> Sequence[int] | None:
        return self._classes.counts() if self._kind == "class" else None

    def digests(self) -> Iterator[str]:
        # A long recording stands in many rows, one behind the other.
        digest = functools.lru_cache(maxsize=_HASHES_KEPT)(sha256_file)
        for each in self.recordings(pass_over):
            yield f"{digest(each.path)}  {each.name}"

    def _listed(self) -> None:
        """Go through all recordings: their labels, and the headers of the first."""
        rates: dict[int, int] = {}
        count = longer = 0
        most_s = self._preprocessing.duration_s or math.inf
        broken: OnBroken = pass_over if self._source.skip_broken else refuse
        for each in self.recordings(broken):
            try:
                self._observe(each)
                if count < _HEADERS_READ:
                    facts = sound_facts(each.path)
                    rates[facts.rate_hz] = rates.get(facts.rate_hz, 0) + 1
                    longer += each.part.duration_s(facts) > most_s + _CUT_UNSEEN_S
            except (DatasetError, InvalidFileError) as error:
                broken(error)
                continue
            count += 1
        if self._kind in ("class", "spans"):
            self._classes.decide(self.spec)
            if self._kind == "class" and not self._classes.is_of_classes and not self._source.task:
                self.task = "series"
            if self._kind == "spans" and not self._classes.is_of_classes:
                raise DatasetError(f"{self.spec}: the labels of its spans are no classes")
        if self._classes.is_named:
            self.class_names = self._classes.names
        looked_at = f"{count:,}" if count <= _HEADERS_READ else f"the first {_HEADERS_READ:,}"
        self.notes = (*self._classes.notes, *self._rates_said(rates, looked_at))
        if longer:
            cut = f"{longer:,} of {looked_at} recordings are longer than {most_s:g} s, and are cut there"
            self.notes = (*self.notes, cut)
        self._ready(count)

    def _observe(self, each: Recording) -> None:
        if self._kind == "class":
            self._classes.observe(each.label, each.where)
        elif self._kind == "spans":
            for span in each.label:
                self._classes.observe(span.label, each.where)

    def _rates_said(self, rates: Mapping[int, int], looked_at: str) -> Iterator[str]:
        wanted = self._preprocessing.rate_hz
        others = sorted(rate_hz for rate_hz in rates if rate_hz != wanted)
        if others:
            number = sum(rates[rate_hz] for rate_hz in others)
            found = ", ".join(f"{rate_hz:,}" for rate_hz in others[:5])
            yield f"{number:,} of {looked_at} recordings have {found} Hz, and are resampled to {wanted:,} Hz"

    def _prepare(self, each: Recording) -> Prepared:
        most = None
        if self._preprocessing.duration_s is not None:
            most = samples_of(self._preprocessing.duration_s, self._preprocessing)
            if self._preprocessing.peak:
                most = None
        samples = read_sound(
            each.path, self._preprocessing.rate_hz, each.part, most, resample=self._preprocessing.resample
        )
        try:
            values = prepare_sound(samples, self._preprocessing)
        except DatasetError as error:
            raise DatasetError(f"{each.path}: {error.what}", why=error.why, hint=error.hint) from error
        duration_s = (self._preprocessing.duration_s or math.inf) if most is not None else math.inf
        arrays = self._sound_inputs.arrays(values, self._preprocessing, each.where)
        return Prepared(arrays, self._label(each, duration_s), str(each.path))

    def _label(self, each: Recording, duration_s: float) -> Any:
        if self._kind == "text":
            return each.label
        if self._kind == "class":
            return self._classes.number(each.label, each.where)
        if self._kind == "spans":
            spans: Sequence[Span] = each.label
            classes = np.array([self._classes.number(span.label, each.where) for span in spans], np.int64)
            return clipped(spans, classes, each.part, duration_s)
        return None
