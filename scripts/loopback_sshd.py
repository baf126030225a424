"""A real OpenSSH server on loopback, as the user who runs it: for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from edgedeploy.device.emulator.keys import KeyPair, new_key_pair
from edgedeploy.device.ssh.connection import SshConnection
from edgedeploy.device.ssh.settings import SshSettings

# Sets the working folder, which sshd takes from the user database, and otherwise runs what was asked.
_FORCED = """ForceCommand {before}; cd "$HOME" && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n"""


@dataclass
class Server:
    """An sshd, what it trusts, and the way into it."""

    folder: Path
    home: Path
    """HOME and working folder of every command."""
    port: int
    host_key: KeyPair
    user_key: KeyPair
    process: subprocess.Popen[bytes]
    user: str = field(default_factory=lambda: pwd.getpwuid(os.getuid()).pw_name)

    @property
    def address(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    @property
    def known_name(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    @property
    def settings(self) -> SshSettings:
        """With the right key and the right known_hosts file."""
        return SshSettings(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            key_paths=(self.folder / "user_key",),
            only_these_keys=True,
            known_hosts=(self.folder / "known_hosts",),
        )

    def connect(self, **changes: object) -> SshConnection:
        return SshConnection(self.address, structs.replace(self.settings, **changes))

    def cut(self) -> None:
        """End every connection at once, as a lost network does; the server itself lives on."""
        for child in _children(self.process.pid):
            for process in (*_children(child), child):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


_NAMESPACE = ("unshare", "-m") if os.getuid() == 0 else ("unshare", "--map-current-user", "-m")


def may_mount() -> bool:
    """Tell whether this machine allows mount namespaces."""
    return subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


def _in_namespace(folder: Path, home: Path, login_shell: str | None) -> list[str]:
    """Return the words that start a program with another user database."""
    if login_shell is None:
        return []
    user = pwd.getpwuid(os.getuid()).pw_name
    lines = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith(f"{user}:")]
    lines.append(f"{user}:x:{os.getuid()}:{os.getgid()}::{home}:{login_shell}")
    (folder / "passwd").write_text("\n".join(lines) + "\n")
    bind = 'mount --bind "$1" /etc/passwd && shift && exec "$@"'
    return [*_NAMESPACE, "sh", "-c", bind, "sh", str(folder / "passwd")]


@contextlib.contextmanager
def serve(
    folder: Path,
    home: Path,
    *,
    forced: bool = True,
    before: str = ":",
    settings: str = "",
    login_shell: str | None = None,
) -> Iterator[Server]:
    """An sshd in the foreground that keeps all its files in `folder`.

    Args:
        forced: commands run in `home`; otherwise in the user's real home folder, so that only harmless ones may be run.
        before: what the shell does first, as the files of a login shell may.
        settings: more lines for sshd_config.
        login_shell: the user's, as the user database of this server alone has it, and `home` their home folder there.
            Needs mount namespaces; `may_mount` tells.
    """
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise RuntimeError("no sshd: apt-get install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder.mkdir()
    home.mkdir(exist_ok=True)
    host_key, user_key = new_key_pair(), new_key_pair()
    private(folder / "host_key", host_key.private)
    private(folder / "user_key", user_key.private)
    (folder / "authorized_keys").write_text(user_key.public + "\n")
    port = free_port()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key.public}\n")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PermitRootLogin prohibit-password\nMaxStartups 100\n"
        + ("" if login_shell else f'SetEnv "HOME={home}"\n')
        + settings
        + (_FORCED.format(before=before) if forced and not login_shell else "")
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*_in_namespace(folder, home, login_shell), program,
             "-D", "-e", "-f", str(folder / "sshd_config"), "-p", str(port)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    server = Server(folder, home, port, host_key, user_key, process)
    try:
        for _ in range(1000):
            if process.poll() is not None:
                raise RuntimeError(f"sshd ended: {(folder / 'log').read_text()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10.0) as probe:
                if probe.recv(4) == b"SSH-":
                    break
            time.sleep(0.03)
        else:
            raise RuntimeError(f"sshd does not listen: {(folder / 'log').read_text()}")
        yield server
    finally:
        with contextlib.suppress(FileNotFoundError):
            server.cut()
        process.kill()
        process.wait()
