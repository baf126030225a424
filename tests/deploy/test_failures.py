"""Why a script failed, from the words of the tools that it is made of."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgedeploy.deploy.scripts.failures import IS_FULL, FailureKind, failure_kind
from edgedeploy.deploy.scripts.running import failed
from edgedeploy.device.connection import Completed
from edgedeploy.device.local import LocalConnection


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("tar: 0123: Cannot write: No space left on device", FailureKind.NO_SPACE),
        ("gzip: stdout: Disk quota exceeded", FailureKind.NO_SPACE),
        ("ln: failed to create symbolic link 'lock': Read-only file system", FailureKind.READ_ONLY),
        ("mkdir: can't create directory '.edgedeploy': Permission denied", FailureKind.NOT_PERMITTED),
        ("sh: not found", FailureKind.OTHER),
        ("", FailureKind.OTHER),
    ],
)
def test_kinds(output: str, kind: FailureKind) -> None:
    assert failure_kind(output) is kind


@pytest.mark.parametrize(
    ("output", "full"),
    [("No space left on device", True), ("no space", True), ("Disk quota exceeded", True), ("it broke", False)],
)
def test_a_script_knows_a_full_disk_too(output: str, full: bool) -> None:
    done = subprocess.run(["sh", "-c", f'{IS_FULL}is_full "$1"', "sh", output], check=False)
    assert (done.returncode == 0) == full


def test_the_error_quotes_the_end_and_has_the_way_out(tmp_path: Path) -> None:
    device = LocalConnection("local:", tmp_path)
    error = failed(device, "be locked", Completed(exit_status=1, stdout=b"", stderr=b"1\n2\n3\n4\nPermission denied\n"))
    assert error.what == "local: cannot be locked"
    assert error.why == "2 | 3 | 4 | Permission denied"
    assert "home folder" in error.hint
    # A login shell that lets nobody in says so on standard output.
    refused = Completed(exit_status=1, stdout=b"This account is not available.\n", stderr=b"")
    assert failed(device, "be locked", refused).why == "This account is not available."
    assert failed(device, "be locked", Completed(exit_status=9, stdout=b"", stderr=b"")).why == "exit status 9"
