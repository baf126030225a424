"""Compile a model as it is, or with its preprocessing inside."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from edgedeploy.compile.build import compile_model
from edgedeploy.compile.candidates import candidates
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.preprocessing.audio_presets import AUDIO_PRESETS, audio_preprocessing
from edgedeploy.datasets.preprocessing.presets import resolve
from edgedeploy.datasets.source import load_source
from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.embed.embed import EmbeddedModel, PictureExtent, embed_preprocessing
from edgedeploy.values.bundle import Bundle
from edgedeploy.values.contract import Contract
from edgedeploy.values.data import DatasetSpec, DataSource
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import (
    AudioPreprocessing,
    ImagePreprocessing,
    TablePreprocessing,
    TextPreprocessing,
)
from edgedeploy.values.target import Target
from edgedeploy.verdict.contract import dataset_spec

_CHECKED = 8
"""Pictures of the golden data on which what goes in is held against what is declared."""
_CHECKED_PIXELS = 50_000_000
"""Of them together, which are in memory at once: 150 MB."""

_PICTURE_KEYS = frozenset(ImagePreprocessing.__struct_fields__)
_SOUND_KEYS = frozenset(AudioPreprocessing.__struct_fields__) - _PICTURE_KEYS
_TABLE_KEYS = frozenset((*TextPreprocessing.__struct_fields__, *TablePreprocessing.__struct_fields__)) - _PICTURE_KEYS
"""Of texts and tables: they have no presets."""
_ROW_LAYOUTS = ("time-first", "channels-first")


def declared_preprocessing(path: Path) -> dict[str, Any]:
    """Return the table `[preprocessing]` of a `data.toml`.

    Raises:
        InvalidFileError: the file cannot be read, or has no such table.
    """
    found = load_source(path).preprocessing
    if not found:
        raise InvalidFileError(
            f"{path} has no table [preprocessing]",
            why="it says what is done to samples before the model sees them",
            hint='add one, for example: preprocessing = { preset = "imagenet" }',
        )
    return found


def _declared(golden: DatasetSpec | None, contract: Contract | None) -> Mapping[str, Any]:
    """Return what the golden data, or else the contract, says of preprocessing."""
    if isinstance(golden, str) and golden.endswith(".toml"):
        return load_source(Path(golden)).preprocessing
    if isinstance(golden, DataSource):
        return golden.preprocessing
    if contract is None:
        return {}
    evaluation = dataset_spec(contract, contract.data.evaluation)
    return evaluation.preprocessing if isinstance(evaluation, DataSource) else contract.data.preprocessing


def compile_bundle(
    model: Path,
    target: Target,
    output: Path,
    *,
    name: str | None = None,
    version: str = "1",
    backend: str = "auto",
    golden: DatasetSpec | None = None,
    golden_samples: int = 8,
    input_shapes: Mapping[str, Sequence[int]] = {},
    contract: Contract | None = None,
    preprocessing: Mapping[str, Any] = {},
    embed: bool = False,
    pictures: PictureExtent | None = None,
    picture_color: Literal["rgb", "bgr"] = "rgb",
    progress: Progress = SILENT,
) -> Bundle:
    """Build `model` into a bundle: all that runs it on a device of the kind `target`, in a folder or in one file.

    The same inputs and tools give the same bytes. A bundle that is at `output` is replaced, whole.

    Args:
        model: an `.onnx` or `.tflite` file. External data is taken into the bundle's one model file.
            `MODEL.evidence.json`, which `optimize` writes, is taken into the manifest if it is about this very file.
        output: the folder to be written; a name that ends with `.edge` is that of one file.
        name: of the model on devices; by default the one that `optimize` recorded in the file or in its evidence, else
            the file's name, in lower case and without what a name cannot have.
        version: of the model on devices.
        backend: `"auto"` or a backend's name.
        golden: dataset whose first samples become the golden inputs; by default they are random.
        golden_samples: how many, at most.
        input_shapes: extents of the random golden inputs, by input name, where the model leaves them open.
        contract: what the model was handed over with; the bundle says so, and a device it is on.
        preprocessing: what is done to samples before the model sees them: the keys of `[preprocessing]` of a
            `data.toml`; by default, what the golden data or the contract says. The manifest says so.
        embed: put it into the model, whose input takes pictures then; `golden` gives pictures too.
        pictures: which the model takes with `embed`; None: any where the backend takes dynamic shapes, else those that
            are resized already.
        picture_color: the order of colors in them: as decoders give them, or as OpenCV does.

    Raises:
        InvalidFileError: the model or its evidence is missing or malformed, or `output` exists and is no bundle.
        UnsupportedError: the model's runtime does not load it, it is over 2 GB, the target cannot have the backend,
            name or version has other characters than a name can, golden inputs cannot be made up, or preprocessing
            cannot be put into it.
        DatasetError: the golden data or the preprocessing does not fit the model.
        UnknownNameError: there is no such preset.
        IntegrityError: the model is not the contract's, nor made from it.
        HostError: the runtime cannot be fetched, or `output` cannot be written.
    """

    def built(shapes: Mapping[str, Sequence[int]], table: Mapping[str, Any], embedded: Path | None) -> Bundle:
        return compile_model(
            model,
            target,
            output,
            name=name,
            version=version,
            backend=backend,
            golden=golden,
            golden_samples=golden_samples,
            input_shapes=shapes,
            contract=contract,
            preprocessing=table,
            embedded=embedded,
            progress=progress,
        )

    preprocessing = preprocessing or _declared(golden, contract)
    if not embed:
        return built(input_shapes, _written_out(model, preprocessing), None)
    if not preprocessing:
        raise UnsupportedError(
            "there is no preprocessing to put into the model",
            why="neither the golden data nor a contract declares any",
            hint="name the file that does: --preprocessing data.toml",
        )
    progress.step("putting preprocessing into the model")
    chosen = pictures or _taken_by(backend, model, target, progress)
    inside = embed_preprocessing(model, preprocessing, pictures=chosen, picture_color=picture_color, progress=progress)
    with scratch_folder() as folder:
        path = Path(folder) / "model.onnx"
        write_bytes(path, inside.content)
        if golden is not None:
            # Once more, with the pictures that the user has: what they show may be what made-up ones do not.
            samples = _pictures(golden, inspect_model(path).inputs)
            inside = embed_preprocessing(
                model, preprocessing, pictures=chosen, picture_color=picture_color, samples=samples, progress=progress
            )
            write_bytes(path, inside.content)
        declared = msgspec.to_builtins(inside.preprocessing.declared)
        return built({**_shape(inside, chosen), **input_shapes}, declared, path)


def _written_out(model: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table for the manifest; one for pictures or sound with the keys of its preset."""
    if table.get("preset") in AUDIO_PRESETS or _SOUND_KEYS & table.keys():
        sound = audio_preprocessing(DataSource(path=str(model), preprocessing=dict(table)))
        written: dict[str, Any] = msgspec.to_builtins(sound)
        return written
    by_column = any(isinstance(table.get(key), Mapping) for key in ("mean", "std"))
    of_rows = by_column or _TABLE_KEYS & table.keys() or table.get("layout") in _ROW_LAYOUTS
    if not table or of_rows:
        return dict(table)
    tensor = next((each for each in inspect_model(model).inputs if len(each.shape) in (3, 4)), None)
    declared: dict[str, Any] = msgspec.to_builtins(resolve(table, tensor))
    return declared


def _taken_by(backend: str, model: Path, target: Target, progress: Progress) -> PictureExtent:
    """Choose which pictures a model takes: any, where the first backend that is tried takes dynamic shapes."""
    facts = inspect_model(model)
    first = candidates(backend, target, facts.format, facts)[0].name
    if first.startswith("onnxruntime"):
        return "any"
    progress.note(
        f"resizing stays outside of the model: {first} takes inputs of one size; for pictures of one size, give "
        "--picture-size HEIGHTxWIDTH"
    )
    return "model"


def _pictures(golden: DatasetSpec, inputs: Sequence[TensorFacts]) -> Iterator[np.ndarray]:
    """Yield a few pictures of a dataset."""
    name = next(tensor.name for tensor in inputs if tensor.preprocessing is not None)
    pixels = 0
    for sample in itertools.islice(open_dataset(golden, inputs).samples(), _CHECKED):
        picture = np.asarray(sample.feed[name][0])
        pixels += picture.shape[0] * picture.shape[1]
        if pixels > _CHECKED_PIXELS:
            return
        yield picture


def _shape(inside: EmbeddedModel, chosen: PictureExtent) -> dict[str, tuple[int, ...]]:
    """Return the shape of made-up golden pictures, for models that take any."""
    embedded = inside.preprocessing
    if chosen != "any" or not embedded.resizes:
        return {}
    channels = 1 if embedded.declared.color == "gray" else 3
    return {inside.input: (1, embedded.height * 3 // 2 + 1, embedded.width * 2, channels)}
