"""What faults are tried on: an emulated board with a persistent disk, and an OpenSSH server of this machine."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from loopback_sshd import Server, serve

from edgedeploy.bundle.build import encode_manifest, list_files, open_bundle
from edgedeploy.deploy.push import carry_out, push
from edgedeploy.deploy.request import PushRequest
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import BoardStatus, board_access, board_kill, board_up, emulated_board
from edgedeploy.device.ssh.connection import SshConnection
from edgedeploy.device.ssh.settings import SshSettings
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, Manifest, Release, Runtime
from edgedeploy.values.model import ModelFacts

WEIGHTS_BYTES = 6 << 20
_SHARED_BYTES = 2 << 20
_DISK_MB = 96
_LISTENS = "Server listening on"
_OWN_LINES = "# as it was\n"
_RELOAD_TIMEOUT_S = 60.0

# Answers as a runner does, and needs nothing but a shell.
_RUN = """#!/bin/sh
[ "$1" = check ] || exit 2
here=${0%/*}
[ "$(wc -c <"$here/weights")" -eq SIZE ] || { echo '{"healthy":false,"problem":"weights"}'; exit 1; }
echo '{"healthy":true}'
"""

# A board has no say in what its clock chip tells; QEMU is asked for that by the words that end its command line. There
# is a file for each board that is to have another time.
_QEMU = """#!/bin/sh
PATH=${PATH#*:}
for clock in "CLOCKS"/*; do
    case "$*" in *"/${clock##*/}/"*) set -- "$@" -rtc "base=$(cat "$clock")" ;; esac
done
exec "${0##*/}" "$@"
"""


class Lost(Exception):
    """What must never be: the device has no whole current release, or takes no push any more."""


def make_bundle(
    folder: Path, version: int, shared: bytes, architecture: str, weights_bytes: int = WEIGHTS_BYTES
) -> Bundle:
    """A bundle of some megabytes, new but for what all of them share."""
    place = folder / f"v{version}"
    (place / "runtime").mkdir(parents=True)
    (place / "weights").write_bytes(os.urandom(weights_bytes))
    (place / "runtime" / "shared.so").write_bytes(shared)
    (place / "run").write_text(_RUN.replace("SIZE", str(weights_bytes)))
    (place / "run").chmod(0o755)
    facts = ModelFacts(
        format="onnx", sha256="0" * 64, size_bytes=weights_bytes, producer="", opset=17,
        inputs=(), outputs=(), parameters=0, macs=None, macs_note="", operators={},
    )  # fmt: skip
    manifest = Manifest(
        schema=1, name="faults", version=str(version), target="any", architecture=architecture, model_file="weights",
        model=facts, runtime=Runtime(backend="none", python=None, glibc=None, packages={}),
        runner="run", golden_samples=0, source=None, tools={}, files=list_files(place),
    )  # fmt: skip
    (place / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return open_bundle(place)


class FaultSubject:
    """One device, the release that is current there, and bundles to push."""

    place = ""
    """What it is, for the table."""
    architecture = platform.machine()

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng = rng
        self._folder = folder
        self._version = 0
        self._shared = os.urandom(_SHARED_BYTES)
        self.push_s = 0.0
        """How long an undisturbed push takes here; the longest so far of the last ones."""
        self.old = self.pushed(self.new_bundle())

    def settings(self) -> SshSettings:
        """The way in."""
        raise NotImplementedError

    def connect(self) -> Connection:
        return SshConnection(self.place, self.settings())

    def new_bundle(self) -> Bundle:
        self._version += 1
        return make_bundle(self._folder, self._version, self._shared, self.architecture)

    def pushed(self, bundle: Bundle) -> Release:
        """Push it undisturbed; it must become current."""
        begun = time.monotonic()
        try:
            with self.connect() as device:
                release = push(bundle, device, keep=2).release
        except EdgedeployError as error:
            raise Lost(f"the next push failed: {error}") from error
        self.push_s = max(time.monotonic() - begun, 0.8 * self.push_s)
        shutil.rmtree(bundle.path)
        return release

    def begin_push(
        self, bundle: Bundle, port: int | None = None, *, confirm: str = "", confirm_timeout_s: float = 600.0
    ) -> Pusher:
        """Push in a process of its own; through a proxy at `port`, if one is given."""
        way = self.settings()
        if port is not None:
            way = msgspec.structs.replace(way, port=port, known_as=f"[{way.host}]:{way.port}")
        return Pusher(bundle, self.place, way, confirm, confirm_timeout_s)


class FaultBoard(FaultSubject):
    place = "emulated board"
    architecture = "aarch64"

    def __init__(self, board: BoardStatus, clock: Path, folder: Path, rng: random.Random) -> None:
        self._board = board
        self._clock = clock
        super().__init__(folder, rng)

    def settings(self) -> SshSettings:
        access = board_access(self._board.name)
        return SshSettings(
            host=access.host, port=access.port, user=access.user, key_paths=(access.key_path,), only_these_keys=True,
            known_hosts=(access.known_hosts_path,), timeout_s=60.0,
        )  # fmt: skip

    def cut_power(self) -> None:
        board_kill(self._board.name)

    def boot(self, clock: str = "") -> None:
        """Give it power again; with `clock`, its clock chip tells that time (UTC)."""
        self._clock.unlink(missing_ok=True)
        if clock:
            self._clock.write_text(clock)
        board_up(self._board.name)


class SshServer(FaultSubject):
    place = "OpenSSH server"

    def __init__(self, server: Server, folder: Path, rng: random.Random) -> None:
        self._server = server
        super().__init__(folder, rng)

    def settings(self) -> SshSettings:
        return self._server.settings

    @property
    def home(self) -> Path:
        """Of the device, on this machine."""
        return self._server.home

    def remount(self, how: str) -> None:
        """Change an option of its file system: `ro`, `rw`, `noexec`, `nr_inodes=N` …"""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.home)], check=True)

    def configure(self, lines: str) -> None:
        """Let the server read other lines of sshd_config before its own; connections that are open stay as they are."""
        config = self._server.folder / "sshd_config"
        own = config.read_text().partition(_OWN_LINES)
        config.write_text(f"{lines}{_OWN_LINES}{own[2] or own[0]}")
        listened = (self._server.folder / "log").read_text(errors="replace").count(_LISTENS)
        # It starts itself anew, and listens a moment later.
        os.kill(self._server.process.pid, signal.SIGHUP)
        until = time.monotonic() + _RELOAD_TIMEOUT_S
        log = self._server.folder / "log"
        while log.read_text(errors="replace").count(_LISTENS) <= listened and time.monotonic() < until:
            time.sleep(0.05)


@functools.cache
def _clocks() -> Path:
    """The folder of the boards' clocks; QEMU is started by what looks there from now on, for as long as we run."""
    folder = Path(tempfile.mkdtemp(prefix="bench-faults-"))
    atexit.register(shutil.rmtree, folder)
    wrapper = folder / "qemu" / "qemu-system-aarch64"
    wrapper.parent.mkdir()
    (folder / "clocks").mkdir()
    wrapper.write_text(_QEMU.replace("CLOCKS", f"{folder}/clocks"))
    wrapper.chmod(0o755)
    os.environ["PATH"] = f"{wrapper.parent}:{os.environ['PATH']}"
    return folder / "clocks"


@contextlib.contextmanager
def board_subject(number: int, rng: random.Random) -> Iterator[FaultBoard]:
    name = f"faults-{number}"
    clock = _clocks() / name
    made = emulated_board(name, target="rpi4", minimal=True, disk_mb=512, delete=True, progress=SILENT)
    with tempfile.TemporaryDirectory(prefix="bench-faults-") as folder, made as board:
        yield FaultBoard(board, clock, Path(folder), rng)


@contextlib.contextmanager
def server_subject(rng: random.Random) -> Iterator[SshServer]:
    """Its home is a file system of its own, small enough to be filled, which only root can make."""
    with tempfile.TemporaryDirectory(prefix="bench-faults-") as folder, contextlib.ExitStack() as stack:
        home = Path(folder) / "device home"
        home.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "edgedeploy-faults", str(home)]
        subprocess.run(words, check=True)
        stack.callback(subprocess.run, ["umount", "-l", str(home)], check=True)
        server = stack.enter_context(serve(Path(folder) / "sshd", home))
        yield SshServer(server, Path(folder), rng)


class Pusher:
    """A process that pushes, and what it says that it is doing."""

    def __init__(self, bundle: Bundle, address: str, way: SshSettings, confirm: str, confirm_timeout_s: float) -> None:
        words = [str(bundle.path), address, msgspec.json.encode(way, enc_hook=str).decode()]
        words += [confirm, str(confirm_timeout_s)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fault_subjects", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._steps = ["before it began"]
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("step "):
                with self._changed:
                    self._steps.append(short_step(line.removeprefix("step ").strip()))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, step: str, timeout_s: float) -> None:
        """Until it does that, or has ended. An empty step is the first one that it takes."""

        def reached() -> bool:
            return (step in self._steps if step else len(self._steps) > 1) or self.process.poll() is not None

        end = time.monotonic() + timeout_s
        with self._changed:
            while not reached() and time.monotonic() < end:
                self._changed.wait(0.05)

    def ended(self, timeout_s: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)
            self._reader.join(5.0)
        return self.process.poll() is not None

    def doing(self) -> str:
        return "after it was done" if self.process.poll() == 0 else self._steps[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


STATES = (
    "asking",
    "comparing",
    "sending",
    "assembling",
    "checking the health",
    "making current",
    "confirming",
    "removing",
)


def short_step(step: str) -> str:
    """`assembling 12-0a1b2c` is `assembling`: what the table counts are states."""
    if step.startswith("making "):
        return "making current"
    return next((word for word in STATES if step.startswith(word)), step)


class _Steps:
    """A `Progress` that says each step to the process that waits for it."""

    def step(self, what: str) -> None:
        print(f"step {what}", flush=True)

    def advance(self, done: int, total: int | None, unit: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def main(bundle: str, address: str, way: str, confirm: str, confirm_timeout_s: str) -> int:
    """The pushing process."""
    settings = msgspec.json.decode(way, type=SshSettings, dec_hook=lambda kind, value: kind(value))
    request = PushRequest(
        bundle=open_bundle(Path(bundle)), confirm=confirm or None, confirm_timeout_s=float(confirm_timeout_s), keep=2
    )
    try:
        with SshConnection(address, settings) as device:
            carry_out(request, device, _Steps())
    except EdgedeployError as error:
        print(f"error: {error}", flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:6]))
