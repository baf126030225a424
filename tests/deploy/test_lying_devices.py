"""Devices whose answers are not to be believed: nothing of them is run, written anywhere, obeyed by the terminal, or
waited for without end; and what ends a command is a message, not a traceback."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.table import Table

from edgedeploy.cli.output import Output
from edgedeploy.deploy.device_log import read_log
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, list_releases, rollback
from edgedeploy.deploy.status import status
from edgedeploy.deploy.uninstall import uninstall
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.connection import Completed
from edgedeploy.device.local import LocalConnection
from edgedeploy.device.probe.probe import probe
from edgedeploy.foundation.errors import DeviceError, EdgedeployError

pytestmark = pytest.mark.slow

_NASTY = (
    b"; touch /tmp/x\n", b"$(touch x)", b"`touch x`", b"../../../../etc/passwd", b"/etc/passwd", b"\n", b"\0", b" ",
    b"\x1b]0;title\x07", b"\x1b[2J\x1b[31m", b"\x9b31m", b"\r", b"\xff\xfe", "²".encode(), "\u202e".encode(), b"-rf",
    b"9" * 5000, b"-1", b"1e400", b"NaN", b"{" * 2000, b"x" * 100_000, b"",
)  # fmt: skip

Mutation = Callable[[bytes], bytes]


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """Another answer, made of the true one: a piece of it replaced, doubled, cut off, or all of it another."""
    kind = draw(st.sampled_from(["replace", "insert", "cut", "double", "words", "other"]))
    place, span = draw(st.floats(0, 1)), draw(st.integers(1, 40))
    nasty = draw(st.one_of(st.sampled_from(_NASTY), st.binary(max_size=60)))

    def mutate(true: bytes) -> bytes:
        at = int(place * len(true))
        match kind:
            case "replace":
                return true[:at] + nasty + true[at + span :]
            case "insert":
                return true[:at] + nasty + true[at:]
            case "cut":
                return true[:at]
            case "double":
                return true + true
            case "words":
                words = true.split(b" ")
                words[int(place * (len(words) - 1))] = nasty
                return b" ".join(words)
            case _:
                return nasty

    return mutate


class Liar(LocalConnection):
    """Does what it is told, and says something else, from the `truths`th answer on."""

    def __init__(self, home: Path) -> None:
        super().__init__("local:", home)
        self.mutate: Mutation = lambda true: true
        self.status: int | None = None
        self.truths = 0

    def run(self, argv: Sequence[str], **more: Any) -> Completed:
        completed = super().run(argv, **more)
        self.truths -= 1
        if self.truths >= 0:
            return completed
        return Completed(
            exit_status=completed.exit_status if self.status is None else self.status,
            stdout=self.mutate(completed.stdout),
            stderr=self.mutate(completed.stderr),
        )


def shown(*values: object) -> str:
    """As a command prints it into a pipe."""
    table = Table("said")
    for value in values:
        table.add_row(str(value), style="bold")
    with redirect_stdout(io.StringIO()) as said:
        Output(as_json=False, quiet=False, verbose=0).result(values, *map(str, values), table)
    return said.getvalue()


@pytest.fixture
def pushed() -> dict[str, Any]:
    """What one example leaves for the next: a device with two releases, to be copied."""
    return {}


def words_in(value: Any) -> Iterator[str]:
    """All texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (*words_in(key), *words_in(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from words_in(item)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    mutate=mutations(),
    exit_status=st.sampled_from([None, None, 0, 1, 4, 5, 127, 255]),
    truths=st.integers(0, 4),
    which=st.sampled_from(["list", "current", "log", "status", "broken", "probe", "rollback", "uninstall", "push"]),
)
def test_whatever_it_says(
    make_bundle: Any,
    pushed: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    mutate: Mutation,
    exit_status: int | None,
    truths: int,
    which: str,
) -> None:
    home = tmp_path_factory.mktemp("liar")
    if not pushed:
        truthful_home = tmp_path_factory.mktemp("truthful") / "home"
        truthful = LocalConnection("local:", truthful_home)
        pushed["release"] = push(make_bundle(), truthful).release
        push(make_bundle(version="2"), truthful)
        pushed["bundle"], pushed["home"] = make_bundle(version="3"), truthful_home
    shutil.copytree(pushed["home"], home / "home", symlinks=True)
    first, bundle = pushed["release"], pushed["bundle"]
    device = Liar(home / "home")
    device.mutate, device.status, device.truths = mutate, exit_status, truths
    actions: dict[str, Callable[[], object]] = {
        "list": lambda: list_releases(device).releases,
        "current": lambda: current_release(device),
        "log": lambda: read_log(device),
        "status": lambda: status(device, check_health=True),
        "broken": lambda: broken_files(device, first),
        "probe": lambda: probe(device),
        "rollback": lambda: rollback(device),
        "uninstall": lambda: uninstall(device, "model", releases=[first.id]),
        "push": lambda: push(bundle, device),
    }
    try:
        # As texts of their own, not as a value's representation, which escapes what it must not show.
        said = list(words_in(msgspec.to_builtins(actions[which](), enc_hook=str)))
    except EdgedeployError as error:
        said = []
        assert all(each.isprintable() or each in "\n\t" for each in str(error))
    assert all(each.isprintable() or each in "\n\t" for each in shown(*said))
    # Nothing was made anywhere but in the device's own store.
    assert [path.name for path in home.iterdir()] == ["home"]
    assert [path.name for path in (home / "home").iterdir()] == [".edgedeploy"]


class _Silent:
    """A `Process` that says what it was given, and no more."""

    def __init__(self, said: bytes) -> None:
        self._ended = threading.Event()
        self._said = io.BytesIO(said)
        self.stdin = io.BytesIO()
        self.stdout = self

    def readline(self, limit: int = -1) -> bytes:
        line = self._said.readline(limit)
        if not line:
            assert self._ended.wait(30.0), "nobody ends it"
        return line

    def wait(self, timeout_s: float | None = None) -> Completed:
        return Completed(exit_status=137, stdout=b"", stderr=b"")

    def kill(self) -> None:
        self._ended.set()


@pytest.mark.parametrize("said", [b"", b"x" * 10_000_000])
def test_a_lock_that_says_nothing_or_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    device = LocalConnection("local:", tmp_path)
    monkeypatch.setattr(device, "start", lambda argv: _Silent(said))
    with pytest.raises(DeviceError, match="lock"), device_lock(device, silence_s=0.2):
        pass
