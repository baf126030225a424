"""Users that an authority vouches for, and devices that are reached over IPv6."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from loopback_sshd import serve

from edgedeploy.device.address import connect
from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.foundation.errors import AuthenticationError

pytestmark = pytest.mark.device


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "authority"], check=True)
    return tmp_path / "authority"


def certified(authority: Path, user: str, *, validity: str = "+1h") -> Path:
    """A new key whose certificate lies beside it, as OpenSSH wants it."""
    pair = new_key_pair()
    key = authority.parent / f"certified{len(list(authority.parent.iterdir()))}"
    key.write_bytes(pair.private)
    key.chmod(0o600)
    public = key.with_name(f"{key.name}.pub")
    public.write_text(f"{pair.public}\n")
    words = ["ssh-keygen", "-q", "-s", authority, "-I", "a test", "-n", user, "-V", validity, public]
    subprocess.run(words, check=True)
    return key


def test_a_certificate_beside_the_key(authority: Path, tmp_path: Path) -> None:
    with serve(tmp_path / "sshd", tmp_path / "home", settings=f"TrustedUserCAKeys {authority}.pub\n") as sshd:
        key = certified(authority, sshd.user)
        with sshd.connect(key_paths=(key,)) as device:
            assert device.run(["echo", "in"]).stdout == b"in\n"
        key.with_name(f"{key.name}-cert.pub").unlink()
        with pytest.raises(AuthenticationError, match="rejected login as"):
            sshd.connect(key_paths=(key,))
        for wrong in (certified(authority, "somebody-else"), certified(authority, sshd.user, validity="-2h:-1h")):
            with pytest.raises(AuthenticationError, match="rejected login as"):
                sshd.connect(key_paths=(wrong,))


def test_a_device_over_ipv6(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6, not even on loopback")
    with serve(tmp_path / "sshd", tmp_path / "home", settings="ListenAddress ::1\n") as sshd:
        known = (sshd.folder / "known_hosts").read_text().replace("[127.0.0.1]", "[::1]")
        (sshd.folder / "known_hosts6").write_text(known)
        folder = Path.home() / ".ssh"
        folder.mkdir()
        (folder / "config").write_text(
            f"Host six\n  HostName ::1\n  Port {sshd.port}\n"
            f"Host *\n  IdentityFile {sshd.folder}/user_key\n  UserKnownHostsFile {sshd.folder}/known_hosts6\n"
        )
        for address in (f"ssh://{sshd.user}@[::1]:{sshd.port}", f"ssh://{sshd.user}@six"):
            with connect(address) as device:
                assert device.run(["sh", "-c", "echo $SSH_CONNECTION"]).stdout.split()[2] == b"::1"
