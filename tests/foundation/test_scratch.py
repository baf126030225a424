"""What killed processes leave is removed by the next run, and what living ones hold is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgedeploy.foundation.files import replacing_folder, write_bytes
from edgedeploy.foundation.scratch import scratch_folder, set_aside, sweep

_HOLDS = """
import signal
import sys
from pathlib import Path
from edgedeploy.cli.signals import StoppedError, raise_when_stopped
from edgedeploy.foundation.files import replacing_file, replacing_folder
from edgedeploy.foundation.scratch import scratch_folder

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and stays so
raise_when_stopped()
kinds = {"file": replacing_file, "folder": replacing_folder, "scratch": scratch_folder}
place = Path(sys.argv[2])
try:
    with kinds[sys.argv[1]](place if sys.argv[1] == "scratch" else place / "out"):
        print("ready", flush=True)
        sys.stdin.read()
except StoppedError as stop:
    sys.exit(stop.exit_code)
"""


def holder(kind: str, place: Path) -> subprocess.Popen[bytes]:
    """Start a process that is in the middle of writing to `place`."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDS, kind, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


def end(process: subprocess.Popen[bytes], number: int) -> int:
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "folder", "scratch"])
def test_what_a_killed_process_left_is_removed_by_the_next(place: Path, kind: str) -> None:
    killed, living = holder(kind, place), holder(kind, place)
    try:
        assert len(list(place.iterdir())) == 2
        assert end(killed, signal.SIGKILL) == -signal.SIGKILL
        assert len(list(place.iterdir())) == 2
        write_bytes(place / "another", b"")
        assert len([path for path in place.iterdir() if path.name != "another"]) == 1  # that of the living one
    finally:
        end(living, signal.SIGKILL)
    sweep(place)
    assert [path.name for path in place.iterdir()] == ["another"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_one_that_is_told_to_stop_leaves_nothing(place: Path, number: signal.Signals) -> None:
    assert end(holder("folder", place), number) == 128 + number
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("is_replaced", [True, False])
def test_what_was_set_aside_goes_back_where_nothing_took_its_place(place: Path, *, is_replaced: bool) -> None:
    with replacing_folder(place / "out") as folder:
        aside = set_aside(folder)
        (folder / "file").write_bytes(b"new")
    (place / "out").rename(aside)
    if is_replaced:
        (place / "out").mkdir()
    sweep(place)
    assert [path.name for path in place.iterdir()] == ["out"]
    assert (place / "out/file").exists() is not is_replaced


def test_what_others_left_is_not_ours(place: Path) -> None:
    names = [".out.abcdefgh.partial", ".edgedeploy-abcdefgh", "out.edgedeploy-abcdefgh.partial", ".out.partial"]
    for name in names:
        (place / name).mkdir()
    os.mkfifo(place / ".pipe")
    sweep(place)
    assert {path.name for path in place.iterdir()} == {*names, ".pipe"}


def test_a_scratch_folder_is_gone_after_its_block(place: Path) -> None:
    with scratch_folder(place / "new") as folder:
        (folder / "file").write_bytes(b"x")
    assert list((place / "new").iterdir()) == []
