"""The agreement of each group of channels by itself: of a declared head's, or found by `channel_groups`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgedeploy.metrics.agreement import TOO_LARGE, AgreementAccumulator, cosine_of, samples_in, sqnr_db_of
from edgedeploy.metrics.answers import SUM_TOLERANCE
from edgedeploy.metrics.channel_groups import ChannelRanges, channel_axis, channel_groups, named
from edgedeploy.metrics.heads.decoder import Group
from edgedeploy.values.quality import SQNR_FLOOR_DB, Agreement

DeclaredGroups = Callable[[Sequence[tuple[int, ...]]], Mapping[str, Group]]
"""Gives the groups of outputs of these shapes, as `Decoder.groups` does; none where it does not know."""


class GroupAgreements:
    """Sums for each channel of each output, and what they give for each group. Memory grows with the channels only."""

    def __init__(self, names: Sequence[str], declared: DeclaredGroups | None = None) -> None:
        """
        Args:
            names: of the outputs, in order.
            declared: of the model's head; None, or one that knows no group, leaves them to the values.
        """
        self._names = tuple(names)
        self._declared = declared
        self._of_head: dict[str, AgreementAccumulator] = {}
        self._outputs = {name: _ChannelSums() for name in names}

    def add(self, outputs: Sequence[np.ndarray], reference_outputs: Sequence[np.ndarray]) -> None:
        """Add the outputs of one run, in the order of the names. What has another shape than the reference is left
        out: `Agreement.other_shapes` of the output counts it."""
        samples = samples_in(reference_outputs)
        shapes = [output.shape for output in reference_outputs]
        groups = self._declared(shapes) if self._declared is not None else {}
        for group, (place, slices) in groups.items():
            output, reference = outputs[place], reference_outputs[place]
            if output.shape == reference.shape and reference.dtype.kind in "biuf":
                key = f"{self._names[place]}[{group}]"
                kept = self._of_head.setdefault(key, AgreementAccumulator())
                kept.add([output[slices]], [reference[slices]], samples=samples)
        covered = {place for place, _ in groups.values()}
        for place, (name, output, reference) in enumerate(zip(self._names, outputs, reference_outputs, strict=True)):
            if place not in covered and output.shape == reference.shape and reference.dtype.kind == "f":
                self._outputs[name].add(output, reference, samples)

    def figures(self) -> dict[str, Agreement]:
        """Return the agreement of each group over all that was added: `"output[classes]"` of a head's, else as NumPy
        indexes it: `"output[:, 4:84]"`. Outputs whose channels are all of one kind have none."""
        found = {name: kept.figure() for name, kept in self._of_head.items()}
        for name, sums in self._outputs.items():
            found |= {name + part: agreement for part, agreement in sums.figures().items()}
        return found


class _ChannelSums:
    """Sums over all elements of each channel of one output."""

    def __init__(self) -> None:
        self._axis: int | None = None
        self._samples = 0
        self._many_places = False
        self._distributions = True
        self._parts: dict[str, np.ndarray] = {}
        self._unusable = False

    def add(self, output: np.ndarray, reference: np.ndarray, samples: int) -> None:
        if self._unusable or not reference.size:
            return
        axis = channel_axis(reference.shape) if self._axis is None else self._axis
        if axis is None or (self._parts and reference.shape[axis] != self._parts["count"].size):
            # Extents that depend on values are no channels.
            self._unusable = True
            return
        self._axis = axis
        self._samples += samples
        expected, found = (_by_channel(each, axis) for each in (reference, output))
        self._many_places |= expected.shape[1] > samples
        for key, values in _sums(found, expected).items():
            self._parts[key] = _JOIN.get(key, np.add)(self._parts[key], values) if key in self._parts else values
        totals = expected.sum(axis=0)
        self._distributions &= bool((np.abs(totals - 1) <= SUM_TOLERANCE).all())

    def figures(self) -> dict[str, Agreement]:
        if self._unusable or self._axis is None:
            return {}
        parts, count = self._parts, np.maximum(self._parts["count"], 1)
        groups = channel_groups(
            ChannelRanges(
                low=parts["low"],
                high=parts["high"],
                mean=parts["sum"] / count,
                rms=np.sqrt(parts["reference_squares"] / count),
                many_places=self._many_places,
                distributions=self._distributions,
            )
        )
        if len(groups) < 2:
            return {}
        return {named(group, self._axis): self._figure(np.array(group)) for group in groups}

    def _figure(self, group: np.ndarray) -> Agreement:
        total = {key: float(values[group].sum()) for key, values in self._parts.items()}
        nonfinite = int(total["nonfinite"])
        cosine: float = 0.0
        sqnr_db: float | None = SQNR_FLOOR_DB
        if not nonfinite:
            squares, errors = total["reference_squares"], total["error_squares"]
            cosine = cosine_of(total["products"], total["squares"], squares, errors)
            sqnr_db = sqnr_db_of(squares, errors)
        return Agreement(
            samples=self._samples,
            top1_match=None,
            max_abs_error=float(self._parts["largest_error"][group].max()),
            mean_abs_error=total["errors"] / total["count"] if total["count"] else 0.0,
            cosine=cosine,
            sqnr_db=sqnr_db,
            nonfinite_elements=nonfinite,
        )


_JOIN = {"low": np.minimum, "high": np.maximum, "largest_error": np.maximum}


def _by_channel(values: np.ndarray, axis: int) -> np.ndarray:
    """Return float64 of shape (channels, all else)."""
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float64)


def _sums(found: np.ndarray, expected: np.ndarray) -> dict[str, np.ndarray]:
    """Return sums over the elements of each channel: float64, shape (channels,)."""
    sound = (np.abs(found) < TOO_LARGE) & (np.abs(expected) < TOO_LARGE)
    # Infinities that are meant agree when they are the same.
    nonfinite = np.count_nonzero(~sound & (found != expected), axis=1).astype(np.float64)
    found, expected = np.where(sound, found, 0.0), np.where(sound, expected, 0.0)
    error = found - expected
    return {
        "count": np.count_nonzero(sound, axis=1).astype(np.float64),
        "low": expected.min(axis=1),
        "high": expected.max(axis=1),
        "sum": expected.sum(axis=1),
        "squares": (found * found).sum(axis=1),
        "reference_squares": (expected * expected).sum(axis=1),
        "products": (found * expected).sum(axis=1),
        "errors": np.abs(error).sum(axis=1),
        "error_squares": (error * error).sum(axis=1),
        "largest_error": np.abs(error).max(axis=1),
        "nonfinite": nonfinite,
    }
