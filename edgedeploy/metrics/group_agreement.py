"""The agreement of each group of channels by itself: of a declared head's, or found by `channel_groups`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from edgedeploy.metrics.agreement import TOO_LARGE, AgreementAccumulator, cosine_of, samples_in, sqnr_db_of
from edgedeploy.metrics.answers import SUM_TOLERANCE
from edgedeploy.metrics.channel_groups import ChannelRanges, channel_axis, channel_groups, named
from edgedeploy.metrics.heads.decoder import Group
from edgedeploy.values.quality import SQNR_FLOOR_DB, Agreement

DeclaredGroups = Callable[[Sequence[tuple[int, ...]]], Mapping[str, Group]]
"""Gives the groups of outputs of these shapes, as `Decoder.groups` does; none where it does not know."""


class ReferenceGroups:
    """Which channels of the reference's outputs mean the same: sums over all of its answers, added once, however many
    sessions are compared with it. Memory grows with the channels only."""

    def __init__(self, names: Sequence[str], declared: DeclaredGroups | None = None) -> None:
        """
        Args:
            names: of the outputs, in order.
            declared: of the model's head; None, or one that knows no group, leaves them to the values.
        """
        self.names = tuple(names)
        self._declared = declared
        self._of_head: dict[str, Group] = {}
        self._outputs = {name: _ReferenceSums() for name in names}

    def add(self, outputs: Sequence[np.ndarray]) -> ReferenceBatch:
        """Add the outputs of one run, in the order of the names; return them as `GroupAgreements` takes them."""
        samples = samples_in(outputs)
        of_head = self._declared([output.shape for output in outputs]) if self._declared is not None else {}
        of_head = {
            f"{self.names[place]}[{group}]": (place, slices)
            for group, (place, slices) in of_head.items()
            if outputs[place].dtype.kind in "biuf"
        }
        self._of_head |= of_head
        covered = {place for place, _ in of_head.values()}
        channels: dict[str, np.ndarray] = {}
        for place, (name, output) in enumerate(zip(self.names, outputs, strict=True)):
            if place not in covered and output.dtype.kind == "f":
                by_channel = self._outputs[name].add(output, samples)
                if by_channel is not None:
                    channels[name] = by_channel
        return ReferenceBatch(samples=samples, outputs=tuple(outputs), of_head=of_head, channels=channels)

    def groups(self) -> dict[str, Group]:
        """Return where each group lies, by its name: `"output[classes]"` of a head's, else as NumPy indexes it:
        `"output[:, 4:84]"`. Outputs whose channels are all of one kind have none."""
        found = dict(self._of_head)
        for place, name in enumerate(self.names):
            sums = self._outputs[name]
            for group in sums.groups():
                assert sums.axis is not None
                found[name + named(group, sums.axis)] = (place, (*[slice(None)] * sums.axis, np.array(group)))
        return found

    def sums(self, name: str) -> _ReferenceSums:
        """Return those of the channels of the output `name`."""
        return self._outputs[name]


class ReferenceBatch(Struct, frozen=True, kw_only=True, eq=False):
    """The reference's answers of one run."""

    samples: int
    outputs: tuple[np.ndarray, ...]
    of_head: Mapping[str, Group]
    channels: Mapping[str, np.ndarray]
    """Of outputs that no head covers: float64, shape (channels, all else)."""


class GroupAgreements:
    """Sums of one session for each group of a head, and for each channel of each other output."""

    def __init__(self, reference: ReferenceGroups) -> None:
        self._reference = reference
        self._of_head: dict[str, AgreementAccumulator] = {}
        self._outputs = {name: _ChannelSums(reference.sums(name)) for name in reference.names}

    def add(self, outputs: Sequence[np.ndarray], batch: ReferenceBatch) -> None:
        """Add the outputs of one run, in the order of the names. What has another shape than the reference is left
        out: `Agreement.other_shapes` of the output counts it."""
        for name, (place, slices) in batch.of_head.items():
            output, expected = outputs[place], batch.outputs[place]
            if output.shape == expected.shape:
                kept = self._of_head.setdefault(name, AgreementAccumulator())
                kept.add([output[slices]], [expected[slices]], samples=batch.samples)
        for place, name in enumerate(self._reference.names):
            channels = batch.channels.get(name)
            if channels is not None:
                same = outputs[place].shape == batch.outputs[place].shape
                self._outputs[name].add(outputs[place] if same else None, channels)

    def figures(self) -> dict[str, Agreement]:
        """Return the agreement of each group over all that was added, by the names of `ReferenceGroups.groups`."""
        found = {name: kept.figure() for name, kept in self._of_head.items()}
        for name, sums in self._outputs.items():
            found |= {name + part: agreement for part, agreement in sums.figures().items()}
        return found


class _ReferenceSums:
    """Sums over all elements of each channel of one output of the reference."""

    def __init__(self) -> None:
        self.axis: int | None = None
        self.samples = 0
        self.parts: dict[str, np.ndarray] = {}
        self._many_places = False
        self._distributions = True
        self._unusable = False

    def add(self, output: np.ndarray, samples: int) -> np.ndarray | None:
        """Return the values by channel, float64 of shape (channels, all else); None of what has no channels."""
        if self._unusable or not output.size:
            return None
        axis = channel_axis(output.shape) if self.axis is None else self.axis
        if axis is None or (self.parts and output.shape[axis] != self.parts["count"].size):
            # Extents that depend on values are no channels.
            self._unusable = True
            return None
        self.axis = axis
        self.samples += samples
        channels = _by_channel(output, axis)
        self._many_places |= channels.shape[1] > samples
        sound = np.abs(channels) < TOO_LARGE
        values = np.where(sound, channels, 0.0)
        _join(
            self.parts,
            {
                "count": np.count_nonzero(sound, axis=1).astype(np.float64),
                "low": values.min(axis=1),
                "high": values.max(axis=1),
                "sum": values.sum(axis=1),
                "squares": (values * values).sum(axis=1),
            },
        )
        self._distributions &= bool((np.abs(channels.sum(axis=0) - 1) <= SUM_TOLERANCE).all())
        return channels

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Return the channels of each group; none where all mean the same."""
        if self._unusable or self.axis is None:
            return ()
        count = np.maximum(self.parts["count"], 1)
        found = channel_groups(
            ChannelRanges(
                low=self.parts["low"],
                high=self.parts["high"],
                mean=self.parts["sum"] / count,
                rms=np.sqrt(self.parts["squares"] / count),
                many_places=self._many_places,
                distributions=self._distributions,
            )
        )
        return found if len(found) > 1 else ()


class _ChannelSums:
    """Sums over all elements of each channel of one output of a session, beside the reference's."""

    def __init__(self, reference: _ReferenceSums) -> None:
        self._reference = reference
        self._parts: dict[str, np.ndarray] = {}
        self._is_whole = True
        """Whether every output had the reference's shape."""

    def add(self, output: np.ndarray | None, expected: np.ndarray) -> None:
        """
        Args:
            output: None where it has another shape than the reference's.
            expected: as `_ReferenceSums.add` returned it.
        """
        if output is None:
            self._is_whole = False
            return
        assert self._reference.axis is not None
        _join(self._parts, _sums(_by_channel(output, self._reference.axis), expected))

    def figures(self) -> dict[str, Agreement]:
        groups = self._reference.groups()
        if not groups or not self._parts or not self._is_whole:
            return {}
        assert self._reference.axis is not None
        return {named(group, self._reference.axis): self._figure(np.array(group)) for group in groups}

    def _figure(self, group: np.ndarray) -> Agreement:
        total = {key: float(values[group].sum()) for key, values in self._parts.items()}
        expected = {key: float(self._reference.parts[key][group].sum()) for key in ("count", "squares")}
        nonfinite = int(total["nonfinite"])
        cosine: float = 0.0
        sqnr_db: float | None = SQNR_FLOOR_DB
        if not nonfinite:
            cosine = cosine_of(total["products"], total["squares"], expected["squares"], total["error_squares"])
            sqnr_db = sqnr_db_of(expected["squares"], total["error_squares"])
        return Agreement(
            samples=self._reference.samples,
            top1_match=None,
            max_abs_error=float(self._parts["largest_error"][group].max()),
            mean_abs_error=total["errors"] / expected["count"] if expected["count"] else 0.0,
            cosine=cosine,
            sqnr_db=sqnr_db,
            nonfinite_elements=nonfinite,
        )


_JOIN = {"low": np.minimum, "high": np.maximum, "largest_error": np.maximum}


def _join(parts: dict[str, np.ndarray], more: Mapping[str, np.ndarray]) -> None:
    for key, values in more.items():
        parts[key] = _JOIN.get(key, np.add)(parts[key], values) if key in parts else values


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
        "squares": (found * found).sum(axis=1),
        "products": (found * expected).sum(axis=1),
        "errors": np.abs(error).sum(axis=1),
        "error_squares": (error * error).sum(axis=1),
        "largest_error": np.abs(error).max(axis=1),
        "nonfinite": nonfinite,
    }
