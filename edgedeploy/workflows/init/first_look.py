"""What can be seen of data before anything is tried: its format, its task, its labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from edgedeploy.datasets.base import Sample
from edgedeploy.datasets.dataset import open_dataset, reader_of
from edgedeploy.datasets.source import load_source
from edgedeploy.datasets.splits import SPLITS, judging_part
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.values.data import DataSource, Task
from edgedeploy.values.guess import Guess
from edgedeploy.values.labels import Detections
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.preprocessing import AudioPreprocessing, ImagePreprocessing
from edgedeploy.workflows.init.candidates import (
    WayOfPreparing,
    ways_of_preparing,
    ways_of_preparing_sound,
)

_VALUES_OF_POINT = (2, 3)
"""x and y, and how sure."""
_TRAINING = ("train", "training")


def declared_source(data: str) -> DataSource:
    """Return what a path declares: of a `data.toml` its keys, else the path alone."""
    path = Path(data)
    return load_source(path) if path.suffix == ".toml" and path.is_file() else DataSource(path=data)


def with_part(source: DataSource, guesses: list[Guess]) -> DataSource:
    """Return a source that names the part for judging, where the data comes in parts and none is named."""
    part = judging_part(Path(source.path)) if not source.split else ""
    if not part:
        return source
    guesses.append(Guess(key="part", value=part, reason="the data comes in parts, and this is the one for judging"))
    return structs.replace(source, split=part)


def with_format(source: DataSource, guesses: list[Guess]) -> DataSource:
    """Return a source that names its format, so that it stays the same when files are added beside it."""
    found = reader_of(source)
    if found is None:
        return source
    reader, why = found
    guesses.append(Guess(key="format", value=reader.name, reason=why))
    return structs.replace(source, format=reader.name)


def ways(source: DataSource, preset: str, facts: ModelFacts, task: Task | None) -> list[WayOfPreparing]:
    """List the preprocessings that are possible: the declared one alone, where there is one."""
    if preset:
        return [WayOfPreparing(name=f"preset {preset}", keys={**source.preprocessing, "preset": preset})]
    found = reader_of(source)
    if not source.preprocessing and found is not None and facts.inputs:
        if found[0].preprocessing is ImagePreprocessing:
            return ways_of_preparing(task, facts.inputs[0])
        if found[0].preprocessing is AudioPreprocessing:
            return ways_of_preparing_sound(facts.inputs)
    return [WayOfPreparing(name="as declared", keys=source.preprocessing)]


def first_sample(
    source: DataSource, possible: Sequence[WayOfPreparing], facts: ModelFacts
) -> tuple[Sample, Task | None]:
    """Return a sample with its labels, in any of the ways that fit, and the task that the data has.

    Raises:
        DatasetError: there are no labels; or as `open_dataset`, where no way fits.
        InvalidFileError, UnknownNameError, HostError: as `open_dataset`.
    """
    refused: EdgedeployError | None = None
    for way in possible:
        try:
            dataset = open_dataset(structs.replace(source, preprocessing=way.keys), facts.inputs)
            sample = next(dataset.samples())
        except EdgedeployError as error:
            refused = refused or error
            continue
        if not dataset.has_labels:
            raise DatasetError(
                f"{source.path} has no labels",
                why="a contract promises how good a model is",
                hint="name labeled data; pictures without labels serve as --calibration",
            )
        return sample, dataset.task
    assert refused is not None
    raise refused


def finer_task(
    source: DataSource, possible: Sequence[WayOfPreparing], facts: ModelFacts
) -> tuple[Task, str, Sample] | None:
    """Return the task of labeled objects that also have keypoints or outlines, where the outputs are those of such a
    model, with its reason and a sample read for it; None where they are those of a detector of boxes."""
    ranks = [len(output.shape) for output in facts.outputs]
    is_of_points = ranks[:1] == [4] or (ranks[:1] == [3] and facts.outputs[0].shape[2] in _VALUES_OF_POINT)
    wanted: Task
    if ranks[:2] == [3, 4]:
        wanted, reason = "instance-segmentation", "objects have outlines, and the second output is prototypes of masks"
    elif is_of_points:
        wanted, reason = "keypoints", "objects have keypoints, and the first output has a map or a place for each point"
    else:
        return None
    try:
        sample, _ = first_sample(structs.replace(source, task=wanted), possible, facts)
    except EdgedeployError:
        return None
    labels = sample.labels
    first = labels[0] if isinstance(labels, tuple) else None
    if not isinstance(first, Detections):
        return None
    has_masks = first.masks is not None and bool(first.masks.any())
    return (wanted, reason, sample) if (keypoints_of(sample) if wanted == "keypoints" else has_masks) else None


def task_of(sample: Sample, facts: ModelFacts) -> tuple[Task | None, str]:
    """Return what labels and outputs look like, and why; None where labels are numbers to be estimated."""
    labels = sample.labels
    rank = len(facts.outputs[0].shape) if facts.outputs else 0
    if isinstance(labels, tuple):
        first: Any = labels[0]
        if isinstance(first, Detections):
            return "detection", "its labels are boxes"
        return (
            ("speech", "its labels are texts")
            if isinstance(first, str)
            else ("picture-to-picture", "labels are arrays")
        )
    if labels is not None and labels.dtype.kind in "iu" and labels.ndim == 1 and rank == 2:
        return "classification", "each label is a number of a class, and the first output has a score for each"
    if labels is not None and labels.dtype.kind in "iu" and labels.ndim == 3:
        return "segmentation", "its labels are masks"
    return None, "its labels are numbers to be estimated"


def keypoints_of(sample: Sample) -> int:
    """Return how many points the labeled objects have; 0 without."""
    labels = sample.labels
    if isinstance(labels, tuple) and isinstance(labels[0], Detections) and labels[0].keypoints is not None:
        return int(labels[0].keypoints.shape[1])
    return 0


def calibration_for(source: DataSource, facts: ModelFacts, guesses: list[Guess]) -> DataSource | None:
    """Return data for calibration: the training part beside the data, else the data itself; None of arrays."""
    if reader_of(source) is None:
        reason = "none is named, so that the recipe is one that needs none: --calibration names typical inputs"
        guesses.append(Guess(key="calibration", value="none", reason=reason))
        return None
    path = Path(source.path)
    plain = structs.replace(source, head=None)
    beside = [structs.replace(plain, split=name) for name in _TRAINING if name != source.split]
    if path.stem in SPLITS and path.stem not in _TRAINING:
        beside += [structs.replace(plain, path=str(path.with_name(name + path.suffix))) for name in _TRAINING]
    for one in beside:
        try:
            open_dataset(one, facts.inputs)
        except EdgedeployError:
            continue
        where = one.split or one.path
        guesses.append(Guess(key="calibration", value=where, reason="it is the training part beside the data"))
        return one
    reason = "there is no training part beside it; name other typical inputs with --calibration to judge on unseen data"
    guesses.append(Guess(key="calibration", value=source.path, reason=reason))
    return plain


def is_of_numbers(sample: Sample) -> bool:
    """Return whether labels are numbers to be estimated."""
    return isinstance(sample.labels, np.ndarray) and sample.labels.dtype.kind == "f"
