"""A test over a connection that is cut, again and again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lossy_proxy import lossy_proxy
from msgspec import structs
from support.heard import Heard

from edgedeploy.device.reconnect import reconnect
from edgedeploy.device.ssh.connection import SshConnection
from edgedeploy.foundation.errors import UnreachableError
from edgedeploy.measure.evaluate import test as run_test

pytestmark = pytest.mark.device


def test_it_goes_on_where_it_was_cut(sshd, make_release, tmp_path: Path) -> None:
    release = make_release()
    heard = Heard()
    path = tmp_path / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.standard_normal((600, 3)).astype(np.float32), labels=rng.integers(0, 2, 600))
    with sshd.connect() as device:
        whole = run_test(device, release, str(path))
    with lossy_proxy(sshd.port, cut_after_bytes=90_000, cuts=2) as proxy:
        way = structs.replace(sshd.settings, port=proxy.port, known_as=sshd.known_name)
        with SshConnection("cut", way) as device:
            cut = run_test(device, release, str(path), progress=heard)
    assert sum("going on after" in note for note in heard.notes) == 2
    assert cut.accuracy == whole.accuracy
    assert cut.accuracy is not None and cut.accuracy.samples == 600


def test_who_does_not_come_back_is_given_up(sshd) -> None:
    with sshd.connect() as device:
        reconnect(device, within_s=5.0)
        assert device.run(["true"]).exit_status == 0
        sshd.process.kill()
        sshd.process.wait()
        heard = Heard()
        with pytest.raises(UnreachableError):
            reconnect(device, within_s=0.5, progress=heard)
    assert heard.steps == [f"connecting to {device.address} again"]
