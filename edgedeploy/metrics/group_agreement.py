"""The agreement of each group of channels by itself: of a declared head's, or found by `channel_groups`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct, structs

from edgedeploy.metrics.agreement import TOO_LARGE, AgreementAccumulator, cosine_of, samples_in, sqnr_db_of
from edgedeploy.metrics.answers import SUM_TOLERANCE
from edgedeploy.metrics.channel_groups import ChannelRanges, channel_axis, channel_groups, named
from edgedeploy.metrics.deviation import Deviation, with_deviation
from edgedeploy.metrics.heads.decoder import Group
from edgedeploy.values.quality import SQNR_FLOOR_DB, Agreement

LEAST_GROUP_SQNR_DB = 10.0
"""Of each group of channels of one output, with labels and without: a group whose error has more than a tenth of its
power is mostly noise, and a metric that looks at boxes alone, or at a sum in which scores do not count, says nothing of
it. Of 115 detections on 64 pictures an INT8 YOLOv8n kept all where its scores had 10.7 dB and more, 96 % at 7.1 dB and
77 % at 5.4 dB; scores that were noise had -16 to 0 dB."""

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
        self._deviations: dict[str, Deviation] = {}
        self._whole = {name: Deviation() for name in names}
        self._outputs = {name: _ReferenceSums(self._whole[name]) for name in names}

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
        for name, (place, slices) in of_head.items():
            self._deviations.setdefault(name, Deviation()).add(outputs[place][slices], samples)
        covered = {place for place, _ in of_head.values()}
        channels: dict[str, np.ndarray] = {}
        for place, (name, output) in enumerate(zip(self.names, outputs, strict=True)):
            if place not in covered and output.dtype.kind == "f":
                self._whole[name].add(output, samples)
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

    def deviation(self, name: str) -> float | None:
        """Return the sum of squares by which a head's group differs from its mean over samples; None if not known."""
        power = self._deviations[name].power()
        return None if power is None else float(power)

    def of_whole(self, agreement: Agreement, name: str, error_squares: float) -> Agreement:
        """Return the agreement of the output `name` with its SQNR against what depends on the input.

        Args:
            error_squares: over all of its elements.
        """
        power = self._whole[name].power()
        return with_deviation(agreement, error_squares, None if power is None else float(power))

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
        self._drifts: dict[str, _Drift] = {}
        self._outputs = {name: _ChannelSums(reference.sums(name)) for name in reference.names}

    def add(self, outputs: Sequence[np.ndarray], batch: ReferenceBatch) -> None:
        """Add the outputs of one run, in the order of the names. What has another shape than the reference is left
        out: `Agreement.other_shapes` of the output counts it."""
        for name, (place, slices) in batch.of_head.items():
            output, expected = outputs[place], batch.outputs[place]
            if output.shape == expected.shape:
                kept = self._of_head.setdefault(name, AgreementAccumulator())
                kept.add([output[slices]], [expected[slices]], samples=batch.samples)
                drift = self._drifts.setdefault(name, _Drift())
                drift.add(output[slices].astype(np.float64) - expected[slices], channel_axis(expected.shape))
        for place, name in enumerate(self._reference.names):
            channels = batch.channels.get(name)
            if channels is not None:
                same = outputs[place].shape == batch.outputs[place].shape
                self._outputs[name].add(outputs[place] if same else None, channels)

    def figures(self) -> dict[str, Agreement]:
        """Return the agreement of each group over all that was added, by the names of `ReferenceGroups.groups`."""
        found = {
            name: _completed(
                kept.figure(), kept.error_squares, self._reference.deviation(name), self._drifts[name].power()
            )
            for name, kept in self._of_head.items()
        }
        for name, sums in self._outputs.items():
            found |= {name + part: agreement for part, agreement in sums.figures().items()}
        return found


class _ReferenceSums:
    """Sums over all elements of each channel of one output of the reference."""

    def __init__(self, deviation: Deviation) -> None:
        """
        Args:
            deviation: of the output; whoever adds to these sums adds to it.
        """
        self.axis: int | None = None
        self.samples = 0
        self.parts: dict[str, np.ndarray] = {}
        self._many_places = False
        self._distributions = True
        self._unusable = False
        self._deviation = deviation

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

    def deviation(self, group: np.ndarray) -> float | None:
        """Return the sum of squares by which these channels differ from their mean over samples; None if not known."""
        power = self._deviation.power(self.axis)
        return None if power is None else float(power[group].sum())

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
        agreement = Agreement(
            samples=self._reference.samples,
            top1_match=None,
            max_abs_error=float(self._parts["largest_error"][group].max()),
            mean_abs_error=total["errors"] / expected["count"] if expected["count"] else 0.0,
            cosine=cosine,
            sqnr_db=sqnr_db,
            nonfinite_elements=nonfinite,
        )
        counts = np.maximum(self._reference.parts["count"][group], 1)
        drift = float((self._parts["drift"][group] ** 2 / counts).sum())
        return _completed(agreement, total["error_squares"], self._reference.deviation(group), drift)


class _Drift:
    """By how much each channel of a head's group is moved, the same for all samples and places."""

    def __init__(self) -> None:
        self._sum: np.ndarray | float = 0.0
        self._count = 0

    def add(self, error: np.ndarray, axis: int | None) -> None:
        others = tuple(place for place in range(error.ndim) if place != axis)
        self._sum = self._sum + np.nan_to_num(error, posinf=0.0, neginf=0.0).sum(axis=others)
        self._count += error.size // max(np.size(self._sum), 1)

    def power(self) -> float:
        """Return the part of the sum of squared errors that this is."""
        return float(np.sum(np.square(self._sum)) / max(self._count, 1))


def _completed(agreement: Agreement, error_squares: float, deviation: float | None, drift: float) -> Agreement:
    """Return an agreement with what is known of a group only.

    Args:
        deviation: sum of squares of what depends on the input; None if not known.
        drift: sum of squares of what moved as a whole.
    """
    if not error_squares or agreement.sqnr_db is None:
        return agreement
    found = structs.replace(agreement, drift_share=min(1.0, drift / error_squares))
    return with_deviation(found, error_squares, deviation)


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
        "drift": error.sum(axis=1),
        "error_squares": (error * error).sum(axis=1),
        "largest_error": np.abs(error).max(axis=1),
        "nonfinite": nonfinite,
    }
