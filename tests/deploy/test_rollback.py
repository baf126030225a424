"""The way back to the release before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.device_store import damage

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, rollback
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError

pytestmark = pytest.mark.slow


class TestRollback:
    def test_and_back_no_further(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        second = push(make_bundle(version="2"), device).release
        assert rollback(device) == first
        assert current_release(device) == first
        with pytest.raises(DeviceError, match="no release before") as caught:
            rollback(device)
        assert "first" in caught.value.why
        assert push(make_bundle(version="2"), device).release == second

    def test_parent_of_the_parent(self, make_bundle, device: LocalConnection) -> None:
        ids = [push(make_bundle(version=version), device).release.id for version in "123"]
        assert rollback(device).id == ids[1]
        assert rollback(device).id == ids[0]

    def test_to_a_damaged_release_is_refused(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        second = push(make_bundle(version="2"), device).release
        damage(Path(first.path) / "model.onnx", b"damaged")
        with pytest.raises(DeviceError, match="is damaged") as caught:
            rollback(device)
        assert "model.onnx" in caught.value.why
        assert current_release(device) == second

    def test_to_a_release_that_is_gone_is_refused(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        push(make_bundle(version="2"), device)
        shutil.rmtree(first.path)
        with pytest.raises(DeviceError, match="no release before") as caught:
            rollback(device)
        assert first.id in caught.value.why

    def test_nothing_there(self, device: LocalConnection) -> None:
        with pytest.raises(DeviceError, match="no current release"):
            rollback(device)
