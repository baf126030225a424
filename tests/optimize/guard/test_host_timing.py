"""Speed on this machine. Models differ by so much work that no load of the machine hides it."""

from __future__ import annotations

import numpy as np
import pytest
from support.timed_models import chain

from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.optimize.guard.host_timing import HostTiming, TimedPairs, inferences_per_sample

_FEEDS = [{"x": np.full((1, 64), value, np.float32)} for value in (0.5, 1.0, 2.0)]


@pytest.mark.slow
def test_more_work_is_slower_and_less_is_not() -> None:
    little, much = chain(2), chain(80)
    slower = HostTiming().compare(little, much, _FEEDS)
    assert slower.slower
    assert 1 < slower.low <= slower.ratio <= slower.high
    assert slower.source < slower.result
    faster = HostTiming().compare(much, little, _FEEDS)
    assert not faster.slower
    assert faster.low <= faster.ratio <= faster.high < 1
    assert (faster.currency, faster.unit) == ("host time", "ms")
    assert faster.samples >= 18
    assert faster.where.endswith("1 thread")


@pytest.mark.parametrize(("ratios", "slower"), [((1.5, 1.0), False), ((1.5, 1.4), True)])
def test_slower_is_only_what_seems_so_twice(ratios: tuple[float, float], slower: bool) -> None:
    measurements = iter(ratios)

    def measure(source: bytes, candidate: bytes, feeds: object) -> TimedPairs:
        return TimedPairs([1.0] * 20, [next(measurements)] * 20)

    figure = HostTiming(measure).compare(b"", b"", _FEEDS)
    assert (figure.slower, figure.ratio) == (slower, ratios[-1])


@pytest.mark.parametrize(
    ("seconds", "feeds", "count"), [(0.5, 4, 1), (0.002, 4, 1), (0.0011, 1, 2), (0.0015, 4, 4), (0.0001, 3, 21)]
)
def test_short_inferences_are_timed_in_whole_rounds_of_the_feeds(seconds: float, feeds: int, count: int) -> None:
    assert inferences_per_sample(seconds, feeds) == count


def test_models_that_do_not_load_or_run_are_told() -> None:
    with pytest.raises(ValueError, match="feed"):
        HostTiming().compare(chain(1), chain(1), [])
    with pytest.raises(DatasetError):
        HostTiming().compare(chain(1), chain(1), [{"x": np.zeros((1, 5), np.float32)}])
    unknown = chain(1).replace(b"Relu", b"Rely")
    with pytest.raises(ResultFailedError, match="Rely"):
        HostTiming().compare(chain(1), unknown, _FEEDS)
    with pytest.raises(UnsupportedError):
        HostTiming().compare(unknown, chain(1), _FEEDS)
