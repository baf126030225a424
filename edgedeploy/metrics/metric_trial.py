"""Whether a metric notices what it is to watch over: tried on the float model's own answers before it is trusted.

Of a bounded number of samples the answers that the float model gave are kept; no model runs again. Of each output, and
of each group of channels that means something else, the answers are exchanged between samples, replaced by their mean
over samples, and drowned in noise of their own power (0 dB). Where none of that moves the metric by more than it may
fall, it is blind to that part: a result in which the part is ruined would be let through. And the metric has to tell
the float model from one that answers every sample alike, and right labels from those of other samples; where it does
not, the metric or the labels are in doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct, structs

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.heads.decoder import Group
from edgedeploy.metrics.metric import Metric
from edgedeploy.values.labels import Detections, Labels
from edgedeploy.values.quality import MetricFigure, MetricTrust

MOST_SAMPLES = 64
"""Of a dataset, drawn evenly: enough to show that a metric moves, and few enough that an average precision over noise
takes seconds."""
MOST_BYTES = 128 * 2**20
"""Of outputs that are kept; with large outputs there are fewer samples."""
FEWEST_SAMPLES = 4
"""With fewer, labels of other samples are the right ones too often."""
_FIRST = 8
"""Looked at first: a metric that moves on these need not be computed over noise of all."""
_LEAST_MOVE = 1e-6
"""What rounding may move, of metrics near 1."""
_SHUFFLES = 5
"""Of the labels. Where they have nothing to do with the answers, their own are the best by chance one time in six, and
then the answers of a constant model tell."""
_SEED = 20261129

_Alter = Callable[[int, list[np.ndarray]], list[np.ndarray]]
"""Takes the place of a sample among those that are kept and its outputs; returns other ones."""


class _TriedSample(Struct, frozen=True, eq=False):
    """What the float model gave for one sample, or for one feed that cannot be cut into samples."""

    outputs: list[np.ndarray]
    labels: Labels
    feed: Feed


class MetricTrial:
    """Draws answers of the float model as they stream by, and tries a metric on them."""

    def __init__(self, metric: Metric, allowed: Callable[[MetricFigure], float]) -> None:
        """
        Args:
            allowed: how much worse the metric may get in its own units, of the float model's figure.
        """
        self._metric = metric
        self._allowed = allowed
        self._kept: list[_TriedSample] = []
        self._seen = 0
        self._room: int | None = None
        self._rng = np.random.default_rng(_SEED)

    def add(self, outputs: Sequence[np.ndarray], labels: Labels | None, feed: Feed) -> None:
        """Take in one batch; every sample of the dataset is kept with the same probability (Vitter 1985,
        https://doi.org/10.1145/3147.3165, algorithm R)."""
        if labels is None:
            return
        if self._room is None:
            size = sum(output.nbytes for output in outputs) // max(len(labels), 1)
            self._room = min(MOST_SAMPLES, MOST_BYTES // max(size, 1))
        for answer in _cut(outputs, labels, feed):
            self._seen += 1
            if len(self._kept) < self._room:
                self._kept.append(_copy(answer))
            elif self._room and (place := int(self._rng.integers(self._seen))) < self._room:
                self._kept[place] = _copy(answer)

    def result(self, names: Sequence[str], groups: Mapping[str, Group]) -> MetricTrust | None:
        """Return what the trial shows; None where there are too few samples for it, or their outputs are too large.

        Args:
            names: of the model's outputs, in order.
            groups: where groups of channels lie, by their names; outputs without are tried as a whole.
        """
        if len(self._kept) < FEWEST_SAMPLES:
            return None
        figure = self._figure()
        if figure is None:
            return None
        limit = max(self._allowed(figure), _LEAST_MOVE)
        grouped = {place for place, _ in groups.values()}
        whole = {name: (place, (slice(None),)) for place, name in enumerate(names) if place not in grouped}
        blind_to = tuple(name for name, part in (whole | dict(groups)).items() if not self._notices(part, limit))
        trust = MetricTrust(
            name=self._metric.name,
            samples=len(self._kept),
            value=figure.value,
            constant=self._value(alter=self._constant()),
            shuffled=self._shuffled(figure),
            blind_to=blind_to,
        )
        return structs.replace(trust, doubts=tuple(self._doubts(trust, figure, limit)))

    def _figure(self) -> MetricFigure | None:
        value = self._value()
        if value is None:
            return None
        return MetricFigure(
            name=self._metric.name,
            value=value,
            samples=len(self._kept),
            larger_is_better=self._metric.larger_is_better,
        )

    def _value(
        self, *, alter: _Alter | None = None, labels: Sequence[Labels] | None = None, first: int | None = None
    ) -> float | None:
        """Return the metric over the kept samples; None where it has no value, or cannot be computed.

        Args:
            alter: their outputs.
            labels: of each, in place of its own.
            first: so many samples only.
        """
        computing = self._metric.start()
        try:
            with np.errstate(all="ignore"):
                for place, answer in enumerate(self._kept[:first]):
                    outputs = answer.outputs if alter is None else alter(place, answer.outputs)
                    computing.add(outputs, answer.labels if labels is None else labels[place], answer.feed)
                value = computing.compute()
        except (EdgedeployError, ValueError, ArithmeticError):
            # What cannot be computed any more has been noticed.
            return None
        return value if math.isfinite(value) else None

    def _notices(self, part: Group, limit: float) -> bool:
        """Return whether the metric moves by more than the limit when a part of the outputs is ruined."""
        for first in sorted({min(_FIRST, len(self._kept)), len(self._kept)}):
            before = self._value(first=first)
            for alter in self._ways_to_ruin(part):
                after = self._value(alter=alter, first=first)
                if after is None or before is None or abs(after - before) > limit:
                    return True
        return False

    def _ways_to_ruin(self, part: Group) -> Iterator[_Alter]:
        place, slices = part
        regions = [answer.outputs[place][slices] for answer in self._kept]
        same_extents = all(region.shape == regions[0].shape for region in regions)
        if same_extents:
            order = self._order()
            yield _replacing(place, slices, lambda sample: regions[order[sample]])
        if regions[0].dtype.kind != "f":
            return
        if same_extents:
            mean = _mean(regions)
            yield _replacing(place, slices, lambda sample: mean)
        # A seed for each sample: what it gets does not depend on how many are looked at.
        rms = _rms(regions)
        yield _replacing(
            place,
            slices,
            lambda sample: (
                regions[sample] + rms * np.random.default_rng(_SEED + sample).standard_normal(regions[sample].shape)
            ),
        )

    def _shuffled(self, figure: MetricFigure) -> float | None:
        """Return the best value with the labels of other samples; None where there is none at all.

        Where the first is far off, chance is no question, and an average precision need not be computed again.
        """
        values = []
        for number in range(_SHUFFLES):
            order = self._order(number)
            value = self._value(labels=[self._kept[place].labels for place in order])
            if value is not None:
                values.append(value)
                if _worse(figure, value, abs(figure.value) / 2):
                    break
        return (max if self._metric.larger_is_better else min)(values, default=None)

    def _order(self, number: int = 0) -> np.ndarray:
        """Return for each sample another one, seeded."""
        count = len(self._kept)
        drawn = np.random.default_rng((_SEED, number)).permutation(count)
        order = np.empty(count, np.int64)
        order[drawn] = np.roll(drawn, 1)
        return order

    def _constant(self) -> _Alter:
        """Answer every sample alike: by the mean over samples where there is one, else as the first."""
        first = self._kept[0].outputs
        outputs = []
        for place, output in enumerate(first):
            every = [answer.outputs[place] for answer in self._kept]
            has_mean = output.dtype.kind == "f" and all(each.shape == output.shape for each in every)
            outputs.append(_mean(every).astype(output.dtype) if has_mean else output)
        return lambda _, __: outputs

    def _doubts(self, trust: MetricTrust, figure: MetricFigure, limit: float) -> Iterator[str]:
        """Yield why the metric or the labels are in doubt, in words."""
        name, value = trust.name, f"{trust.value:.4f}"
        if not _worse(figure, trust.shuffled, limit):
            yield (
                f"{name} of the float model is {value} with its own labels and {trust.shuffled:.4f} with those of "
                "other samples: the labels do not belong to these samples, or the metric does not read them"
            )
            for step in (-1, 1):
                labels = [_shifted(answer.labels, step) for answer in self._kept]
                better = None if None in labels else self._value(labels=labels)  # type: ignore[arg-type]
                if better is not None and _worse(structs.replace(figure, value=better), trust.value, 2 * limit):
                    off = "one too high (counted from 1?)" if step < 0 else "one too low"
                    yield f"with every class number changed by {step:+d} it would be {better:.4f}: labels are {off}"
        if not _worse(figure, trust.constant, limit):
            yield (
                f"{name} of the float model is {value}, and {trust.constant:.4f} of a model that answers every sample "
                "alike: it does not tell them apart"
            )


def _worse(figure: MetricFigure, other: float | None, limit: float) -> bool:
    """Return whether another value is worse by more than the limit; none is."""
    return other is None or structs.replace(figure, value=other).worsening(figure) > limit


def _cut(outputs: Sequence[np.ndarray], labels: Labels, feed: Feed) -> Iterator[_TriedSample]:
    """Yield the samples of a batch, where its outputs can be cut."""
    size = len(labels)
    if size > 1 and all(output.ndim and output.shape[0] == size for output in outputs):
        for place in range(size):
            one = slice(place, place + 1)
            inputs = {
                name: array[one] if array.ndim and array.shape[0] == size else array for name, array in feed.items()
            }
            yield _TriedSample([output[one] for output in outputs], labels[one], inputs)
    elif size:
        yield _TriedSample(list(outputs), labels, feed)


def _copy(answer: _TriedSample) -> _TriedSample:
    """Return an answer that does not hold on to its batch. Inputs are views: few metrics look at them."""
    return _TriedSample([output.copy() for output in answer.outputs], answer.labels, answer.feed)


def _replacing(place: int, slices: tuple[slice | np.ndarray, ...], region: Callable[[int], np.ndarray]) -> _Alter:
    def alter(sample: int, outputs: list[np.ndarray]) -> list[np.ndarray]:
        altered = outputs[place].copy()
        altered[slices] = region(sample)
        return [*outputs[:place], altered, *outputs[place + 1 :]]

    return alter


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    total = np.zeros(arrays[0].shape)
    for array in arrays:
        total += np.nan_to_num(array, posinf=0.0, neginf=0.0)
    found: np.ndarray = total / len(arrays)
    return found


def _rms(arrays: Sequence[np.ndarray]) -> float:
    """Return the root mean square of all that is finite."""
    squares = count = 0.0
    for array in arrays:
        finite = array[np.isfinite(array)].astype(np.float64)
        squares += float(finite @ finite)
        count += finite.size
    return math.sqrt(squares / count) if count else 0.0


def _shifted(labels: Labels, step: int) -> Labels | None:
    """Return labels whose class numbers are others; None where they are no class numbers, or would be under 0."""
    if isinstance(labels, np.ndarray):
        return labels + step if labels.dtype.kind in "iu" and (labels.astype(np.int64) + step >= 0).all() else None
    if not all(isinstance(label, Detections) for label in labels):
        return None
    moved = tuple(structs.replace(label, classes=label.classes + step) for label in labels)
    return moved if all((label.classes >= 0).all() for label in moved) else None
