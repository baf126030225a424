"""Which channels of an output mean the same: found by how large their values are, where no head declares it.

A detector's output holds box coordinates of hundreds beside scores under 1. Any figure over both together is one of the
coordinates: cosine and SQNR stay where they are when every score is zero. The channels of one output are told apart,
over all samples of the float model, by

- kind: shares (all in [0, 1]: scores, probabilities, masks) beside other numbers (coordinates, distances, classes), if
  the others are larger by more than `SCALE_RATIO`: features after a ReLU are no shares because some are small;
- scale, among other numbers: root mean squares with a gap of more than `SCALE_RATIO` between them. Not among shares: a
  class that hardly any sample shows is not another kind of number;
- density, of an output of shares alone with a value for each of many places (coordinates relative to the picture beside
  scores that are nearly all 0): means over `DENSE_MEAN` beside means under it. Not where each place has a distribution
  (its sum is 1), and not of outputs with one value for each sample: there a small mean is that of a rare class.

Nothing here depends on the order of the samples, and nothing is kept of them but sums for each channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct

SCALE_RATIO = 30.0
"""What lies apart by more is judged apart. One 8-bit scale over values up to P adds noise of P/255/√12 to all of them
(Oppenheim and Schafer, 3rd edition, section 4.8.2). Where the peak is ten times the larger root mean square, channels
30 times smaller are left with 20·log10(255·√12/(10·30)) = 9 dB: too few to let through, which no sum over all channels
shows."""
DENSE_MEAN = 0.05
"""Of shares. Places of anchors that lie all over a picture have a mean of one half, and extents hardly one under a
twentieth of the picture; scores are near 0 at all anchors but the few that show something. A choice, not a measurement:
where it parts wrongly, a declared head says what is right."""
MOST_CHANNELS = 1024
"""An axis with more is not looked at: it is one of places."""
_SILENT = 2.0**-23
"""Channels whose largest magnitude is a smaller part of the output's are under the rounding of float32
(`numpy.finfo(numpy.float32).eps`), or hold nothing: they are judged in no group."""
_ROUNDING = 1e-3
"""How far a share may lie outside [0, 1]."""


class ChannelRanges(Struct, frozen=True, kw_only=True, eq=False):
    """What is known of each channel of one output: arrays of shape (channels,)."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    rms: np.ndarray
    many_places: bool
    """Whether a sample has several values of each channel."""
    distributions: bool
    """Whether the channels of each place sum up to 1."""


def channel_axis(shape: Sequence[int]) -> int | None:
    """Return the axis of an output's channels: that of (samples, channels); the shorter one of (samples, channels,
    anchors) or (samples, anchors, channels); the first or last of (samples, channels, height, width) or (samples,
    height, width, channels), whichever is not like its neighbor, then the shorter; else the last. None without one.

    Args:
        shape: of the output, samples first.
    """
    if len(shape) < 2:
        return None
    axis = len(shape) - 1
    if len(shape) == 3 and shape[1] <= shape[2]:
        axis = 1
    if len(shape) == 4 and shape[1] != shape[2] and (shape[2] == shape[3] or shape[1] <= shape[3]):
        axis = 1
    return axis if 2 <= shape[axis] <= MOST_CHANNELS else None


def channel_groups(ranges: ChannelRanges) -> tuple[tuple[int, ...], ...]:
    """Return the channels of each group in ascending order, the groups by their first channel; one group where all mean
    the same as far as their values tell."""
    shares = (ranges.low >= -_ROUNDING) & (ranges.high <= 1 + _ROUNDING)
    peak = np.maximum(np.abs(ranges.low), np.abs(ranges.high))
    audible = peak > _SILENT * peak.max(initial=0.0)
    found: list[np.ndarray] = []
    if shares.all():
        dense = ranges.mean >= DENSE_MEAN
        if ranges.many_places and not ranges.distributions:
            found = [np.flatnonzero(dense), np.flatnonzero(~dense)]
    elif SCALE_RATIO * _joint(ranges.rms[shares & audible]) < _joint(ranges.rms[~shares]):
        found = [np.flatnonzero(shares & audible), *_by_scale(np.flatnonzero(~shares & audible), ranges.rms)]
    else:
        found = _by_scale(np.flatnonzero(audible), ranges.rms)
    groups = sorted((tuple(places.tolist()) for places in found if places.size), key=lambda group: group[0])
    return tuple(groups) if len(groups) > 1 else (tuple(range(len(shares))),)


def named(group: Sequence[int], axis: int) -> str:
    """Return a group as NumPy indexes it: `"[:, 0:4]"`; of channels that are not neighbors `"[:, 0:4,6:8]"`."""
    breaks = [place for place, (left, right) in enumerate(pairwise(group), 1) if right != left + 1]
    parts = [group[begin:end] for begin, end in pairwise((0, *breaks, len(group)))]
    spans = ",".join(f"{part[0]}:{part[-1] + 1}" for part in parts)
    return f"[{':, ' * axis}{spans}]"


def _joint(rms: np.ndarray) -> float:
    """Return the root mean square over all of these channels."""
    return float(np.sqrt((rms * rms).mean())) if rms.size else 0.0


def _by_scale(channels: np.ndarray, rms: np.ndarray) -> list[np.ndarray]:
    """Return the channels, parted where their scales lie apart."""
    if not channels.size:
        return []
    ascending = channels[np.argsort(rms[channels], kind="stable")]
    scales = rms[ascending]
    cuts = np.flatnonzero(scales[1:] > SCALE_RATIO * scales[:-1]) + 1
    return [np.sort(part) for part in np.split(ascending, cuts)]
