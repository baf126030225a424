"""A store that belongs to somebody else, or that others can write, is not used."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.device_store import store, tree

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, releases, rollback
from edgedeploy.deploy.scripts.asking import LIST
from edgedeploy.deploy.scripts.running import argv
from edgedeploy.deploy.scripts.trust import UNTRUSTED
from edgedeploy.deploy.status import status
from edgedeploy.deploy.uninstall import uninstall_everything
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.values.bundle import Bundle

pytestmark = pytest.mark.slow

OTHER = 12345
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="giving a file away needs root")


def refusal(device: LocalConnection) -> DeviceError:
    """What all that writes and all that runs says of the store."""
    found = []
    for use in (releases, current_release, status, rollback, uninstall_everything):
        with pytest.raises(DeviceError) as caught:
            use(device)
        found.append(str(caught.value))
    assert len(set(found)) == 1
    return caught.value


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("place", ["", "releases", "releases/model", "releases/model/ID", "blobs/sha256", "current"])
def test_others_can_write(
    make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path, place: str, mode: int
) -> None:
    release = push(make_bundle(), device).release
    folder = store(home) / place.replace("ID", release.id)
    folder.chmod(mode)
    before = tree(home)
    error = refusal(device)
    assert error.what == f"{folder} on local: can be written by other users"
    assert error.hint == shlex.join(["chmod", "go-w", str(folder)])
    with pytest.raises(DeviceError, match="can be written by other users"):
        push(make_bundle(version="2"), device)
    assert tree(home) == before
    # What the message says to do mends it.
    subprocess.run(["sh", "-c", error.hint], check=True)
    assert current_release(device) == release


def test_files_that_say_what_is_current_before_or_allowed(
    make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path
) -> None:
    push(make_bundle(), device)
    release = push(make_bundle(version="2"), device).release
    files = [store(home) / f"releases/model/{release.id}.parent", store(home) / "allowed_signers"]
    for file in files:
        file.touch()
        file.chmod(0o666)
    hint = refusal(device).hint
    assert set(shlex.split(hint)[2:]) == {str(file) for file in files}


@needs_root
@pytest.mark.parametrize("place", ["", "blobs", "releases/model"])
def test_of_another_user(make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path, place: str) -> None:
    push(make_bundle(), device)
    folder = store(home) / place
    os.chown(folder, OTHER, OTHER)
    error = refusal(device)
    assert error.what == f"{folder} on local: belongs to another user"
    assert error.hint == shlex.join(["chown", "-R", "root", str(folder)])
    subprocess.run(["sh", "-c", error.hint], check=True)
    assert push(make_bundle(version="2"), device).activated


def test_link_to_a_folder_of_ones_own_is_used(make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path):
    """The store is on a larger disk."""
    (home.parent / "disk").mkdir(mode=0o755)
    home.mkdir(exist_ok=True)
    store(home).symlink_to(home.parent / "disk")
    release = push(make_bundle(), device).release
    assert current_release(device) == release
    # Whoever can write beside it, can put another folder in its place.
    home.parent.chmod(0o777)
    assert refusal(device).hint == shlex.join(["chmod", "go-w", str(home.parent)])
    # In a folder such as /tmp they cannot.
    home.parent.chmod(0o1777)
    assert current_release(device) == release


def test_link_to_a_folder_that_is_not_there(
    make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path
) -> None:
    store(home).symlink_to(home.parent / "not mounted")
    assert "is a link to a folder that is not there" in refusal(device).what
    with pytest.raises(DeviceError, match="is a link to a folder that is not there"):
        push(make_bundle(), device)


@needs_root
def test_link_of_another_user(make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path) -> None:
    push(make_bundle(), device)
    store(home).rename(home.parent / "disk")
    store(home).symlink_to(home.parent / "disk")
    os.chown(store(home), OTHER, OTHER, follow_symlinks=False)
    assert "belongs to another user" in refusal(device).what


@pytest.mark.parametrize("shell", [["dash"], ["bash"], ["busybox", "sh"]])
def test_in_every_shell(home: Path, device: LocalConnection, shell: list[str]) -> None:
    if device.run(["which", shell[0]]).exit_status:
        pytest.skip(f"there is no {shell[0]}")
    store(home).mkdir(mode=0o755)
    words = [*shell, *argv(LIST)[1:]]
    assert device.run(words).exit_status == 0
    store(home).chmod(0o777)
    done = device.run(words)
    assert done.exit_status == UNTRUSTED and done.stderr.decode().endswith("\nopen .edgedeploy\n")


def test_programs_of_a_bundle_know_no_secrets(
    make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its own check nor the command that confirms it."""
    for name in ("EDGEDEPLOY_SSH_PASSPHRASE", "SSH_AUTH_SOCK", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "nobody-elses")
    run = b"#!/bin/sh\nenv >checked\necho '{\"healthy\":true}'\n"
    push(make_bundle(files={"run": run}), device, confirm="env >confirmed")
    for name in ("checked", "confirmed"):
        given = (home / name).read_text()
        assert "PATH=" in given and "nobody-elses" not in given
