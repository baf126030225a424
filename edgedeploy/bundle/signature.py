"""Sign bundles and check who signed them: SSH keys (SSHSIG), as `ssh-keygen -Y` writes and checks them.

The manifest is what is signed: it lists every other file with its SHA-256. The signature lies beside the bundle, in
`BUNDLE.sig`, so that a bundle is the same with and without one. Format:
https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig; who may sign is said as ssh-keygen(1),
«ALLOWED SIGNERS», has it. Nothing here needs edgedeploy: `ssh-keygen -Y verify -f allowed_signers -I WHO
-n edgedeploy-bundle -s BUNDLE.sig < manifest.json` says the same.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

from edgedeploy.foundation.errors import HostError, IntegrityError, InvalidFileError
from edgedeploy.foundation.files import config_folder, unreadable, write_bytes
from edgedeploy.foundation.ownership import require_own_file, require_secret_file
from edgedeploy.foundation.programs import find, last_lines, parent_tie
from edgedeploy.foundation.reading import KEY, SIGNATURE, SIGNERS, read_file

NAMESPACE = "edgedeploy-bundle"
"""What a signature is for: one that was made for git or for mail says nothing about a bundle."""
SUFFIX = ".sig"
EARLIEST_CLOCK_S = 1_704_067_200
"""2024-01-01, in seconds since 1970. A clock before that is plainly wrong: there was no edgedeploy then. Keys are valid
by it that are not any more."""
SIGNERS_VARIABLE = "EDGEDEPLOY_ALLOWED_SIGNERS"

_TIMEOUT_S = 300.0
"""Somebody may have to find a passphrase, or touch a security key."""


def signature_path(bundle: Path) -> Path:
    """Return the path of the signature beside `bundle`."""
    return bundle.with_name(bundle.name + SUFFIX)


def allowed_signers(given: Path | None = None) -> Path:
    """Find the file of allowed signers: the one given, or of the environment, or of the configuration."""
    named = os.environ.get(SIGNERS_VARIABLE)
    return given or (Path(named) if named else config_folder() / "allowed_signers")


def check_key(key: Path) -> None:
    """Raise InvalidFileError unless there is a file `key` that a key can be: before the work whose result it is to
    sign. ssh-keygen reads a file of any size whole."""
    try:
        read_file(key, KEY)
    except FileNotFoundError as error:
        raise InvalidFileError(f"there is no key {key}", hint="make one with: ssh-keygen -t ed25519") from error
    except OSError as error:
        raise unreadable(key, error) from error


def sign(manifest: bytes, bundle: Path, key: Path) -> Path:
    """Sign a bundle's manifest and write the signature beside the bundle.

    Args:
        key: a private key; or a public one whose private key an agent holds. ssh-keygen asks for a passphrase itself.

    Returns:
        The path of the signature.

    Raises:
        InvalidFileError: there is no such key, or ssh-keygen cannot use it.
        HostError: ssh-keygen is not installed, or the signature cannot be written.
    """
    check_key(key)
    require_secret_file(key)
    done = _ssh_keygen("sign", "-q", "-n", NAMESPACE, "-f", str(key), content=manifest)
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise InvalidFileError(
            f"{key} cannot be signed with", why=_end_of(done), hint="check the key and its passphrase"
        )
    path = signature_path(bundle)
    write_bytes(path, done.stdout)
    return path


def read_signature(bundle: Path) -> bytes | None:
    """Read the signature beside a bundle; None when there is none.

    Raises:
        InvalidFileError: it cannot be read, or is too large for one.
    """
    path = signature_path(bundle)
    try:
        return read_file(path, SIGNATURE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def signer(manifest: bytes, signature: bytes | None, signers: Path, bundle: Path) -> str:
    """Check a manifest's signature. Returns who signed it, as the file `signers` calls them.

    Raises:
        IntegrityError: there is no signature, it is of other bytes or for another purpose, or its key is not allowed.
        InvalidFileError: there is no file `signers`, or other users can write it.
        HostError: ssh-keygen is not installed, or this machine's clock is plainly wrong.
    """
    if time.time() < EARLIEST_CLOCK_S:
        raise HostError(
            f"the signature of {bundle} cannot be checked: this machine's clock is wrong",
            why=f"it says {time.strftime('%Y-%m-%d', time.gmtime())}: whether a key is valid today is not determined",
            hint="set the clock, then try again",
        )
    if not signers.is_file():
        raise InvalidFileError(
            f"there is no {signers}",
            why="it says whose signatures count",
            hint=f"write lines of: WHO KEYTYPE KEY; or name a file by --allowed-signers or {SIGNERS_VARIABLE}",
        )
    require_own_file(signers)
    try:
        read_file(signers, SIGNERS)  # ssh-keygen would read it whatever its size
    except OSError as error:
        raise unreadable(signers, error) from error
    if signature is None:
        raise IntegrityError(
            f"{bundle} is not signed",
            why=f"there is no {signature_path(bundle)}",
            hint=f"edgedeploy bundle sign {shlex.quote(str(bundle))} --key FILE",
        )
    with tempfile.NamedTemporaryFile(prefix="edgedeploy-", suffix=SUFFIX) as kept:
        kept.write(signature)
        kept.flush()
        found = _ssh_keygen("find-principals", "-s", kept.name, "-f", str(signers), content=b"")
        if found.returncode:
            raise IntegrityError(
                f"{bundle} is signed with a key that {signers} does not allow",
                why=_end_of(found),
                hint="add the signer's public key there, if you trust them",
            )
        who, why = _signer_by_line(manifest, Path(kept.name), signers)
        if who is not None:
            return who
        genuine = _ssh_keygen("check-novalidate", "-n", NAMESPACE, "-s", kept.name, content=manifest)
    if genuine.returncode == 0:
        raise IntegrityError(
            f"{bundle} is signed with a key that {signers} does not allow for this",
            why=why,
            hint=f"look at namespaces, valid-after and valid-before of this key's lines in {signers}",
        )
    raise IntegrityError(
        f"the signature of {bundle} is not one of its manifest",
        why=_end_of(genuine),
        hint="take the bundle from whoever made it again; if you changed it yourself, sign it again",
    )


def _signer_by_line(manifest: bytes, signature: Path, signers: Path) -> tuple[str | None, str]:
    """Verify with each line by itself: of a whole file, ssh-keygen names only the first line that has the key.

    Another line may have the same key with other options, or another name that a pattern of this one matches.

    Returns:
        The first name of the first line that verifies, or None; and why the last line with this key did not.
    """
    why = "its lines are for nobody"
    with tempfile.NamedTemporaryFile(prefix="edgedeploy-", suffix=".signers") as alone:
        for line in read_file(signers, SIGNERS).split(b"\n"):
            if not line.strip() or line.lstrip().startswith(b"#"):
                continue
            alone.seek(0)
            alone.truncate()
            alone.write(line + b"\n")
            alone.flush()
            files = ("-s", str(signature), "-f", alone.name)
            found = _ssh_keygen("find-principals", *files, content=b"")
            if found.returncode:
                continue
            # A line may have several names; one with `!` is whom it is not for.
            named = (each.strip() for each in found.stdout.decode(errors="replace").replace("\n", ",").split(","))
            for who in dict.fromkeys(each for each in named if each and not each.startswith("!")):
                checked = _ssh_keygen("verify", *files, "-I", who, "-n", NAMESPACE, content=manifest)
                if checked.returncode == 0:
                    return who, ""
                why = _end_of(checked).replace(alone.name, str(signers))
    return None, why


def _ssh_keygen(action: str, *words: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
    tie, before = parent_tie()
    command = [*tie, find("ssh-keygen"), "-Y", action, *words]
    try:
        return subprocess.run(
            command, input=content, capture_output=True, timeout=_TIMEOUT_S, check=False, preexec_fn=before
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"ssh-keygen -Y {action} has not come to an end in {_TIMEOUT_S / 60:g} minutes") from error
    except OSError as error:
        raise HostError("ssh-keygen cannot be started", why=str(error)) from error


def _end_of(done: subprocess.CompletedProcess[bytes]) -> str:
    return last_lines(done.stderr, done.stdout, count=3) or f"exit {done.returncode}"
