"""The model that is optimized, and the data to run it on: opened and checked before any work is done."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.datasets.dataset import Dataset, Sample, open_dataset
from edgedeploy.datasets.synthetic import generated_samples
from edgedeploy.foundation.errors import EdgedeployError, UnsupportedError
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.foundation.sanitize import first_line
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.inference.repeatable import refuse_random
from edgedeploy.inference.session import Feed, Session, open_session
from edgedeploy.model.recorded_name import with_name
from edgedeploy.model.vocabulary import known_words
from edgedeploy.optimize.guard.evaluation import Data
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.model import ModelFacts

_PROBES = 2


class SourceModel(Struct, frozen=True, kw_only=True):
    """A float model as a user handed it over."""

    path: Path
    facts: ModelFacts
    name: str
    """Of the model on devices."""
    content: bytes
    """The model in one piece, its external data embedded."""

    @property
    def format(self) -> ModelFormat:
        """`"onnx"` or `"tflite"`."""
        return self.facts.format

    def graph(self) -> ir.Model:
        """Return the model as a graph of its own, which may be changed.

        Raises:
            UnsupportedError: onnx_ir cannot take it apart, or it is not ONNX.
        """
        if self.format != "onnx":
            raise UnsupportedError(f"{self.path} is a {self.format} model", why="this step works on ONNX models")
        try:
            return ir.from_proto(onnx.load_from_string(self.content))
        except Exception as error:
            # onnx_ir wraps whatever it stumbles over in classes of its own and of the standard library.
            raise UnsupportedError(f"{self.path} cannot be taken apart", why=first_line(error)) from error

    def as_it_came(self) -> bytes:
        """Return the file byte for byte; a model with external data as the one file that it becomes."""
        content = read_file(self.path, MODEL)
        return content if len(content) == self.facts.size_bytes else self.content

    def named(self, content: bytes) -> bytes:
        """Return a result with this model's name recorded in it, so that it replaces this model's releases on devices.

        It stays as it is if that alone would make it larger than this model: the evidence has the name too.
        """
        named = with_name(content, self.format, self.name)
        return content if len(content) <= self.facts.size_bytes < len(named) else named


class Datasets(Struct, frozen=True, kw_only=True):
    """What there is to run models on."""

    calibration: Dataset | None
    evaluation: Dataset | None
    generated: tuple[Sample, ...]
    """Made up, where there is no dataset; empty when the model takes none that was made up."""
    probes: tuple[Feed, ...]
    """A few feeds that passes are checked on."""

    @property
    def has_labels(self) -> bool:
        """Whether the evaluation data has labels."""
        return self.evaluation is not None and self.evaluation.has_labels

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the first feed, by input: where a model leaves extents open, work is counted at these."""
        return {name: array.shape for name, array in self.probes[0].items()} if self.probes else {}

    @property
    def evaluation_sha256(self) -> str | None:
        """Of the evaluation data; None when there is none."""
        return None if self.evaluation is None else self.evaluation.sha256

    @property
    def calibration_sha256(self) -> str | None:
        """Of the calibration data; None when there is none."""
        return None if self.calibration is None else self.calibration.sha256

    def for_judging(self) -> Data | None:
        """Return the best there is: evaluation data, else calibration data, else generated inputs."""
        if self.evaluation is not None:
            return Data(name="the evaluation data", dataset=self.evaluation)
        if self.calibration is not None:
            return Data(name="the calibration data", dataset=self.calibration)
        if self.generated:
            return Data(name="generated inputs", dataset=None, generated=self.generated)
        return None

    def notes(self, *, calibrated: bool) -> list[str]:
        """Return what speaks against trusting the figures.

        Args:
            calibrated: the result was made with the calibration data.
        """
        notes = [
            f"{dataset.skipped_count:,} samples of {dataset.spec} were left out, as they cannot be read; the first: "
            f"{dataset.skipped[0]}"
            for dataset in (self.calibration, self.evaluation)
            if dataset is not None and dataset.skipped_count
        ]
        # Data that nothing was made with speaks against no figure.
        if calibrated and self.calibration and self.evaluation and self.calibration_sha256 == self.evaluation_sha256:
            notes.append(
                "calibration and evaluation data are the same: the result was judged on what it was made with, and may "
                "do worse on other data"
            )
        return notes


def open_datasets(
    calibration: DatasetSpec | None, evaluation: DatasetSpec | None, facts: ModelFacts, source: bytes
) -> Datasets:
    """Open the data and run the model on a few samples, so that what does not fit is known before minutes of work.

    Args:
        calibration, evaluation: as `open_dataset` takes them; None when there is none.
        source: the serialized model that `facts` are of.

    Raises:
        InvalidFileError: a dataset is missing or malformed.
        UnknownNameError: a callable cannot be imported.
        DatasetError: a dataset does not fit the model.
        UnsupportedError: the runtime does not load the model, or the model answers otherwise each time.
        HostError: it is TensorFlow Lite, and the extra `tflite` is not installed.
    """
    opened = [None if spec is None else open_dataset(spec, facts.inputs) for spec in (calibration, evaluation)]
    session = open_session(source, facts.format, exact=True)
    dataset = opened[1] or opened[0]
    generated: tuple[Sample, ...] = ()
    if dataset is None:
        words = known_words(onnx.load_from_string(source)) if facts.format == "onnx" else {}
        generated = generated_samples(facts.inputs, lambda feed: _runs(session, feed), words=words)
    samples = dataset.samples() if dataset else iter(generated)
    probes = tuple(sample.feed for sample in itertools.islice(samples, _PROBES))
    for number, probe in enumerate(probes):
        answers = session.run(probe)
        if number == 0:
            refuse_random(session, probe, answers, facts.operators)
    return Datasets(calibration=opened[0], evaluation=opened[1], generated=generated, probes=probes)


def _runs(session: Session, feed: dict[str, np.ndarray]) -> bool:
    try:
        session.run(feed)
    except EdgedeployError:
        return False
    return True
