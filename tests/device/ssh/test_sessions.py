"""A server that limits what may be open at once is worked with all the same, or it is told what it allows."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import releases
from edgedeploy.foundation.errors import BusyError, DeviceError, UnreachableError

pytestmark = [pytest.mark.device, pytest.mark.slow]

EDGEDEPLOY = [sys.executable, "-c", "from edgedeploy.cli.main import main; main()"]


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
class TestMaxSessions:
    def test_commands_at_once(self, new_sshd, limit: int) -> None:
        with new_sshd("few", settings=f"MaxSessions {limit}\n").connect() as connection:
            processes = [connection.start(["cat"]) for _ in range(4)]
            for number, process in enumerate(processes):
                process.stdin.write(f"{number}\n".encode())
            for number, process in enumerate(processes):
                assert process.wait(60.0).stdout == f"{number}\n".encode()

    def test_one_after_the_other(self, new_sshd, limit: int) -> None:
        with new_sshd("few", settings=f"MaxSessions {limit}\n").connect() as connection:
            for number in range(12):
                assert connection.run(["echo", str(number)]).stdout == f"{number}\n".encode()

    def test_what_is_ended_leaves_nothing_behind(self, new_sshd, limit: int) -> None:
        with new_sshd("few", settings=f"MaxSessions {limit}\n").connect() as connection:
            process = connection.start(["sh", "-c", "echo $$; exec sleep 600"])
            number = process.stdout.readline().decode().strip()
            process.kill()
            gone = 'n=0; while kill -0 "$1"; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done'
            assert connection.run(["sh", "-c", gone, "sh", number]).exit_status == 0

    def test_pushes_under_a_lock(self, new_sshd, make_bundle, limit: int) -> None:
        server = new_sshd("few", settings=f"MaxSessions {limit}\n")
        with server.connect() as device, server.connect() as other:
            assert push(make_bundle(), device, confirm="true").activated
            assert [release.current for release in releases(device)] == [True]
            with device_lock(device), pytest.raises(BusyError):
                push(make_bundle(version="2"), other)

    def test_the_terminal_has_no_line_of_a_library(self, new_sshd, make_bundle, limit: int, tmp_path: Path) -> None:
        server = new_sshd("few", settings=f"MaxSessions {limit}\n")
        _known(server)
        for words in (
            ["push", str(make_bundle().path), "--to", server.address],
            ["status", server.address, "--health"],
        ):
            done = subprocess.run([*EDGEDEPLOY, *words, "-q"], capture_output=True, text=True, timeout=120, check=False)
            assert (done.returncode, done.stderr) == (0, "")


def test_a_server_that_opens_no_session_says_so(new_sshd) -> None:
    server = new_sshd("none", settings="MaxSessions 0\n")
    with server.connect() as connection, pytest.raises(DeviceError, match="opens no session") as caught:
        connection.run(["true"])
    assert "MaxSessions 0" in caught.value.why and "sshd -T" in caught.value.hint


def test_a_server_that_takes_no_more_logins_says_so(new_sshd) -> None:
    server = new_sshd("busy", settings="MaxStartups 1\nLoginGraceTime 60\n")
    with (
        contextlib.closing(_place_taken(server.port)),
        pytest.raises(UnreachableError, match="closed the connection before the login") as caught,
    ):
        server.connect()
    assert "MaxStartups" in caught.value.why


def _place_taken(port: int) -> socket.socket:
    """Connect, and do not log in. Another connection's place is free again a moment after its end."""
    for _ in range(200):
        waiting = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        if waiting.recv(4) == b"SSH-":
            return waiting
        waiting.close()
        time.sleep(0.05)
    raise AssertionError("the server has no place")


def _known(server) -> None:
    folder = Path.home() / ".ssh"
    folder.mkdir(exist_ok=True)
    (folder / "config").write_text(
        f"Host 127.0.0.1\n  IdentityFile {server.folder}/user_key\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {server.folder}/known_hosts\n"
    )
