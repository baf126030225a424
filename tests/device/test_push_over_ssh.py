"""Pushing over a real connection, and what is left when it or the pusher ends half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.while_sending import WhileSending

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, releases, rollback
from edgedeploy.deploy.retry import with_retries
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import BusyError, UnreachableError

pytestmark = pytest.mark.device


def test_push_again_and_back(make_bundle, sshd) -> None:
    with sshd.connect() as device:
        first = push(make_bundle(files={"two words/it's": b"x" * 3_000_000}), device)
        assert (first.sent_files, first.activated) == (4, True)
        assert Path(first.release.path).is_relative_to(sshd.home)
        again = push(make_bundle(files={"two words/it's": b"x" * 3_000_000}), device)
        assert (again.sent_bytes, again.activated) == (0, False)
        second = push(make_bundle(version="2"), device).release
        assert second.parent == first.release.id
        assert rollback(device).id == first.release.id
    assert not (sshd.home / ".edgedeploy/lock").is_symlink()


def test_two_at_once(make_bundle, sshd) -> None:
    """The second comes while the first is sending."""
    refused = []

    def come() -> None:
        with sshd.connect() as other, pytest.raises(BusyError, match="by ") as caught:
            push(make_bundle(version="2"), other)
        refused.append(caught.value)

    with sshd.connect() as device:
        assert push(make_bundle(), device, progress=WhileSending(1, come)).activated
        assert len(refused) == 1
        assert push(make_bundle(version="2"), device).activated


def test_a_connection_lost_while_sending(make_bundle, sshd) -> None:
    big = {f"weights{number}": os.urandom(2 << 20) for number in range(10)}
    with sshd.connect() as device:
        release = push(make_bundle(), device).release
        with pytest.raises(UnreachableError, match="lost"):
            push(make_bundle(version="2", files=big), device, progress=WhileSending(5 << 20, sshd.cut))
    with sshd.connect() as device:
        assert current_release(device) == release
        assert push(make_bundle(version="2", files=big), device).release.parent == release.id


def test_a_lost_connection_is_gone_on_with(make_bundle, sshd) -> None:
    progress = WhileSending(5 << 20, sshd.cut)

    def attempt() -> bool:
        with sshd.connect() as device:
            bundle = make_bundle(files={"weights": os.urandom(20 << 20)})
            return push(bundle, device, progress=progress).activated

    assert with_retries(attempt, 5)


# It tells of each step, and stops in the middle of the transfer until it is killed.
_PUSHER = """
import sys, time
from pathlib import Path
from edgedeploy import api
from edgedeploy.device.address import connect

class Listener:
    def step(self, text): print(text, flush=True)
    def note(self, text): pass
    def advance(self, done, total, unit):
        if done > total // 2:
            print("half-way", flush=True)
            time.sleep(600)

with connect(sys.argv[2]) as connection:
    api.push(api.open_bundle(Path(sys.argv[1])), connection, progress=Listener())
"""


def test_a_pusher_killed_while_sending(make_bundle, sshd) -> None:
    folder = Path.home() / ".ssh"
    folder.mkdir()
    (folder / "config").write_text(
        f"Host pi\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n  IdentitiesOnly yes\n"
        f"  IdentityFile {sshd.folder}/user_key\n  UserKnownHostsFile {sshd.folder}/known_hosts\n"
    )
    bundle = make_bundle(version="2", files={f"weights{number}": os.urandom(2 << 20) for number in range(10)})
    with sshd.connect() as device:
        release = push(make_bundle(), device).release
        pusher = subprocess.Popen(
            [sys.executable, "-c", _PUSHER, str(bundle.path), "pi"], stdout=subprocess.PIPE, text=True
        )
        assert pusher.stdout is not None
        try:
            assert "half-way\n" in iter(pusher.stdout.readline, "")
            assert current_release(device) == release
            with pytest.raises(BusyError):
                push(make_bundle(version="3"), device)
        finally:
            pusher.send_signal(signal.SIGKILL)
            pusher.communicate()
        assert current_release(device) == release
        assert broken_files(device, release) == ""
        assert pushed_when_free(device, bundle).release.parent == release.id
        assert [found.current for found in releases(device)] == [False, True]
    assert list((sshd.home / ".edgedeploy/staging").iterdir()) == []


def pushed_when_free(device: Connection, bundle: object) -> object:
    """The lock ends with the connection, which the server may notice a moment later."""
    for _ in range(100):
        try:
            return push(bundle, device)
        except BusyError:
            device.run(["sleep", "0.1"])
    raise AssertionError("the lock of a dead pusher is never released")


def test_from_the_command_line(make_bundle, sshd) -> None:
    """With the names and exit codes that scripts rely on."""

    def edgedeploy(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "import sys; from edgedeploy.cli.main import main; sys.exit(main())", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    address = sshd.address
    folder = Path.home() / ".ssh"
    folder.mkdir()
    (folder / "id_ed25519").write_bytes(sshd.user_key.private)
    unknown = edgedeploy("releases", address)
    assert (unknown.returncode, "--accept-new" in unknown.stderr) == (9, True)
    pushed = edgedeploy("push", str(make_bundle().path), "--to", address, "--accept-new", "--json")
    assert pushed.returncode == 0, pushed.stderr
    assert json.loads(pushed.stdout)["activated"] is True
    assert edgedeploy("push", str(make_bundle(version="2").path), "--to", address).returncode == 0
    listed = json.loads(edgedeploy("releases", address, "--json").stdout)
    assert [release["current"] for release in listed["releases"]] == [False, True]
    assert "is current" in edgedeploy("rollback", address).stdout
    refused = edgedeploy("rollback", address)
    assert (refused.returncode, "Traceback" in refused.stderr) == (10, False)
