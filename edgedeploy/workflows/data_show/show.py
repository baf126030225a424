"""Look at a dataset as a model will see it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import structs

from edgedeploy.datasets.base import Dataset, Sample
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.picture_dataset import LabeledPicture, PictureDataset
from edgedeploy.datasets.sampling import spread_indices
from edgedeploy.datasets.source import load_source
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.model.inspect import inspect_model
from edgedeploy.values.data import DatasetSpec, DataSource, dataset_name
from edgedeploy.values.data_summary import ClassCount, DataSummary, SeenInput
from edgedeploy.values.model import ModelFacts, TensorFacts
from edgedeploy.workflows.data_show.contact_sheet import MOST_TILES, Tile, contact_sheet, tiles_of
from edgedeploy.workflows.data_show.observed import Observed
from edgedeploy.workflows.data_show.steps import in_words
from edgedeploy.workflows.data_show.trial import model_classes, trial_warnings
from edgedeploy.workflows.data_show.warnings import (
    calibration_warnings,
    class_warnings,
    flat_warning,
    number_folder_warning,
    range_warnings,
)

LOOKED_AT = 200


def data_show(
    data: DatasetSpec,
    model: Path,
    *,
    calibration: DatasetSpec | None = None,
    metric: str | None = None,
    contact_sheet_file: Path | None = None,
    samples: int = LOOKED_AT,
    progress: Progress = SILENT,
) -> DataSummary:
    """Look at a dataset as a model will see it: what it is, what is in it, and what is typical for mistakes.

    The model is run on a few samples, as they are declared and with colors or numbers of classes changed.

    Args:
        data: as `open_dataset` takes it.
        calibration: other data for the same model, whose ranges this data is compared with.
        metric: by which the model's answers are judged; None: that of the task.
        contact_sheet_file: a PNG to write, with the first samples and their labels.
        samples: that are looked at, spread over the dataset.

    Raises:
        InvalidFileError, UnknownNameError, HostError: as `open_dataset`.
        DatasetError: likewise; or samples are no pictures, and a contact sheet is asked for.
    """
    facts = inspect_model(model)
    progress.step(f"looking at {dataset_name(data)}")
    dataset = open_dataset(data, facts.inputs)
    observed, tiles = Observed(facts.inputs), list[Tile]()
    sizes, notes = list[tuple[int, int]](), Counter[str]()
    for sample, picture in _looked_at(dataset, samples):
        observed.add(sample)
        if len(tiles) < MOST_TILES and contact_sheet_file is not None:
            tiles += tiles_of(sample, dataset)
        if picture is not None:
            sizes.append((picture.prepared.geometry.source_width, picture.prepared.geometry.source_height))
            notes.update(picture.notes)
        progress.advance(observed.samples, min(samples, dataset.count or samples), "samples")
    counts = dataset.class_counts()
    summary = DataSummary(
        data=dataset_name(data),
        format=dataset.format,
        why=dataset.why,
        task=dataset.task,
        samples=dataset.count,
        looked_at=observed.samples,
        labels=", ".join(f"{count:,} x {kind}" for kind, count in observed.kinds.most_common()) or "none",
        classes=_classes(dataset, observed, counts),
        all_counted=counts is not None,
        picture_sizes=_middle_and_extremes(sizes),
        notes=(
            *dataset.notes,
            *(f"{note}: {count:,} of {observed.samples:,} pictures" for note, count in notes.most_common()),
        ),
        preprocessing=in_words(dataset.preprocessing),
        inputs=observed.inputs(),
        skipped=dataset.skipped_count,
        skipped_samples=dataset.skipped,
        warnings=(),
    )
    progress.step("looking for what is typical for mistakes")
    known = _inputs_of(calibration, facts.inputs, samples) if calibration is not None else ()
    warnings = (
        *range_warnings(summary.inputs),
        *calibration_warnings(summary.inputs, known),
        *flat_warning(observed.flat, observed.samples),
        *class_warnings(summary.classes, outputs=model_classes(facts, dataset.task, dataset.head), task=dataset.task),
        *number_folder_warning(summary),
        *(_trials(model, facts, dataset, data, metric) if dataset.has_labels else ()),
    )
    if contact_sheet_file is not None:
        if not tiles:
            raise DatasetError(f"{dataset_name(data)} holds no pictures", hint="leave out --contact-sheet")
        write_bytes(contact_sheet_file, contact_sheet(tiles[:MOST_TILES]))
    sheet = None if contact_sheet_file is None else str(contact_sheet_file)
    return structs.replace(summary, warnings=warnings, contact_sheet=sheet)


def _looked_at(dataset: Dataset, samples: int) -> Iterator[tuple[Sample, LabeledPicture | None]]:
    """Yield samples spread over a dataset, with what is known of the picture behind each."""
    if not isinstance(dataset, PictureDataset):
        found = dataset.samples() if dataset.count is None else dataset.chosen(spread_indices(dataset.count, samples))
        yield from ((sample, None) for sample in itertools.islice(found, samples))
        return
    for picture in dataset.labeled_pictures(spread_indices(len(dataset.pictures), samples)):
        yield dataset.sample_of([picture]), picture


def _inputs_of(data: DatasetSpec, inputs: tuple[TensorFacts, ...], samples: int) -> Sequence[SeenInput]:
    observed = Observed(inputs)
    for sample, _ in _looked_at(open_dataset(data, inputs), samples):
        observed.add(sample)
    return observed.inputs()


def _classes(dataset: Dataset, observed: Observed, counts: Sequence[int] | None) -> tuple[ClassCount, ...]:
    found = dict(enumerate(counts)) if counts is not None else dict(observed.classes)
    names = dataset.class_names
    numbers = sorted({*found, *range(len(names))})
    return tuple(
        ClassCount(number=number, name=names[number] if 0 <= number < len(names) else "", count=found.get(number, 0))
        for number in numbers
        if found.get(number, 0) or number < len(names)
    )


def _middle_and_extremes(sizes: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    if not sizes:
        return ()
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return tuple(dict.fromkeys((ordered[0], ordered[len(ordered) // 2], ordered[-1])))


def _trials(model: Path, facts: ModelFacts, dataset: Dataset, data: DatasetSpec, metric: str | None) -> Iterator[str]:
    if isinstance(data, DataSource):
        source = data
    elif Path(data).suffix == ".toml":
        source = load_source(Path(data))
    else:
        source = DataSource(path=data)
    return trial_warnings(model, facts, dataset, source, metric)
