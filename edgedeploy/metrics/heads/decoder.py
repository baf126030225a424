"""What a head is: it reads the outputs of a batch, and gives an answer for each sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.heads.boxes import suppressed
from edgedeploy.values.data import Task
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Detections

Group = tuple[int, tuple[slice | np.ndarray, ...]]
"""The place of an output in the model's order, and what of it: `outputs[place][slices]`. The batch axis is the first;
an array holds the places of channels."""
_PICTURE_CHANNELS = (1, 3, 4)


class Decoder(ABC):
    """One head of one model. Subclasses read the outputs in the order of their kind."""

    reads = ""
    """The outputs that it expects, with their shapes, for errors."""
    fewest = 1
    """Outputs that it needs."""
    ranked = False
    """Whether the model itself puts its answers in the order of their scores: a row of one model's outputs is then not
    held against the same row of another's, which may be another object."""

    def __init__(self, head: Head, names: Sequence[str]) -> None:
        """
        Args:
            names: of the model's outputs in its order; empty where they are not known.

        Raises:
            UnsupportedError: the head names an output that the model does not have.
        """
        self.head = head
        unknown = [name for name in head.outputs if name not in names]
        if unknown and names:
            raise UnsupportedError(
                f"the head {head.kind} reads an output {unknown[0]!r}, which the model does not have",
                why=f"its outputs: {', '.join(names)}",
                hint="correct [head] outputs",
            )
        self.names = tuple(names)
        """Of the model's outputs; empty where they are not known."""

    def places(self, count: int) -> tuple[int, ...]:
        """Return the places of the outputs that it reads, in the order of its kind.

        Args:
            count: of the model's outputs.
        """
        if self.head.outputs and self.names:
            return tuple(self.names.index(name) for name in self.head.outputs)
        return tuple(range(count))

    def answers(self, outputs: Sequence[np.ndarray], feed: Feed | None, samples: int) -> tuple[Any, ...]:
        """Return the answer for each sample: `Detections`, an array, or a text.

        Args:
            outputs: of the model, in its order.
            feed: of the model: the extent of its picture scales what is relative to it.
            samples: in the batch.

        Raises:
            DatasetError: the outputs do not have the shapes of this kind.
        """
        chosen = [outputs[place] for place in self.places(len(outputs)) if place < len(outputs)]
        if len(chosen) < self.fewest:
            raise self.mismatch(outputs)
        found = self._answers(chosen, picture_size(feed))
        if len(found) != samples:
            raise DatasetError(
                f"the head {self.head.kind} gives {len(found)} answers for {samples} samples",
                why=_shapes(outputs),
                hint=f"it expects {self.reads}",
            )
        return tuple(found)

    @abstractmethod
    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> Sequence[Any]:
        """As `answers`.

        Args:
            outputs: in the order of the kind.
            size: height and width of the model's picture; None where no input is one.
        """

    def groups(self, shapes: Sequence[tuple[int, ...]]) -> dict[str, Group]:
        """Return which parts of which outputs mean what: `boxes`, `objectness`, `classes`, `keypoints`, `masks`.

        Args:
            shapes: of the model's outputs, in its order, batch axis included.
        """
        places = self.places(len(shapes))
        chosen = [shapes[place] for place in places if place < len(shapes)]
        if len(chosen) < self.fewest:
            return {}
        return {name: (places[output], slices) for name, (output, slices) in self._groups(chosen).items()}

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        return {}

    def option(self, name: str, default: Any) -> Any:
        """Return what `[head] options` says, or the kind's default."""
        return self.head.options.get(name, default)

    def suppressed(
        self, boxes: np.ndarray, scores: np.ndarray, *, score_min: float, iou_max: float, most: int
    ) -> tuple[Detections, np.ndarray]:
        """As `edgedeploy.metrics.heads.boxes.suppressed`, with what the head states.

        Args:
            score_min, iou_max, most: the kind's usual ones, where the head states none.
        """
        return suppressed(
            boxes,
            scores,
            score_min=score_min if self.head.score_min is None else self.head.score_min,
            iou_max=iou_max if self.head.iou_max is None else self.head.iou_max,
            most=self.head.most or most,
        )

    def needed_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Return the size of the model's picture.

        Raises:
            DatasetError: no input of the model is one.
        """
        if size is not None:
            return size
        height, width = self.option("height", 0), self.option("width", 0)
        if height and width:
            return int(height), int(width)
        raise DatasetError(
            f"the head {self.head.kind} needs the size of the model's picture, and no input looks like one",
            why="it gives coordinates relative to the picture",
            hint="state [head] options = { height = …, width = … }",
        )

    def mismatch(self, outputs: Sequence[np.ndarray]) -> DatasetError:
        """Return the error that outputs are not of this kind."""
        return DatasetError(
            f"the head {self.head.kind} does not fit the model's outputs",
            why=f"it expects {self.reads}; the outputs it reads: {_shapes(outputs)}",
            hint="name another kind of head, or the outputs that it reads in their order: [head] outputs = […]",
        )


class HeadKind(Struct, frozen=True, kw_only=True):
    """One kind of head."""

    name: str
    reads: str
    """The outputs that it expects."""
    task: Task
    """What models with it are for."""
    make: Callable[[Head, Sequence[str]], Decoder]


def picture_size(feed: Feed | None) -> tuple[int, int] | None:
    """Return height and width of the first input that looks like a picture: rank 4, with 1, 3 or 4 channels."""
    for array in (feed or {}).values():
        if array.ndim != 4:
            continue
        if array.shape[3] in _PICTURE_CHANNELS and array.shape[1] not in _PICTURE_CHANNELS:
            return array.shape[1], array.shape[2]
        if array.shape[1] in _PICTURE_CHANNELS:
            return array.shape[2], array.shape[3]
    return None


def _shapes(outputs: Sequence[np.ndarray]) -> str:
    return ", ".join(f"{output.dtype} {output.shape}" for output in outputs) or "none"
