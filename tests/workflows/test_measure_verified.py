"""Nothing of a release that was changed on its device is run to be measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.device_store import damage

from edgedeploy import api
from edgedeploy.deploy.push import push
from edgedeploy.device.connection import Connection
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import BenchSettings

pytestmark = pytest.mark.slow

_MEASURE: dict[str, Callable[[Connection, Release, Release], object]] = {
    "bench": lambda device, _, now: api.bench(device, now, seconds=0.1, settings=BenchSettings(cold_load=False)),
    "bench by keywords": lambda device, _, now: api.bench(release=now, connection=device),
    "against the one before": lambda device, before, now: api.bench_against(device, before, now),
    "against it by keywords": lambda device, before, now: api.bench_against(device, before=now, after=before),
    "profile": lambda device, _, now: api.profile(device, now),
    "test": lambda device, _, now: api.test(device, now, "evaluation.npz"),
}
_FAULTS: dict[str, Callable[[Path], object]] = {
    "a library's content": lambda at: damage(at / "lib", b"foreign"),
    "a file that Python finds first": lambda at: (at / "numpy.py").write_bytes(b"import os"),
    "a mode": lambda at: (at / "run").chmod(0o444),
}


@pytest.mark.parametrize("fault", _FAULTS)
@pytest.mark.parametrize("measure", _MEASURE)
def test_a_changed_release_is_not_measured(make_bundle, tmp_path: Path, measure: str, fault: str) -> None:
    started = tmp_path / "started"
    np.savez(tmp_path / "evaluation.npz", x=np.zeros((1, 1)))
    run = f"#!/bin/sh\n[ \"$1\" = check ] || : >'{started}'\necho '{{\"healthy\":true}}'\n".encode()
    device = LocalConnection("local:", tmp_path / "device")
    before = push(make_bundle(version="1", files={"run": run, "lib": b"library 1"}), device).release
    now = push(make_bundle(version="2", files={"run": run, "lib": b"library 2"}), device).release
    _FAULTS[fault](Path(now.path))
    with pytest.raises(DeviceError, match="is damaged; nothing of it was run") as raised:
        _MEASURE[measure](device, before, now)
    assert not started.exists()
    assert raised.value.hint == "push its bundle again: edgedeploy push BUNDLE local:"


def test_a_whole_release_is_measured(make_bundle, tmp_path: Path) -> None:
    """What measures is reached: this runner is none, which it says."""
    device = LocalConnection("local:", tmp_path / "device")
    release = push(make_bundle(), device).release
    with pytest.raises(DeviceError, match="runner"):
        api.bench(device, release, settings=BenchSettings(cold_load=False))
