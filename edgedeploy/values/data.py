"""Where samples are, and what is done to them: a `data.toml`, or the same keys as a table in a contract."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from edgedeploy.values.head import Head

Task = Literal[
    "classification",
    "detection",
    "segmentation",
    "instance-segmentation",
    "keypoints",
    "speech",
    "text",
    "series",
    "picture-to-picture",
    "embedding",
    "language-model",
]
"""What the model is for. It decides the metric and the agreement that are taken by default."""


class DataSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dataset, as it is declared."""

    path: str
    """A file or folder, relative to the file that names it."""
    format: str = ""
    """A name that `edgedeploy.datasets.reader` finds, e.g. `"coco"`; empty: what the path looks like."""
    labels: str = ""
    """A file of labels beside the samples (`labels.csv`, an annotation file, a manifest), relative like `path`."""
    split: str = ""
    """Of formats that have several: e.g. `"val"`."""
    task: Task | Literal[""] = ""
    class_names: tuple[str, ...] = ()
    """In the order of the model's classes; empty: as the data has them."""
    class_ids_from: int | None = None
    """Of COCO: a class's number is its category's id minus this. 1: as TensorFlow's detectors have it, 0:
    torchvision's; None: categories are numbered in the order of their ids, without gaps, as ultralytics does."""
    inputs: dict[str, tuple[str, ...]] = {}
    """Of tables: for each input of the model, the columns that it takes."""
    label_columns: tuple[str, ...] = ()
    window: int = 0
    """Of series: how many rows make a sample; 0: each row is one."""
    step: int = 1
    """Of series: rows from one window to the next."""
    group: str = ""
    """Of series: a column; a window has rows of one value only, e.g. of one machine or one person."""
    skip_broken: bool = False
    """Leave out samples that cannot be read, count and list them, instead of ending with an error."""
    preprocessing: dict[str, Any] = {}
    """The keys of `ImagePreprocessing`, `AudioPreprocessing`, `TablePreprocessing` or `TextPreprocessing`, by what the
    samples are."""
    target: dict[str, Any] = {}
    """Of pairs of pictures: what is done to the second one where that differs from `preprocessing`."""
    head: Head | None = None


DatasetSpec = str | DataSource
"""What `open_dataset` takes: a path or `package.module:callable`, or a dataset as it is declared."""


def dataset_name(spec: DatasetSpec) -> str:
    """Return what a dataset is called in messages, evidence and measurements."""
    return spec if isinstance(spec, str) else spec.path
