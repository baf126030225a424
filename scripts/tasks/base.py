"""What one task of the benchmark is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.workshop import Workshop


@dataclass(frozen=True)
class BenchTask:
    """One model, how its files are made, and what it is judged by."""

    name: str
    kind: str
    """As the issue of the ten kinds names it."""
    about: str
    origin: str
    """The package that brings the model, or `trained here`."""
    judged_by: str
    """What the samples are, and where their labels come from."""
    metric: str
    max_drop: str
    """What `--max-drop` takes: one point of a share, one per cent of another metric."""
    prepare: Callable[[Workshop, Path], None]
    """Writes into a folder: the model, and `calibration` and `evaluation`, each a `.toml` with what it names, or an
    `.npz`."""
    model: str = "model.onnx"
    calibration: str = "calibration.toml"
    evaluation: str = "evaluation.toml"
    head: str = ""
    """For `--head`, where the data does not declare it."""
    labels_are_its_own: bool = False
    """No truth is to be had: the labels are the float model's answers. Counted apart."""


@dataclass(frozen=True)
class ReadyTask:
    """A task whose files are there."""

    task: BenchTask
    folder: Path

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def model(self) -> Path:
        return self.folder / self.task.model

    @property
    def calibration(self) -> Path:
        return self.folder / self.task.calibration

    @property
    def evaluation(self) -> Path:
        return self.folder / self.task.evaluation
