"""One push at a time on a device."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from support.device_store import store

from edgedeploy.deploy.device_log import read_log
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, rollback
from edgedeploy.deploy.scripts.locking import LOCK
from edgedeploy.deploy.scripts.running import argv
from edgedeploy.deploy.status import status
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import BusyError

pytestmark = pytest.mark.slow


class TestLock:
    def test_two_at_once(self, make_bundle, device: LocalConnection) -> None:
        with device_lock(device):
            with pytest.raises(BusyError, match=f"by .*@{os.uname().nodename}"):
                push(make_bundle(), device)
            with pytest.raises(BusyError):
                rollback(device)
        assert push(make_bundle(), device).activated

    def test_of_a_process_that_was_killed(self, make_bundle, device: LocalConnection, home: Path) -> None:
        holder = device.start(argv(LOCK, "somebody@host", "60"))
        assert holder.stdout.readline().startswith(b"locked ")
        holder.kill()
        assert (store(home) / "lock").is_symlink()
        assert push(make_bundle(), device).activated
        assert not (store(home) / "lock").is_symlink()

    def test_of_one_who_has_fallen_silent_is_given_up(self, make_bundle, device: LocalConnection) -> None:
        """Its machine lost its power or its network: the connection is open still, for hours."""
        holder = device.start(argv(LOCK, "somebody@host", "1"))
        assert holder.stdout.readline().startswith(b"locked ")
        assert holder.stdout.read() == b""  # ends by itself
        assert holder.wait(30.0).exit_status == 0
        assert push(make_bundle(), device).activated

    def test_of_one_who_is_heard_now_and_then_is_kept(self, make_bundle, device: LocalConnection, home: Path) -> None:
        with device_lock(device, beat_s=0.1, silence_s=1.0):
            begun_s = time.monotonic()
            while time.monotonic() - begun_s < 2.0:
                assert (store(home) / "lock").is_symlink()
                time.sleep(0.05)
            with pytest.raises(BusyError):
                push(make_bundle(), device)

    def test_that_was_lost_lets_nothing_change(self, make_bundle, device: LocalConnection, home: Path) -> None:
        """This machine slept while the health was checked, and another one has pushed since."""
        good = push(make_bundle(), device).release
        link = store(home) / "lock"
        another = b"#!/bin/sh\nln -sfn 'boot 1 another@there' \"$HOME/.edgedeploy/lock\"\n"
        with pytest.raises(BusyError, match="did not hear from us"):
            push(make_bundle(version="2", files={"run": another}), device)
        assert current_release(device) == good
        assert str(link.readlink()) == "boot 1 another@there"

    @pytest.mark.parametrize("target", ["another-boot {pid} me@there", "garbage", "", "{boot}", "{boot} x y"])
    def test_of_another_boot_or_of_nobody(self, make_bundle, device: LocalConnection, home: Path, target: str) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        store(home).mkdir()
        (store(home) / "lock").symlink_to(target.format(pid=os.getpid(), boot=boot) or " ")
        assert push(make_bundle(), device).activated

    @pytest.mark.parametrize("kind", ["file", "pipe", "folder", "full folder", "link to a folder", "link to a file"])
    def test_what_is_none(self, make_bundle, device: LocalConnection, home: Path, kind: str) -> None:
        """It was taken for a file system without links, or a link was put into the folder and taken for lost."""
        push(make_bundle(), device)
        lock, other = store(home) / "lock", home / "other"
        match kind:
            case "file":
                lock.touch()
            case "pipe":
                os.mkfifo(lock)
            case "link to a folder":
                other.mkdir()
                lock.symlink_to(other)
            case "link to a file":
                other.touch()
                lock.symlink_to(other)
            case _:
                lock.mkdir()
                if kind == "full folder":
                    (lock / "file").touch()
        assert push(make_bundle(version="2"), device).activated
        assert rollback(device).manifest.version == "1"
        assert not lock.is_symlink() and not lock.exists()
        # What a link leads to is not in the store.
        assert other.exists() == kind.startswith("link") and not (other.is_dir() and list(other.iterdir()))

    def test_of_a_number_that_is_another_process_by_now(self, make_bundle, device: LocalConnection, home: Path) -> None:
        """Of an application from a release, say, whose command has `.edgedeploy` in it."""
        with device_lock(device):
            held = str((store(home) / "lock").readlink())
            assert "@" in str(status(device).busy) and " " not in str(status(device).busy)
        boot, _, who, since = held.split(" ")
        process = subprocess.Popen(["sh", "-c", "sleep 60; exit", ".edgedeploy/current/model/run"])
        try:
            began = f"@{Path(f'/proc/{process.pid}/stat').read_text().rsplit(')', 1)[1].split()[19]}"
            for when, is_held in ((began, True), (since, since == began), ("@1", False)):
                (store(home) / "lock").symlink_to(f"{boot} {process.pid} {who} {when}")
                if is_held:
                    with pytest.raises(BusyError, match=rf"pushed to by {who}\n"):
                        push(make_bundle(), device)
                    (store(home) / "lock").unlink()
                else:
                    push(make_bundle(), device)
        finally:
            process.kill()
            process.wait()
        assert {entry.by for entry in read_log(device)} == {who}

    def test_of_a_living_process_of_this_boot(self, make_bundle, device: LocalConnection, home: Path) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        store(home).mkdir()
        for name, held in (("edgedeploy", True), ("another program with its number", False)):
            process = subprocess.Popen(["sh", "-c", "sleep 60; exit", name])
            try:
                (store(home) / "lock").symlink_to(f"{boot} {process.pid} me@there")
                if held:
                    with pytest.raises(BusyError, match="me@there"):
                        push(make_bundle(), device)
                    (store(home) / "lock").unlink()
                else:
                    assert push(make_bundle(), device).activated
            finally:
                process.kill()
                process.wait()
