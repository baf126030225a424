"""Measure a release once its files are verified on its device: what was changed there is not run.

`ship` and `smoke` call the functions of `edgedeploy.measure`: both have verified the release before.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.measure import bench as timing
from edgedeploy.measure import evaluate, interleaved
from edgedeploy.measure import profile as profiling
from edgedeploy.values.bundle import Release

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def require_whole(connection: Connection, release: Release, progress: Progress = SILENT) -> None:
    """Compare a release on its device with its manifest: names, modes, extra files, and the SHA-256 of each file.

    Raises:
        DeviceError: it differs, or that is not determined.
        UnreachableError: the connection was lost.
    """
    progress.step(f"verifying {release.id}")
    if wrong := broken_files(connection, release):
        raise DeviceError(
            f"release {release.id} on {connection.address} is damaged; nothing of it was run",
            why=wrong,
            hint=f"push its bundle again: edgedeploy push BUNDLE {connection.address}",
        )


def _verified(measure: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let a function that measures releases verify all of them first."""
    signature = inspect.signature(measure)

    @functools.wraps(measure)
    def verify_and_measure(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        given = signature.bind(*args, **kwargs).arguments
        for release in given.values():
            if isinstance(release, Release):
                require_whole(given["connection"], release, given.get("progress", SILENT))
        return measure(*args, **kwargs)

    return verify_and_measure


bench = _verified(timing.bench)
bench_against = _verified(interleaved.bench_against)
profile = _verified(profiling.profile)
test = _verified(evaluate.test)
