"""Writes and reads golden inputs and outputs: what the model answers on this machine, to compare the device with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.npz import npz_bytes
from edgedeploy.datasets.synthetic import made_up_picture, made_up_text
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, UnsupportedError
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import Progress
from edgedeploy.inference.element_types import NUMBERS, TEXT
from edgedeploy.inference.repeatable import refuse_random
from edgedeploy.inference.session import Feed, Session
from edgedeploy.inference.text import as_text, is_text
from edgedeploy.model.shapes import shapes_at_batch_one
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.model import ModelFacts, TensorFacts

_INPUT, _OUTPUT = "input:", "output:"
"""How keys begin in the files of golden samples."""
_HINT = "give real inputs: --golden DATA; or the shapes of random ones: --input-shape NAME=1x3x224x224"


class GoldenSample(Struct, frozen=True):
    """One sample: arrays by the names of the model's inputs and outputs."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


class Golden(Struct, frozen=True, kw_only=True):
    """What was written."""

    samples: int
    input_shapes: dict[str, tuple[int, ...]]
    """The shapes of the first sample's inputs, by name."""
    sources: tuple[str, ...] = ()
    """What each sample came from, where that is known."""


def write_golden(
    session: Session,
    facts: ModelFacts,
    folder: Path,
    *,
    data: DatasetSpec | None,
    samples: int,
    input_shapes: Mapping[str, Sequence[int]],
    progress: Progress,
    words: Mapping[str, Sequence[str]] = {},
) -> Golden:
    """Write `NNNN.npz` files with the keys `input:NAME` and `output:NAME` into `folder`.

    Args:
        session: the model without graph optimizations, on one thread, so that the same machine gives the same bytes.
        data: a dataset whose first samples are taken; None draws random ones (see `_random_feed`).
        samples: how many at most.
        input_shapes: of the random ones, where the model leaves extents open.
        words: that random text is drawn from, by input.

    Raises:
        DatasetError: the data does not fit the model, or the model answers NaN, or text that no file can hold, to it.
        UnsupportedError: without data, an input's shape is not known or the model does not run on random numbers;
            or the model answers otherwise each time.
    """
    feeds: Iterator[tuple[Feed, str]]
    if data is None:
        # Seeded by the model: another model has other inputs, the same one always the same.
        rng = np.random.default_rng(int(facts.sha256, 16))
        feeds = ((_random_feed(facts, input_shapes, words, rng), "") for _ in range(samples))
    else:
        feeds = ((sample.feed, sample.where) for sample in open_dataset(data, facts.inputs).samples())
    sources: list[str] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (feed, where) in enumerate(itertools.islice(feeds, samples)):
        try:
            answers = session.run(feed)
        except EdgedeployError as error:
            if data is None:
                raise UnsupportedError("the model does not run on random inputs", why=error.why, hint=_HINT) from error
            raise
        if number == 0:
            refuse_random(session, feed, answers, facts.operators)
        outputs = dict(zip(session.output_names, answers, strict=True))
        for name, output in outputs.items():
            _check_comparable(name, output, number, _HINT if data is None else "")
        arrays = {f"{_INPUT}{name}": array for name, array in feed.items()}
        arrays |= {f"{_OUTPUT}{name}": array for name, array in outputs.items()}
        write_bytes(_path(folder, number), npz_bytes(arrays))
        shapes = shapes or {name: array.shape for name, array in feed.items()}
        sources.append(where)
        progress.advance(len(sources), samples, "samples")
    return Golden(samples=len(sources), input_shapes=shapes, sources=tuple(sources))


def require_one_shape(what: str, feeds: Sequence[Feed], sources: Sequence[str]) -> None:
    """Refuse golden inputs of several shapes, for a backend whose result takes one.

    Args:
        what: takes one shape, for the message.
        feeds: of the golden samples.
        sources: what each came from; empty, or empty strings, where that is not known.

    Raises:
        UnsupportedError: an input has several shapes; the message names them and where they come from.
    """
    for name in feeds[0]:
        found: dict[tuple[int, ...], list[str]] = {}
        for number, feed in enumerate(feeds):
            where = sources[number] if number < len(sources) else ""
            found.setdefault(feed[name].shape, []).append(where or f"golden sample {number}")
        if len(found) > 1:
            shapes = [f"{'x'.join(map(str, shape)) or 'one number'} in {_listed(of)}" for shape, of in found.items()]
            raise UnsupportedError(
                f"{what} takes inputs {name!r} of one shape, and the golden samples have {len(found)}",
                why="; ".join(shapes),
                hint="give --golden a folder with files of one shape, the one that the device will see",
            )


def _listed(places: Sequence[str]) -> str:
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def read_golden(folder: Path, number: int) -> GoldenSample:
    """Read one of the samples that `write_golden` wrote into `folder`, counted from 0."""
    inputs: dict[str, np.ndarray] = {}
    outputs: dict[str, np.ndarray] = {}
    with np.load(_path(folder, number), allow_pickle=False) as arrays:
        for key in arrays.files:
            side, prefix = (inputs, _INPUT) if key.startswith(_INPUT) else (outputs, _OUTPUT)
            array = arrays[key]
            side[key.removeprefix(prefix)] = as_text(array) if array.dtype.kind == "U" else array
    return GoldenSample(inputs, outputs)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:04}.npz"


def _check_comparable(name: str, output: np.ndarray, number: int, hint: str) -> None:
    """
    Raises:
        DatasetError: the answer to golden sample `number` is one that a device's cannot be compared with.
    """
    if output.dtype.kind == "f" and np.isnan(output).any():
        raise DatasetError(
            f"the model answers NaN in output {name!r} to golden sample {number}",
            why="nothing could be compared with that on the device",
            hint=hint,
        )
    if is_text(output):
        try:
            as_text(output)
        except ValueError as error:
            raise DatasetError(
                f"the model's answer in output {name!r} to golden sample {number} cannot be kept",
                why=str(error),
                hint=hint,
            ) from error


def _random_feed(
    facts: ModelFacts,
    input_shapes: Mapping[str, Sequence[int]],
    words: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> Feed:
    """Draw one feed: floats from the standard normal distribution, as inputs mostly are scaled to; 8-bit integers over
    their whole range, as pictures have it; other integers 0 or 1, which are valid as indices, lengths and masks; text
    from the words that the model knows."""
    return {
        tensor.name: _random_array(tensor, shape, words.get(tensor.name, ()), rng)
        for tensor, shape in zip(facts.inputs, shapes_at_batch_one(facts.inputs, input_shapes).values(), strict=True)
    }


def _random_array(
    tensor: TensorFacts, shape: tuple[int | str, ...], words: Sequence[str], rng: np.random.Generator
) -> np.ndarray:
    extents = [extent for extent in shape if isinstance(extent, int)]
    if len(extents) < len(shape):
        raise UnsupportedError(
            f"input {tensor.name!r} has the dynamic shape ({', '.join(map(str, tensor.shape))})",
            why="golden inputs cannot be made up for it",
            hint=_HINT,
        )
    if tensor.preprocessing is not None:
        batch, height, width, channels = extents
        return np.stack([made_up_picture(height, width, channels, rng) for _ in range(batch)])
    if tensor.dtype in ("float16", "float32", "float64"):
        return rng.standard_normal(extents).astype(tensor.dtype)
    if tensor.dtype in ("int8", "uint8"):
        limits = np.iinfo(tensor.dtype)
        return rng.integers(limits.min, limits.max + 1, extents).astype(tensor.dtype)
    if tensor.dtype == TEXT:
        return made_up_text(extents, words, rng)
    if tensor.dtype in NUMBERS:
        return rng.integers(0, 2, extents).astype(tensor.dtype)
    raise UnsupportedError(f"golden inputs of type {tensor.dtype} cannot be made up for {tensor.name!r}", hint=_HINT)
