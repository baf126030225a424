"""The model that is optimized, and the data it is judged on: opened and checked before any work is done."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from edgedeploy.datasets.dataset import Sample, open_dataset
from edgedeploy.datasets.synthetic import generated_samples
from edgedeploy.foundation.errors import EdgedeployError, UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.inference.session import Session, open_session
from edgedeploy.metrics.classification import find_metric
from edgedeploy.metrics.metric import Metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import load_onnx
from edgedeploy.optimize.base import Context, first_line
from edgedeploy.optimize.guard.board import Board
from edgedeploy.optimize.guard.guard import Data, GuardResult, judge
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.values.contract import Allowance
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.target import Target

_PROBES = 2


class SourceModel:
    """A float model with its calibration and evaluation data, and whatever results are held against it."""

    def __init__(
        self,
        model: Path,
        *,
        calibration: str | None,
        evaluation: str | None,
        metric: str,
        target: Target | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """
        Raises:
            InvalidFileError: `model` or a dataset is missing or malformed.
            DatasetError: a dataset does not fit the model.
            UnsupportedError: the model cannot be taken: over 2 GB, or its runtime does not load it.
            HostError: it is TensorFlow Lite, and the extra `tflite` is not installed.
            UnknownNameError: there is no such metric.
        """
        facts = inspect_model(model)
        judged_metric = find_metric(metric)
        self.path = model
        self.target = target
        self.progress = progress
        self.format = facts.format
        self.content = model.read_bytes() if facts.format == "tflite" else load_onnx(model).SerializeToString()
        """The model in one piece, its external data embedded."""
        self.data = Datasets(calibration, evaluation, facts, self.content)
        self.metric: Metric | None = judged_metric if self.data.has_labels else None
        self.shapes = {name: array.shape for name, array in self.data.probes[0].items()} if self.data.probes else {}
        """Of the data's first feed: where the file leaves extents open, work is counted at these."""
        self.facts: ModelFacts = inspect_model(model, self.shapes)

    def graph(self) -> ir.Model:
        """The model in objects of its own.

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

    def context(self, progress: Progress | None = None) -> Context:
        """What passes may use."""
        return Context(
            target=self.target,
            calibration=self.data.calibration,
            probes=self.data.probes,
            progress=progress or self.progress,
        )

    def as_it_came(self) -> bytes:
        """The model byte for byte, where that is one file; with external data, the one file that it becomes."""
        content = self.path.read_bytes()
        return content if len(content) == self.facts.size_bytes else self.content

    def judge(
        self,
        result: bytes,
        *,
        max_drop: float,
        tolerance: float | None,
        speed: SpeedJudge | None,
        board: Board | None = None,
        allowed: Collection[Allowance] = (),
    ) -> GuardResult:
        """Hold a result against the model, on the best data there is."""
        return judge(
            self.content,
            result,
            source_size_bytes=self.facts.size_bytes,
            data=self.data.for_judging(),
            metric=self.metric,
            max_drop=max_drop,
            tolerance=tolerance,
            speed=speed,
            board=board,
            allowed=allowed,
            progress=self.progress,
        )


class Datasets:
    """What there is to run models on."""

    def __init__(self, calibration: str | None, evaluation: str | None, facts: ModelFacts, source: bytes) -> None:
        self.calibration = open_dataset(calibration, facts.inputs) if calibration is not None else None
        self.evaluation = open_dataset(evaluation, facts.inputs) if evaluation is not None else None
        self.has_labels = self.evaluation is not None and self.evaluation.has_labels
        self._generated: tuple[Sample, ...] = ()
        # A model that does not load, or data that it does not run on, are known before minutes of work.
        session = open_session(source, facts.format, exact=True)
        dataset = self.evaluation or self.calibration
        if dataset is None:
            self._generated = generated_samples(facts.inputs, lambda feed: _runs(session, feed))
        chosen = itertools.islice(dataset.samples(), _PROBES) if dataset else self._generated[:_PROBES]
        self.probes = tuple(sample.feed for sample in chosen)
        """A few feeds that passes are checked on."""
        for probe in self.probes:
            session.run(probe)

    def for_judging(self) -> Data | None:
        """The best there is: evaluation data, else calibration data, else generated inputs."""
        if self.evaluation is not None:
            return Data(name="the evaluation data", dataset=self.evaluation)
        if self.calibration is not None:
            return Data(name="the calibration data", dataset=self.calibration)
        if self._generated:
            return Data(name="generated inputs", dataset=None, generated=self._generated)
        return None

    def notes(self) -> list[str]:
        """What speaks against trusting the figures."""
        if self.calibration and self.evaluation and self.calibration.sha256 == self.evaluation.sha256:
            return [
                "calibration and evaluation data are the same: the result was judged on what it was made with, and may "
                "do worse on other data"
            ]
        return []


def _runs(session: Session, feed: dict[str, np.ndarray]) -> bool:
    try:
        session.run(feed)
    except EdgedeployError:
        return False
    return True
