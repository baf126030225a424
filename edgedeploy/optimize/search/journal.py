"""Keep a journal of a search, so that a search that was stopped can continue.

One JSON value per line: the header, which says what the search is of, then a trial or a layer's damage each. A line
that is cut short, as a power cut leaves it, is dropped with all behind it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgedeploy.foundation.errors import HostError, InvalidFileError
from edgedeploy.foundation.files import unreadable, unwritable
from edgedeploy.foundation.reading import SEARCH_JOURNAL, read_file
from edgedeploy.optimize.base import Pass
from edgedeploy.values.search import LayerDamage, Trial

_SCHEMA = 1


class _TrialLine(msgspec.Struct, tag_field="is", tag="trial"):
    trial: Trial
    key: str


class _LayerLine(msgspec.Struct, tag_field="is", tag="layer"):
    layer: LayerDamage
    variant: str


_Line = _TrialLine | _LayerLine


class Journal:
    """Trials and layers already looked at, by what they depend on."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        """
        Args:
            path: the journal's file; one of another identity is begun anew.
            identity: all that decides the outcome of a trial: hashes of model and data, metric, budget, versions.

        Raises:
            HostError: the file cannot be written.
            InvalidFileError: something that is no file has its name.
        """
        self._path = path
        self._trials: dict[str, Trial] = {}
        self._layers: dict[str, dict[str, LayerDamage]] = {}
        self.resumed = 0
        """How many trials were found in the file."""
        header = msgspec.json.encode({"schema": _SCHEMA, **identity}, order="sorted")
        kept = self._read(header)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kept is None:
                path.write_bytes(header + b"\n")
            else:
                os.truncate(path, kept)
        except OSError as error:
            raise unwritable(path, error) from error
        self.resumed = len(self._trials)

    def trial(self, passes: Sequence[Pass]) -> Trial | None:
        """Return the trial of these passes, if there was one."""
        return self._trials.get(_key(passes))

    def layers(self, variant: str) -> dict[str, LayerDamage]:
        """Return what is known of the layers when this variant quantizes them, by layer."""
        return self._layers.get(variant, {})

    def add_trial(self, passes: Sequence[Pass], trial: Trial) -> None:
        """Keep a trial; it takes the place of what was known of the same passes."""
        key = _key(passes)
        self._trials[key] = trial
        self._append(_TrialLine(trial, key))

    def add_layer(self, variant: str, layer: LayerDamage) -> None:
        """Keep what a layer costs."""
        self._layers.setdefault(variant, {})[layer.layer] = layer
        self._append(_LayerLine(layer, variant))

    def remove(self) -> None:
        """Remove the file: the search has come to its end, and its results are elsewhere."""
        self._path.unlink(missing_ok=True)

    def _append(self, line: _Line) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise HostError(
                f"{self._path} cannot be written", why=error.strerror or str(error), hint="free some space"
            ) from error

    def _read(self, header: bytes) -> int | None:
        """Read the file and return how many of its bytes are sound; None when it is another search's or missing."""
        try:
            first, *lines = read_file(self._path, SEARCH_JOURNAL).splitlines(keepends=True) or [b""]
            if first != header + b"\n":
                return None
            sound = len(first)
            decoder = msgspec.json.Decoder(_Line)
            for text in lines:
                if not text.endswith(b"\n"):
                    break
                line = decoder.decode(text)
                sound += len(text)
                if isinstance(line, _TrialLine):
                    self._trials[line.key] = line.trial
                else:
                    self._layers.setdefault(line.variant, {})[line.layer.layer] = line.layer
            return sound
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            return sound
        except OSError as error:
            problem: InvalidFileError = unreadable(self._path, error)
            raise problem from error


def _key(passes: Sequence[Pass]) -> str:
    return hashlib.sha256(msgspec.json.encode(list(passes))).hexdigest()
