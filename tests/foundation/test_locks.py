"""One at a time, between processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgedeploy.foundation.errors import BusyError, HostError
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.progress import SILENT

_HOLDER = """
import sys
from pathlib import Path
from edgedeploy.foundation.locks import exclusive

with exclusive(Path(sys.argv[1]), "testing"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `thing` until its standard input is closed, or it is killed."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "thing")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


class Waiting:
    """A `Progress` that lets the test know that somebody waits."""

    step, advance = SILENT.step, SILENT.advance

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.text = ""

    def note(self, text: str) -> None:
        self.text = text
        self.begun.set()


def test_a_lock_keeps_others_out(tmp_path: Path) -> None:
    with exclusive(tmp_path / "thing", "testing"):
        with (
            pytest.raises(BusyError, match="another edgedeploy is testing"),
            exclusive(tmp_path / "thing", "testing", patience_s=0.0),
        ):
            pytest.fail("the lock is held")
        with exclusive(tmp_path / "other", "testing", patience_s=0.0):
            pass
    with exclusive(tmp_path / "thing", "testing", patience_s=0.0):
        pass


def test_of_another_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(BusyError, match="another edgedeploy is testing") as caught,
        exclusive(tmp_path / "thing", "testing", patience_s=0.3),
    ):
        pytest.fail("the lock is held")
    assert str(tmp_path / ".thing.lock") in caught.value.why


@pytest.mark.parametrize("killed", [False, True])
def test_who_waits_says_so_and_goes_on_when_the_holder_ends(
    tmp_path: Path, holder: subprocess.Popen[str], killed: bool
) -> None:
    waiting, held = Waiting(), threading.Event()

    def wait() -> None:
        with exclusive(tmp_path / "thing", "testing", waiting, patience_s=60.0):
            held.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.begun.wait(60.0)
    assert waiting.text == "waiting for another edgedeploy, which is testing"
    assert not held.is_set()
    if killed:
        holder.send_signal(signal.SIGKILL)
    else:
        assert holder.stdin is not None
        holder.stdin.close()
    thread.join(60.0)
    assert held.is_set()


def test_a_place_where_no_lock_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError), exclusive(tmp_path / "file" / "thing", "testing"):
        pytest.fail("there is no such folder")
