"""Speed by a device's own clock. Models differ by so much work that no load of the machine hides it."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs
from support.timed_models import chain

from edgedeploy.foundation.errors import DeviceError, UnsupportedError
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.workflows.device_timing import DeviceTiming

FEEDS = [{"x": np.full((1, 64), value, np.float32)} for value in (0.5, 1.0)]


@pytest.mark.slow
def test_the_device_tells_what_is_more_work(local, make_release) -> None:
    timing = DeviceTiming(local, make_release())
    slower = timing.compare(chain(2), chain(200), FEEDS)
    assert slower.slower and 1 < slower.low <= slower.ratio <= slower.high
    assert (slower.currency, slower.unit, slower.where) == ("device time", "ms", "local:, 1 thread")
    faster = timing.compare(chain(200), chain(2), FEEDS)
    assert not faster.slower and faster.high < 1


@pytest.mark.slow
def test_a_candidate_that_fails_is_told_from_a_source_that_does(local, make_release) -> None:
    timing = DeviceTiming(local, make_release())
    with pytest.raises(ResultFailedError, match="on local:"):
        timing.compare(chain(1), b"no model", FEEDS)
    with pytest.raises(DeviceError):
        timing.compare(b"no model", chain(1), FEEDS)


def test_what_cannot_judge_says_so(local, make_release) -> None:
    release = make_release()
    manifest = release.manifest
    program = structs.replace(manifest, runtime=structs.replace(manifest.runtime, backend="native"))
    with pytest.raises(UnsupportedError, match="runs in native"):
        DeviceTiming(local, structs.replace(release, manifest=program))
    with pytest.raises(ValueError, match="feed"):
        DeviceTiming(local, release).compare(b"", b"", [])
