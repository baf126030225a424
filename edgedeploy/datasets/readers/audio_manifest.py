"""Recordings that a CSV file or JSON lines name, with a class, a transcript, or spans of time.

The file stands under `file` (or `path`, `audio_filepath`, `audio`, `filename`), relative to the manifest, or to `path`
where `labels` names the manifest. `label` is a class, `text` a transcript, `spans` a list of `[begin, end, label]`;
where there are several, `label_columns` says which. `begin_s` and `end_s` (or `offset` with `duration`, as NeMo has
them) take a part of a longer recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgedeploy.datasets.class_labels import read_number
from edgedeploy.datasets.manifest import (
    ManifestRow,
    OnBroken,
    SampleFolder,
    header,
    is_json_lines,
    pass_over,
    refuse,
    rows,
)
from edgedeploy.datasets.reader import DataReader
from edgedeploy.datasets.sound.recordings import LabelKind, Recording, Recordings
from edgedeploy.datasets.sound.sound_file import ENDINGS, WHOLE, SoundPart
from edgedeploy.datasets.sound.spans import read_spans
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import AudioPreprocessing

_FILE_KEYS = ("file", "path", "audio_filepath", "audio", "filename")
_LABEL_KEYS: Mapping[str, LabelKind] = {"spans": "spans", "label": "class", "text": "text"}


class AudioManifest(Recordings):
    """The recordings that a manifest names."""

    def __init__(self, source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> None:
        """
        Raises:
            DatasetError: a row has no file or label, or the data does not fit the model.
            InvalidFileError: the manifest or a recording cannot be read.
        """
        self._manifest = Path(source.labels) if source.labels else path
        self._folder = path if source.labels and path.is_dir() else self._manifest.parent
        keys = header(self._manifest, pass_over if source.skip_broken else refuse)
        self._file_key = next((key for key in _FILE_KEYS if key in keys), "")
        if not self._file_key:
            raise DatasetError(
                f"{self._manifest} names no recordings",
                why=f"expected a column {_FILE_KEYS[0]!r}; found: {', '.join(keys[:12]) or 'nothing'}",
            )
        self._label_key, kind = _label_key(source, keys, self._manifest)
        super().__init__(source, inputs, kind, ("labels", "label_columns"))
        self._listed()

    def recordings(self, broken: OnBroken) -> Iterator[Recording]:
        folder = SampleFolder(self._folder)
        for row in rows(self._manifest, broken):
            try:
                found = self._recording(row, folder)
            except DatasetError as error:
                broken(error)
            else:
                yield found

    def digests(self) -> Iterator[str]:
        yield sha256_file(self._manifest)
        yield from super().digests()

    def _recording(self, row: ManifestRow, folder: SampleFolder) -> Recording:
        where = f"{self._manifest}, line {row.line}"
        named = row.fields.get(self._file_key)
        path = folder.path(named, where)
        return Recording(
            path=path, name=str(named), where=where, label=self._label_of(row, where), part=_part(row.fields, where)
        )

    def _label_of(self, row: ManifestRow, where: str) -> Any:
        if not self._kind:
            return None
        if self._label_key not in row.fields:
            raise DatasetError(f"{where} has no key {self._label_key!r}, unlike the first row")
        value = row.fields[self._label_key]
        if self._kind == "spans":
            return read_spans(value, where)
        if self._kind == "text" and not isinstance(value, str):
            raise DatasetError(f"{where}: its {self._label_key!r} is {value!r:.40}, expected a text")
        return value


def _label_key(source: DataSource, keys: Sequence[str], manifest: Path) -> tuple[str, LabelKind]:
    if len(source.label_columns) > 1:
        raise DatasetError(f"{manifest}: label_columns names several, and a recording has one")
    if source.label_columns:
        key = source.label_columns[0]
        if key not in keys:
            raise DatasetError(f"{manifest}: there is no column {key!r}", why=f"found: {', '.join(keys[:12])}")
        return key, _LABEL_KEYS.get(key) or ("text" if source.task == "speech" else "class")
    found = [key for key in _LABEL_KEYS if key in keys]
    if source.task == "speech" and "text" in found:
        found = ["text"]
    elif source.task == "classification" and "label" in found:
        found = ["label"]
    if len(found) > 1:
        raise DatasetError(
            f"{manifest} has {' and '.join(map(repr, found))}, and a recording has one label",
            hint=f'choose one: label_columns = ["{found[0]}"] in data.toml',
        )
    return (found[0], _LABEL_KEYS[found[0]]) if found else ("", "")


def _part(fields: Mapping[str, Any], where: str) -> SoundPart:
    begin = _seconds(fields, "begin_s", where)
    end = _seconds(fields, "end_s", where)
    if begin is None and end is None:
        begin, duration = _seconds(fields, "offset", where), _seconds(fields, "duration", where)
        if begin is None:
            return WHOLE
        end = None if duration is None else begin + duration
    if end is not None and end <= (begin or 0.0):
        raise DatasetError(f"{where}: its part ends at {end:g} s, before it begins")
    return SoundPart(begin or 0.0, end)


def _seconds(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    value = fields.get(key)
    if isinstance(value, str):
        value = read_number(value) if value.strip() else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise DatasetError(f"{where}: its {key!r} is {value!r:.40}, expected seconds")
    return float(value)


def _recognize(path: Path, source: DataSource) -> str:
    manifest = Path(source.labels) if source.labels else path
    if not manifest.is_file() or not (is_json_lines(manifest) or manifest.suffix.lower() in (".csv", ".tsv")):
        return ""
    try:
        first = next(rows(manifest), None)
    except EdgedeployError:
        return ""
    for key in _FILE_KEYS:
        named = first.fields.get(key) if first else None
        if isinstance(named, str) and named.lower().endswith(ENDINGS):
            return f"its column {key!r} names recordings"
    return ""


READER = DataReader(
    name="audio-manifest",
    task="speech",
    rank=20,
    recognize=_recognize,
    open=AudioManifest,
    preprocessing=AudioPreprocessing,
)
