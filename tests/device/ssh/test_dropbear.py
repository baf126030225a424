"""A device with dropbear for an SSH server, as OpenWrt, Yocto's and Buildroot's small images have it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from loopback_sshd import Server, free_port, private
from lossy_proxy import lossy_proxy
from msgspec import structs

from edgedeploy.deploy.push import carry_out, push
from edgedeploy.deploy.releases import releases, rollback
from edgedeploy.deploy.request import PushRequest
from edgedeploy.deploy.status import status
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.emulator.keys import KeyPair, new_key_pair
from edgedeploy.device.pump import run_to_end
from edgedeploy.device.ssh.process import SshProcess
from edgedeploy.foundation.errors import AuthenticationError, BusyError, DeviceError, UnreachableError

pytestmark = pytest.mark.device

# It takes the user's home folder from /etc/passwd and nowhere else, so it sees one of ours in a mount namespace.
_IN_NAMESPACE = 'mount --bind "$1" /etc/passwd && shift && exec "$@"'


@pytest.fixture
def dropbear(tmp_path: Path) -> Iterator[Server]:
    folder, home = tmp_path / "dropbear", tmp_path / "device home"
    program = shutil.which("dropbear", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.fail("no dropbear: apt-get install dropbear-bin")
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    folder.mkdir()
    home.chmod(0o700)
    user_key = new_key_pair()
    private(folder / "user_key", user_key.private)
    private(home / ".ssh" / "authorized_keys", f"{user_key.public}\n".encode())
    made = subprocess.run(
        ["dropbearkey", "-t", "ed25519", "-f", str(folder / "host_key")], capture_output=True, text=True, check=True
    )
    public = next(line for line in made.stdout.splitlines() if line.startswith("ssh-ed25519 "))
    port = free_port()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(public.split()[:2])}\n")
    user = getpass.getuser()
    (folder / "passwd").write_text(f"{user}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n")
    namespace = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "--map-current-user", "-m"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("dropbear has to be shown another home folder, and this machine allows no mount namespaces")
    words = [program, "-F", "-E", "-s", "-r", folder / "host_key", "-p", f"127.0.0.1:{port}", "-P", folder / "pid"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*namespace, "sh", "-c", _IN_NAMESPACE, "sh", str(folder / "passwd"), *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10.0) as probe:
                if probe.recv(4) == b"SSH-":
                    break
            if process.poll() is not None:
                pytest.fail(f"dropbear ended: {(folder / 'log').read_text()}")
            time.sleep(0.03)
        yield Server(folder, home, port, KeyPair(b"", public), user_key, process, user)
    finally:
        process.kill()
        process.wait()


def test_push_again_and_back(make_bundle, dropbear: Server) -> None:
    with dropbear.connect() as device:
        assert device.run(["pwd"]).stdout.decode().strip() == str(dropbear.home)
        first = push(make_bundle(files={"two words/it's": os.urandom(3 << 20)}), device).release
        assert Path(first.path).is_relative_to(dropbear.home)
        second = push(make_bundle(version="2"), device).release
        assert second.parent == first.id
        assert rollback(device).id == first.id
        assert broken_files(device, first) == ""
        assert status(device).running
    assert not (dropbear.home / ".edgedeploy/lock").is_symlink()


def test_words_and_bytes_arrive_as_they_are(dropbear: Server) -> None:
    words = ["$(id)", "a'b", "`id`", "; id", "*", "ä\n\t"]
    with dropbear.connect() as device:
        said = device.run(["printf", "%s\\0", *words])
        assert said.stdout.decode().split("\0")[:-1] == words
        content = os.urandom(5 << 20)
        assert device.run(["cat"], stdin=content).stdout == content
        assert device.run(["sh", "-c", "echo no >&2; exit 3"]).exit_status == 3


def test_two_at_once(make_bundle, dropbear: Server) -> None:
    from edgedeploy.deploy.lock import device_lock

    with dropbear.connect() as device, dropbear.connect() as other:
        with device_lock(device), pytest.raises(BusyError):
            push(make_bundle(), other)
        assert push(make_bundle(), other).activated


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_cut_connection_is_gone_on_with(make_bundle, dropbear: Server, share: float) -> None:
    bundle = make_bundle(files={"weights": os.urandom(8 << 20)})
    with lossy_proxy(dropbear.port, cut_after_bytes=int(share * (8 << 20))) as proxy:
        way = structs.replace(dropbear.settings, port=proxy.port, known_as=dropbear.known_name)
        from edgedeploy.device.ssh.connection import SshConnection

        with pytest.raises(UnreachableError), SshConnection("dropbear", way) as device:
            push(bundle, device)
    with dropbear.connect() as device:
        result = push(bundle, device)
        assert result.activated
        # What it had in its window when it was cut may not have been passed on.
        assert result.resumed_bytes >= share * (8 << 20) - (1 << 20)
        assert [release.current for release in releases(device)] == [True]


def test_an_unknown_host_key_is_refused(dropbear: Server) -> None:
    with pytest.raises(AuthenticationError, match="not known"):
        dropbear.connect(known_hosts=(dropbear.folder / "none",))


def test_a_silent_command_is_ended(dropbear: Server) -> None:
    with dropbear.connect() as device:
        process = device.start(["sh", "-c", "echo begun; sleep 600"])
        # The bound counts from here: a login takes longer than it on a busy machine.
        assert process.stdout.readline() == b"begun\n"
        with pytest.raises(DeviceError, match="did not end within"):
            process.wait(1.0)
        assert device.run(["true"]).exit_status == 0


def test_a_command_is_asked_for_again_where_its_channel_was_closed_before(dropbear: Server) -> None:
    key = paramiko.Ed25519Key.from_private_key_file(str(dropbear.folder / "user_key"))
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(dropbear.folder / "known_hosts"))
        client.connect("127.0.0.1", dropbear.port, dropbear.user, pkey=key, look_for_keys=False, allow_agent=False)
        transport = client.get_transport()
        assert transport is not None
        ending, unused = transport.open_session(), transport.open_session()
        ending.exec_command("true")
        # Dropbear closes it as the other one's command ends.
        assert unused.recv(1) == b""
        process = SshProcess("ssh://dropbear", ["cat"], unused, transport.open_session)
        said = run_to_end(process, b"words", timeout_s=30.0, command="cat", address="ssh://dropbear")
    assert (said.exit_status, said.stdout) == (0, b"words")


CONFIRMING = {
    "an application in the background": ("sleep 600 & echo $! >number", 0),
    "one whose streams are closed": ("sleep 600 <&- >&- 2>&- & echo $! >number", 0),
    "one that prints on and on": (
        "{ trap '' PIPE; while sleep 0.2; do echo .; done; } 2>/dev/null & echo $! >number",
        0,
    ),
    "a child of a check that fails": ("sleep 600 & echo $! >number; echo broken; exit 3", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("server", ["sshd", "dropbear"])
@pytest.mark.parametrize("case", CONFIRMING)
def test_what_a_confirming_command_leaves_behind_is_not_waited_for(
    make_bundle, request: pytest.FixtureRequest, server: str, case: str
) -> None:
    reached: Server = request.getfixturevalue(server)
    command, exit_status = CONFIRMING[case]
    with reached.connect() as device:
        try:
            if exit_status:
                with pytest.raises(DeviceError, match="was not confirmed") as caught:
                    push(make_bundle(), device, confirm=command)
                assert "exit status 3" in caught.value.why
            else:
                assert push(make_bundle(), device, confirm=command).activated
                assert [release.current for release in releases(device)] == [True]
            # It goes on: the device's owner started it to stay.
            assert device.run(["sh", "-c", 'kill -0 "$(cat number)"']).exit_status == 0
        finally:
            device.run(["sh", "-c", 'kill "$(cat number)"'])


@pytest.mark.slow
@pytest.mark.parametrize("server", ["sshd", "dropbear"])
def test_a_confirming_command_that_prints_dots_for_ever_is_ended(
    make_bundle, request: pytest.FixtureRequest, server: str
) -> None:
    reached: Server = request.getfixturevalue(server)
    with reached.connect() as device:
        dots = "while sleep 0.2; do printf .; done"
        with pytest.raises(DeviceError, match="was not confirmed") as caught:
            carry_out(PushRequest(bundle=make_bundle(), confirm=dots, confirm_timeout_s=3.0), device)
        assert "did not end within 3 s" in caught.value.why
        assert list(releases(device)) == [] or not any(release.current for release in releases(device))


@pytest.mark.slow
def test_a_server_that_hangs_does_not_hold_who_ends_a_command(sshd: Server) -> None:
    """The process of our connection is stopped, as on a board that swaps itself to death."""
    with sshd.connect() as device:
        process = device.start(["sh", "-c", "echo $PPID; exec sleep 600"])
        server = int(process.stdout.readline())
        while not Path(f"/proc/{server}/comm").read_text().startswith("sshd"):  # shells are between it and the command
            server = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(server, signal.SIGSTOP)
        try:
            with pytest.raises(DeviceError, match="did not end within"):
                process.wait(1.0)
        finally:
            os.kill(server, signal.SIGCONT)
