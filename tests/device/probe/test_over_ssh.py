from __future__ import annotations

import platform
from pathlib import Path

import pytest

from edgedeploy.device.probe.probe import probe

pytestmark = pytest.mark.device


def test_over_ssh_it_says_the_same_as_here(sshd) -> None:
    with sshd.connect() as device:
        found = probe(device, pythons=("python3",))
    assert (found.address, found.machine) == (sshd.address, platform.machine())
    assert found.architectures[0] == platform.machine()
    assert found.memory_total_bytes and found.disk_free_bytes and found.page_size_bytes and found.cores
    assert len(found.pythons) == 1
    assert list(Path(sshd.home).iterdir()) == []


def test_a_login_shell_that_talks_is_not_believed(new_sshd) -> None:
    """What its files say stands before the answer."""
    server = new_sshd("talks", before="echo machine sparc64; echo 'Welcome to the device'")
    with server.connect() as device:
        found = probe(device, pythons=())
    assert found.architectures[0] == platform.machine() == found.machine
