"""Getting into a device over SSH, and every way in which that fails."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from edgedeploy.deploy.releases import list_releases
from edgedeploy.device.address import connect
from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.foundation.errors import (
    AuthenticationError,
    DeviceError,
    InvalidFileError,
    UnreachableError,
    UnsupportedError,
)

pytestmark = pytest.mark.device


def ssh_config(text: str) -> None:
    folder = Path.home() / ".ssh"
    folder.mkdir(exist_ok=True)
    (folder / "config").write_text(text)


def says_hello(connection: object) -> bool:
    return connection.run(["echo", "hello"]).stdout == b"hello\n"  # type: ignore[attr-defined]


class TestHostKey:
    def test_unknown_is_refused_with_what_to_do(self, sshd, tmp_path: Path) -> None:
        known_hosts = tmp_path / "empty"
        known_hosts.touch()
        with pytest.raises(AuthenticationError, match="is not known") as caught:
            sshd.connect(known_hosts=(known_hosts,))
        seen = subprocess.run(
            ["ssh-keygen", "-lf", "-"], input=sshd.host_key.public, capture_output=True, text=True, check=True
        ).stdout.split()[1]
        assert seen in caught.value.why
        assert sshd.known_name in caught.value.why
        assert "--accept-new" in caught.value.hint
        assert known_hosts.read_text() == ""

    def test_accept_new_remembers_it(self, sshd, tmp_path: Path) -> None:
        known_hosts = tmp_path / "new folder" / "known_hosts"
        with sshd.connect(known_hosts=(known_hosts,), accept_new=True) as connection:
            assert says_hello(connection)
        assert known_hosts.read_text().split()[0] == sshd.known_name
        with sshd.connect(known_hosts=(known_hosts,)) as connection:
            assert says_hello(connection)

    def test_accept_new_keeps_a_last_line_without_an_end(self, sshd, tmp_path: Path) -> None:
        known_hosts = tmp_path / "known_hosts"
        other = f"other.example {new_key_pair().public}"
        known_hosts.write_text(other)
        sshd.connect(known_hosts=(known_hosts,), accept_new=True).close()
        assert known_hosts.read_text().splitlines()[0] == other
        sshd.connect(known_hosts=(known_hosts,)).close()

    @pytest.mark.parametrize("accept_new", [False, True])
    def test_changed_is_refused_always(self, sshd, tmp_path: Path, accept_new: bool) -> None:
        known_hosts = tmp_path / "known hosts"
        text = f"{sshd.known_name} {new_key_pair().public}\n"
        known_hosts.write_text(text)
        with pytest.raises(AuthenticationError, match="has changed") as caught:
            sshd.connect(known_hosts=(known_hosts,), accept_new=accept_new)
        assert known_hosts.read_text() == text
        # The mend is a command that mends.
        command = caught.value.hint[caught.value.hint.index("ssh-keygen") :]
        subprocess.run(["sh", "-c", command], check=True, capture_output=True)
        sshd.connect(known_hosts=(known_hosts,), accept_new=True).close()

    def test_hashed_names_are_found(self, sshd) -> None:
        subprocess.run(["ssh-keygen", "-H", "-f", sshd.folder / "known_hosts"], check=True, capture_output=True)
        assert "127.0.0.1" not in (sshd.folder / "known_hosts").read_text()
        sshd.connect().close()

    def test_lines_for_others_and_broken_ones_do_not_matter(self, sshd, tmp_path: Path) -> None:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(
            f"{sshd.known_name} ssh-ed25519 not-base64\n@cert-authority * {new_key_pair().public}\n"
            f"[127.0.0.*]:* {sshd.host_key.public}\n"
        )
        sshd.connect(known_hosts=(known_hosts,)).close()

    @pytest.mark.parametrize("accept_new", [False, True])
    def test_revoked_is_refused_always(self, sshd, tmp_path: Path, accept_new: bool) -> None:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(f"{sshd.known_name} {sshd.host_key.public}\n@revoked * {sshd.host_key.public}\n")
        with pytest.raises(AuthenticationError, match="is revoked"):
            sshd.connect(known_hosts=(known_hosts,), accept_new=accept_new)

    def test_the_file_that_has_the_changed_key_is_named(self, sshd, tmp_path: Path) -> None:
        (tmp_path / "second").write_text(f"{sshd.known_name} {new_key_pair().public}\n")
        with pytest.raises(AuthenticationError) as caught:
            sshd.connect(known_hosts=(tmp_path / "first", tmp_path / "second"))
        assert str(tmp_path / "second") in caught.value.hint

    def test_of_several_keys_the_known_one_is_asked_for(self, sshd, new_sshd, tmp_path: Path) -> None:
        """The server has an Ed25519 key too, which is preferred where nothing is known."""
        rsa_key = tmp_path / "host_rsa"
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", rsa_key], check=True)
        server = new_sshd("two-keys", settings=f"HostKey {rsa_key}\n")
        (tmp_path / "known").write_text(f"{server.known_name} {rsa_key.with_suffix('.pub').read_text()}")
        with server.connect(known_hosts=(tmp_path / "known",)) as connection:
            assert says_hello(connection)

    def test_nothing_weak_is_negotiated(self, new_sshd) -> None:
        server = new_sshd("weak", settings="Ciphers aes128-cbc,3des-cbc\n")
        with pytest.raises(UnreachableError, match="does not speak SSH with us"):
            server.connect()


class TestUserKey:
    def test_wrong(self, sshd, tmp_path: Path) -> None:
        (tmp_path / "other").write_bytes(new_key_pair().private)
        with pytest.raises(AuthenticationError, match="rejected login as") as caught:
            sshd.connect(key_paths=(tmp_path / "other",))
        assert str(tmp_path / "other") in caught.value.why
        assert f"ssh-copy-id -p {sshd.port}" in caught.value.hint

    def test_wrong_rsa(self, sshd, tmp_path: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        formats = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
        (tmp_path / "rsa").write_bytes(key.private_bytes(*formats))
        with pytest.raises(AuthenticationError, match="rejected login as"):
            sshd.connect(key_paths=(tmp_path / "rsa",))

    def test_encrypted_without_an_agent(self, sshd, tmp_path: Path) -> None:
        key = tmp_path / "locked"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
        with pytest.raises(AuthenticationError, match="encrypted") as caught:
            sshd.connect(key_paths=(key,))
        assert "ssh-add" in caught.value.hint and "EDGEDEPLOY_SSH_PASSPHRASE" in caught.value.hint

    def test_that_others_can_read(self, sshd, tmp_path: Path) -> None:
        key = tmp_path / "key"
        key.write_bytes((sshd.folder / "user_key").read_bytes())
        key.chmod(0o644)
        with pytest.raises(InvalidFileError, match="other users can read the private key") as caught:
            sshd.connect(key_paths=(key,))
        assert caught.value.hint == f"chmod 600 {key}"

    def test_encrypted_with_its_passphrase(self, sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        key = tmp_path / "locked"
        command = ["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)]
        key.write_bytes((sshd.folder / "user_key").read_bytes())
        key.chmod(0o600)
        subprocess.run(command, check=True)
        monkeypatch.setenv("EDGEDEPLOY_SSH_PASSPHRASE", "secret")
        with sshd.connect(key_paths=(key,)) as device:
            assert device.run(["echo", "in"]).stdout == b"in\n"
        monkeypatch.setenv("EDGEDEPLOY_SSH_PASSPHRASE", "wrong")
        with pytest.raises(AuthenticationError) as caught:
            sshd.connect(key_paths=(key,))
        assert "wrong" not in str(caught.value)

    def test_a_passphrase_is_asked_for_at_a_terminal(
        self, sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = tmp_path / "locked"
        key.write_bytes((sshd.folder / "user_key").read_bytes())
        key.chmod(0o600)
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)], check=True)
        asked: list[str] = []

        def answer(question: str) -> str:
            asked.append(question)
            return "secret"

        monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr("getpass.getpass", answer)
        with sshd.connect(key_paths=(key,)) as device:
            assert device.run(["true"]).exit_status == 0
        assert len(asked) == 1 and f"127.0.0.1:{sshd.port}" in asked[0]

    def test_not_a_key(self, sshd, tmp_path: Path) -> None:
        (tmp_path / "notes").write_text("not a key\n")
        with pytest.raises(AuthenticationError) as caught:
            sshd.connect(key_paths=(tmp_path / "notes",))
        assert str(tmp_path / "notes") in caught.value.why

    def test_not_there(self, sshd, tmp_path: Path) -> None:
        with pytest.raises(AuthenticationError) as caught:
            sshd.connect(key_paths=(tmp_path / "none",))
        assert str(tmp_path / "none") in caught.value.why

    def test_from_the_agent(self, sshd, agent: None) -> None:
        subprocess.run(["ssh-add", "-q", sshd.folder / "user_key"], check=True)
        with sshd.connect(key_paths=(), only_these_keys=False) as connection:
            assert says_hello(connection)

    @pytest.mark.parametrize("named", ["user_key", "user_key.pub"])
    def test_of_the_agent_s_keys_only_those_named(self, sshd, agent: None, tmp_path: Path, named: str) -> None:
        """As an encrypted key is used, or one that hardware keeps: only its public half lies there."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
        shutil.copy(sshd.folder / "user_key", tmp_path)
        public = subprocess.check_output(["ssh-keygen", "-y", "-f", sshd.folder / "user_key"])
        (tmp_path / "user_key.pub").write_bytes(public)
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", tmp_path / "user_key"], check=True)
        subprocess.run(["ssh-add", "-q", tmp_path / "other", sshd.folder / "user_key"], check=True)
        with sshd.connect(key_paths=(tmp_path / named,), only_these_keys=True) as connection:
            assert says_hello(connection)
        with pytest.raises(AuthenticationError):
            sshd.connect(key_paths=(tmp_path / "other.pub",), only_these_keys=True)

    @pytest.mark.parametrize(
        "option", ["HostKeyAlgorithms rsa-sha2-512", "KexAlgorithms none", "Ciphers chacha20*", "MACs umac*"]
    )
    def test_algorithms_that_are_not_allowed_are_not_used(self, sshd, option: str) -> None:
        ssh_config(
            f"Host pi\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n  {option}\n  IdentitiesOnly yes\n"
            f"  IdentityFile {sshd.folder}/user_key\n  UserKnownHostsFile {sshd.folder}/known_hosts\n"
        )
        with pytest.raises((UnsupportedError, UnreachableError)):
            connect("pi")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    try:
        while not place.exists():
            assert process.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        yield
    finally:
        process.kill()
        process.wait()


class TestUnreachable:
    def test_refused_port(self) -> None:
        with socket.socket() as bound:  # bound, but it does not listen
            bound.bind(("127.0.0.1", 0))
            with pytest.raises(UnreachableError, match="cannot be reached"):
                connect(f"ssh://me@127.0.0.1:{bound.getsockname()[1]}")

    def test_no_such_host(self) -> None:
        with pytest.raises(UnreachableError, match=r"no host called 'no-such-host\.invalid'"):
            connect("ssh://me@no-such-host.invalid")

    @pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff" * 500, b""])
    def test_no_ssh_there(self, greeting: bytes) -> None:
        with answering(greeting) as port, pytest.raises(UnreachableError) as caught:
            connect(f"ssh://me@127.0.0.1:{port}")
        assert "no SSH server" in caught.value.why or "does not speak SSH" in caught.value.what

    def test_silent_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(UnreachableError):
            connect(f"ssh://me@127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.3)


@contextlib.contextmanager
def answering(greeting: bytes) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                peer = listener.accept()[0]
                with peer:
                    peer.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


class TestConfig:
    def test_a_name_with_everything_in_the_file(self, sshd) -> None:
        ssh_config(
            f"Host Pi\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n"
            f"  IdentityFile {sshd.folder}/user_key\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {sshd.folder}/known_hosts\n"
        )
        for address in ("Pi", "ssh://Pi"):
            with connect(address) as connection:
                assert says_hello(connection)
                assert connection.address == address
                assert not connection.emulated

    def test_the_address_wins_over_the_file(self, sshd) -> None:
        ssh_config(
            f"Host *\n  Port 1\n  User nobody\n  IdentityFile {sshd.folder}/user_key\n"
            f"  UserKnownHostsFile {sshd.folder}/known_hosts\n"
        )
        with connect(sshd.address) as connection:
            assert says_hello(connection)

    def test_included_files(self, sshd) -> None:
        folder = Path.home() / ".ssh"
        (folder / "more").mkdir(parents=True)
        ssh_config(f"include more/* nothing-there\nUser {sshd.user}\n\nHost other\n  Port 1\n  Include more/*\n")
        (folder / "more" / "pi").write_text(
            f"Host pi\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.folder}/user_key\n"
            f"  UserKnownHostsFile {sshd.folder}/known_hosts\n"
        )
        (folder / "more" / "zero").write_text("Host zero\n  User nobody\n")
        with connect("pi") as connection:
            assert says_hello(connection)

    def test_host_key_alias(self, sshd) -> None:
        (Path.home() / "known").write_text(f"my-pi {sshd.host_key.public}\n")
        ssh_config(
            f"Host pi\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n  HostKeyAlias my-pi\n"
            f"  IdentityFile {sshd.folder}/user_key\n  UserKnownHostsFile ~/known\n"
        )
        with connect("pi") as connection:
            assert says_hello(connection)

    def test_tokens_in_the_names_of_files(self, sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KEYS", str(sshd.folder))
        (Path.home() / f"pi-127.0.0.1-{sshd.user}%").write_bytes((sshd.folder / "user_key").read_bytes())
        (Path.home() / f"pi-127.0.0.1-{sshd.user}%").chmod(0o600)
        (Path.home() / f"known-pi-{sshd.port}").write_bytes((sshd.folder / "known_hosts").read_bytes())
        ssh_config(
            f"Host pi\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n  IdentitiesOnly yes\n"
            "  IdentityFile %d/%n-%h-%r%%\n  UserKnownHostsFile ~/known-%n-%p ${KEYS}/none\n"
        )
        with connect("pi") as connection:
            assert says_hello(connection)

    @pytest.mark.parametrize("word", ["%C/key", "%z/key", "${NOT_SET_HERE}/key"])
    def test_a_token_that_is_not_expanded_is_refused(self, word: str) -> None:
        ssh_config(f"Host pi\n  IdentityFile {word}\n")
        with pytest.raises(InvalidFileError, match="cannot be read as SSH's configuration") as caught:
            connect("pi")
        assert "is not expanded" in caught.value.why

    @pytest.mark.parametrize("criterion", ["localnetwork 192.0.2.0/24", "tagged x", "exec true", "!command x"])
    def test_a_criterion_that_is_not_judged_is_refused(self, criterion: str) -> None:
        ssh_config(f"Match host pi {criterion}\n  Port 1\n")
        with pytest.raises(UnsupportedError, match="depends on `Match") as caught:
            connect("pi")
        assert "Host pi" in caught.value.hint

    def test_a_criterion_that_is_not_judged_does_no_harm_to_others(self, sshd) -> None:
        ssh_config(
            f"Match host other exec false\n  Port 1\nHost *\n  IdentityFile {sshd.folder}/user_key\n"
            f"  UserKnownHostsFile {sshd.folder}/known_hosts\n"
        )
        with connect(sshd.address) as connection:
            assert says_hello(connection)

    def test_revoked_host_keys(self, sshd, tmp_path: Path) -> None:
        revoked = tmp_path / "revoked"
        ssh_config(
            f"Host *\n  IdentityFile {sshd.folder}/user_key\n  UserKnownHostsFile {sshd.folder}/known_hosts\n"
            f"  RevokedHostKeys {revoked}\n"
        )
        with pytest.raises(InvalidFileError, match="revoked host keys, cannot be read"):
            connect(sshd.address)
        revoked.write_text(f"# lost\n{new_key_pair().public}\n")
        with connect(sshd.address) as connection:
            assert says_hello(connection)
        revoked.write_text(f"{sshd.host_key.public}\n")
        with pytest.raises(AuthenticationError, match="is revoked") as caught:
            connect(sshd.address)
        assert str(revoked) in caught.value.why
        revoked.write_bytes(b"SSHKRL\n\0")
        with pytest.raises(UnsupportedError, match="KRL"):
            connect(sshd.address)

    def test_the_file_of_all_users_may_be_another(self, sshd) -> None:
        ssh_config(f"Host *\n  IdentityFile {sshd.folder}/user_key\n  GlobalKnownHostsFile {sshd.folder}/known_hosts\n")
        with connect(sshd.address) as connection:
            assert says_hello(connection)

    def test_a_proxy_command_is_not_passed_over(self) -> None:
        ssh_config("Host pi\n  ProxyCommand nc %h %p\n")
        with pytest.raises(UnsupportedError, match="ProxyCommand") as caught:
            connect("pi")
        assert "ProxyJump" in caught.value.hint

    def test_proxy_jump(self, sshd, new_sshd: Callable[..., object]) -> None:
        bastion = new_sshd("bastion")
        ssh_config(
            f"Host pi\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.folder}/user_key\n"
            f"  UserKnownHostsFile {sshd.folder}/known_hosts\n"
            f"Host bastion\n  HostName 127.0.0.1\n  Port {bastion.port}\n  IdentityFile {bastion.folder}/user_key\n"
            f"  UserKnownHostsFile {bastion.folder}/known_hosts\n"
            f"Host *\n  User {sshd.user}\n  ProxyJump bastion\n"
        )
        with connect("pi") as connection:
            assert says_hello(connection)
            through = connection.run(["sh", "-c", "echo $SSH_CONNECTION"]).stdout.decode().split()
            assert int(through[3]) == sshd.port
            bastion.cut()
            with pytest.raises(UnreachableError, match="lost"):
                connection.run(["echo", "x"])

    def test_a_jump_host_that_does_not_reach_the_device(self, sshd) -> None:
        ssh_config(
            f"Host pi\n  HostName 127.0.0.1\n  Port 1\n  ProxyJump bastion\n"
            f"Host bastion\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n"
            f"  IdentityFile {sshd.folder}/user_key\n  UserKnownHostsFile {sshd.folder}/known_hosts\n"
        )
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1 does not reach 127\.0\.0\.1:1"):
            connect("pi")

    @pytest.mark.parametrize(
        "text",
        [
            "Host *\n  Port many\n",
            "Host *\n  Port 70000\n",
            "Host a\n  ProxyJump b\nHost b\n  ProxyJump c\nHost c\n  ProxyJump a\n",
            'Host "a\n',
            "\xff",
            "Include config\n",
            "Include 'x\n",
        ],
    )
    def test_a_file_with_a_mistake(self, text: str) -> None:
        ssh_config("")
        (Path.home() / ".ssh" / "config").write_bytes(text.encode("latin-1"))
        with pytest.raises(InvalidFileError):
            connect("a")


class TestLost:
    def test_while_a_command_runs(self, sshd) -> None:
        with sshd.connect() as connection:
            process = connection.start(["sh", "-c", "echo begun; sleep 20"])
            assert process.stdout.readline() == b"begun\n"
            sshd.cut()
            with pytest.raises(UnreachableError, match="lost"):
                process.wait(60.0)

    def test_while_input_is_sent(self, sshd) -> None:
        def stream() -> Iterator[bytes]:
            for _ in range(10):
                yield bytes(1 << 20)
            sshd.cut()
            while True:
                yield bytes(1 << 20)

        with sshd.connect() as connection, pytest.raises(UnreachableError, match="lost"):
            connection.run(["sh", "-c", "cat >/dev/null"], stdin=stream())

    def test_between_commands(self, sshd) -> None:
        with sshd.connect() as connection:
            sshd.cut()
            with pytest.raises(UnreachableError, match="lost"):
                connection.run(["echo", "x"])

    def test_closed_by_us(self, sshd) -> None:
        connection = sshd.connect()
        connection.close()
        with pytest.raises(UnreachableError):
            connection.run(["echo", "x"])


class TestNoise:
    """What files of the login shell print before a command begins."""

    @pytest.mark.parametrize("before", ["echo welcome; echo to my pi", "printf 'no end of line '", "seq 1 100000"])
    def test_is_no_output(self, new_sshd, before: str) -> None:
        with new_sshd("noisy", before=before).connect() as connection:
            assert says_hello(connection)
            process = connection.start(["sh", "-c", "read -r word; echo $word; cat"])
            process.stdin.write(b"one\ntwo\n")
            assert process.stdout.readline() == b"one\n"
            assert process.stdout.read(4) == b"two\n"
            assert process.wait(60.0).stdout == b""
            assert connection.run(["true"]).stdout == b""

    def test_without_end(self, new_sshd) -> None:
        server = new_sshd("endless", before="yes")
        with server.connect() as connection, pytest.raises(DeviceError, match="says more than it should"):
            connection.run(["echo", "x"])

    def test_of_a_shell_that_lets_nobody_in_is_told(self, new_sshd) -> None:
        with new_sshd("nologin", before="echo This account is not available.; exit 1").connect() as connection:
            with pytest.raises(DeviceError, match="runs no commands for this login") as caught:
                list_releases(connection)
            assert "not available" in caught.value.why


class TestWithoutForcedCommand:
    """As on most devices: the login shell takes the command itself. Nothing here touches the user's home folder."""

    @pytest.fixture
    def plain(self, new_sshd: Callable[..., object]) -> object:
        return new_sshd("plain", forced=False)

    @pytest.mark.parametrize(("signal", "status"), [("TERM", 143), ("KILL", 137)])
    def test_a_command_that_a_signal_ends(self, plain, signal: str, status: int) -> None:
        with plain.connect() as connection:
            assert connection.run(["sh", "-c", f"kill -{signal} $$"]).exit_status == status

    def test_kill_ends_what_neither_reads_nor_writes(self, plain) -> None:
        with plain.connect() as connection:
            process = connection.start(["sh", "-c", "sleep 20 & echo $!; wait"])
            sleeper = int(process.stdout.readline())
            assert connection.run(["kill", "-0", str(sleeper)]).exit_status == 0
            process.kill()
            script = 'n=0; while kill -0 "$1" && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done; [ $n -lt 100 ]'
            assert connection.run(["sh", "-c", script, "sh", str(sleeper)]).exit_status == 0


class TestLoginShell:
    def test_one_that_prints_on_and_on_is_ended(self, new_sshd) -> None:
        server = new_sshd("drip", before="while sleep 0.1; do printf x; done")
        with server.connect() as connection, pytest.raises(DeviceError, match=r"did not end within 1 s"):
            connection.run(["true"], timeout_s=1.0)

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("internal-sftp", "sftp connections only"),
            ("/usr/sbin/nologin", "not available"),
            ("/bin/false", "the command had not begun"),
        ],
    )
    def test_one_that_runs_no_commands_is_told(self, new_sshd, command: str, words: str) -> None:
        server = new_sshd("restricted", forced=False, settings=f"ForceCommand {command}\n")
        with server.connect() as connection:
            with pytest.raises(DeviceError, match="runs no commands for this login") as caught:
                connection.run(["true"])
            assert words in caught.value.why
            with pytest.raises(DeviceError, match="runs no commands for this login"):
                connection.start(["true"]).stdout.readline()
