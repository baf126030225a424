"""Faults during a push to an emulated board, counted: how many were tried, and how many releases were lost.

Usage: scripts/bench_faults [--faults KIND=N,KIND=N] [--boards N] [--seed N] [--folder FOLDER]

After each fault one release must be current that is whole and answers, the old or the new one, and the next push must
succeed without anybody's help. Each fault is a line in FOLDER/faults.jsonl; runs add to it, and all of them make the
table (--fresh begins anew; --faults "" only shows it). With every kind among them it is written to
docs/bench_faults.md. Exits 1 when a release was lost.

The board's disk is a file of this machine, and a power cut is a SIGKILL of QEMU: what the board's kernel has not
written is lost, as in a real cut. What a card would lose of what it has taken is not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lossy_proxy import lossy_proxy

from edgedeploy.compile.bundle import encode_manifest, list_files, open_bundle
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import broken_files, list_releases
from edgedeploy.device.address import connect
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import BoardStatus, board_access, board_kill, board_up, emulated_board
from edgedeploy.device.ssh import SshConnection, SshSettings
from edgedeploy.errors import EdgedeployError
from edgedeploy.progress import SILENT
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, Manifest, Release, Runtime
from edgedeploy.values.model import ModelFacts

ROOT = Path(__file__).resolve().parent.parent
_DOCUMENT = ROOT / "docs" / "bench_faults.md"
_WEIGHTS_BYTES = 6 << 20
_SHARED_BYTES = 2 << 20
_PUSH_TIMEOUT_S = 300.0
_DEFAULT = {
    "power cut": 200,
    "client killed": 40,
    "connection cut": 40,
    "disk full": 20,
    "two at once": 20,
    "damaged content": 20,
}
_ABOUT = {
    "power cut": "QEMU killed at a random moment, then booted again",
    "client killed": "SIGKILL to the pushing process at a random moment",
    "connection cut": "reset by a proxy after a random number of bytes",
    "disk full": "between nothing and a little more than the release left free",
    "two at once": "two pushes of different releases begun together",
    "damaged content": "a byte of a random content or file of the current release flipped on the device",
}

# Answers as a runner does, and needs nothing but a shell.
_RUN = """#!/bin/sh
[ "$1" = check ] || exit 2
here=${0%/*}
[ "$(wc -c <"$here/weights")" = SIZE ] || { echo '{"healthy":false,"problem":"weights"}'; exit 1; }
echo '{"healthy":true}'
"""


class Lost(Exception):
    """What must never be: the board has no whole current release, or takes no push any more."""


def make_bundle(folder: Path, version: int, shared: bytes, architecture: str) -> Bundle:
    """A bundle of some megabytes, new but for what all of them share."""
    place = folder / f"v{version}"
    (place / "runtime").mkdir(parents=True)
    (place / "weights").write_bytes(os.urandom(_WEIGHTS_BYTES))
    (place / "runtime" / "shared.so").write_bytes(shared)
    (place / "run").write_text(_RUN.replace("SIZE", str(_WEIGHTS_BYTES)))
    (place / "run").chmod(0o755)
    facts = ModelFacts(
        format="onnx", sha256="0" * 64, size_bytes=_WEIGHTS_BYTES, producer="", opset=17,
        inputs=(), outputs=(), parameters=0, macs=None, macs_note="", operators={},
    )  # fmt: skip
    manifest = Manifest(
        schema=1, name="faults", version=str(version), target="rpi4", architecture=architecture, model_file="weights",
        model=facts, runtime=Runtime(backend="none", python=None, glibc=None, packages={}),
        runner="run", golden_samples=0, source=None, tools={}, files=list_files(place),
    )  # fmt: skip
    (place / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return open_bundle(place)


class Subject:
    """One board, the release that is current there, and bundles to push."""

    def __init__(self, board: BoardStatus, folder: Path, chance: random.Random) -> None:
        self.board, self.chance = board, chance
        self._folder = folder
        self._version = 0
        self._shared = os.urandom(_SHARED_BYTES)
        self.push_s = 0.0
        """How long an undisturbed push takes here; the longest so far of the last ones."""
        self.old = self.pushed(self.new_bundle())

    def new_bundle(self) -> Bundle:
        self._version += 1
        architecture = {"rpi2": "armv7l"}.get(self.board.target, "aarch64")
        return make_bundle(self._folder, self._version, self._shared, architecture)

    def pushed(self, bundle: Bundle) -> Release:
        """Push it undisturbed; it must become current."""
        begun = time.monotonic()
        try:
            with connect(self.board.address) as device:
                release = push(bundle, device, keep=2).release
        except EdgedeployError as error:
            raise Lost(f"the next push failed: {error}") from error
        self.push_s = max(time.monotonic() - begun, 0.8 * self.push_s)
        shutil.rmtree(bundle.path)
        return release

    def begin_push(self, bundle: Bundle, port: int | None = None) -> subprocess.Popen[str]:
        words = ["--child", str(bundle.path), self.board.name, str(port or 0)]
        return subprocess.Popen(
            [sys.executable, __file__, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def moment_s(self) -> float:
        """A random moment of a push, or right after one."""
        return self.chance.uniform(0.0, 1.1 * self.push_s)


def check(subject: Subject, bundles: list[Bundle]) -> str:
    """Hold the board to the promise. Returns which release is current: `old` or `new`."""
    allowed = {subject.old.id: "old"} | {f"{one.manifest.version}-{one.sha256[:12]}": "new" for one in bundles}
    with connect(subject.board.address) as device:
        listing = list_releases(device)
        current = [release for release in listing.releases if release.current]
        if len(current) != 1 or current[0].id not in allowed:
            raise Lost(f"current is {[release.id for release in current]}, and only {list(allowed)} may be")
        if wrong := broken_files(device, current[0]):
            raise Lost(f"{current[0].id} is current and damaged: {wrong}")
        # The push after a fault takes away what the fault itself has damaged.
        if listing.damaged:
            raise Lost(f"damaged releases lie there: {listing.damaged}")
        answer = device.run([f"{current[0].path}/run", "check"])
        if answer.exit_status:
            raise Lost(f"{current[0].id} is current and does not answer: {answer.stdout!r}")
    return allowed[current[0].id]


def power_cut(subject: Subject) -> tuple[str, list[Bundle]]:
    bundle = subject.new_bundle()
    process = subject.begin_push(bundle)
    step = _last_step_until(process, subject.moment_s())
    board_kill(subject.board.name)
    process.kill()
    process.wait()
    board_up(subject.board.name)
    return step, [bundle]


def client_killed(subject: Subject) -> tuple[str, list[Bundle]]:
    bundle = subject.new_bundle()
    process = subject.begin_push(bundle)
    step = _last_step_until(process, subject.moment_s())
    process.kill()
    process.wait()
    return step, [bundle]


def connection_cut(subject: Subject) -> tuple[str, list[Bundle]]:
    bundle = subject.new_bundle()
    cut = int(subject.chance.uniform(0, 1.02 * (_WEIGHTS_BYTES + 60_000)))
    with lossy_proxy(board_access(subject.board.name).port, cut_after_bytes=cut) as proxy:
        process = subject.begin_push(bundle, proxy.port)
        step = _last_step_until(process, _PUSH_TIMEOUT_S)
        if process.poll() is None:
            process.kill()
            raise Lost("the push hangs after its connection was cut")
    return step if proxy.cut else "after it was done", [bundle]


def disk_full(subject: Subject) -> tuple[str, list[Bundle]]:
    bundle = subject.new_bundle()
    left_kib = int(subject.chance.uniform(0, 1.3 * (_WEIGHTS_BYTES + (8 << 20)) / 1024))
    fill = (
        "free=$(df -Pk . | tail -n 1 | { read -r a b c d e; echo $d; }); "
        "dd if=/dev/zero of=filler bs=1024 count=$((free - $1)) 2>/dev/null; sync"
    )
    with connect(subject.board.address) as device:
        device.run(["sh", "-c", fill, "fill", str(left_kib)], timeout_s=300.0)
        try:
            push(bundle, device, keep=2)
            step = "after it was done"
        except EdgedeployError as error:
            step = "sending" if "send" in error.what or "room" in error.what else error.what.split(":")[-1][:60]
        found = check(subject, [bundle])
        device.run(["sh", "-c", "rm -f filler; sync"])
    return f"{step}; {found} was current while it was full", [bundle]


def two_at_once(subject: Subject) -> tuple[str, list[Bundle]]:
    bundles = [subject.new_bundle(), subject.new_bundle()]
    processes = [subject.begin_push(bundle) for bundle in bundles]
    codes = []
    for process in processes:
        process.communicate(timeout=_PUSH_TIMEOUT_S)
        codes.append(process.returncode)
    if sorted(codes) not in ([0, 0], [0, 12]):
        raise Lost(f"two pushes at once ended with {codes}")
    return "one waited its turn or came after" if codes == [0, 0] else "one was told that another is at work", bundles


def damaged_content(subject: Subject) -> tuple[str, list[Bundle]]:
    """Nothing of ours can keep a card from failing; but the next push finds it out, and mends what it needs."""
    flip = (
        'cd .edgedeploy/blobs/sha256 && f=$(ls | sed -n "$1p") && [ -n "$f" ] && size=$(wc -c <"$f") && '
        'printf X | dd of="$f" bs=1 seek=$((size * $2 / 100)) conv=notrunc 2>/dev/null && sync'
    )
    with connect(subject.board.address) as device:
        place = str(subject.chance.randint(1, 5))
        device.run(["sh", "-c", flip, "flip", place, str(subject.chance.randint(0, 99))])
    # A new release becomes current beside what is damaged.
    bundle = subject.new_bundle()
    kept = shutil.copytree(bundle.path, bundle.path.with_name(f"{bundle.path.name}-again"))
    subject.pushed(bundle)
    return "on the device", [open_bundle(kept)]


_FAULTS: dict[str, Callable[[Subject], tuple[str, list[Bundle]]]] = {
    "power cut": power_cut,
    "client killed": client_killed,
    "connection cut": connection_cut,
    "disk full": disk_full,
    "two at once": two_at_once,
    "damaged content": damaged_content,
}


def one_fault(subject: Subject, kind: str) -> dict[str, str | float]:
    """Let it happen, hold the board to the promise, push again."""
    begun = time.monotonic()
    facts: dict[str, str | float] = {"fault": kind, "board": subject.board.target, "lost": ""}
    bundles: list[Bundle] = []
    try:
        facts["step"], bundles = _FAULTS[kind](subject)
        facts["current"] = check(subject, bundles)
        subject.old = subject.pushed(bundles[-1])
        check(subject, [])
        for bundle in bundles[:-1]:
            shutil.rmtree(bundle.path)
    except (Lost, EdgedeployError) as lost:
        facts["lost"] = str(lost)
        # What follows begins from a board that is as it should be.
        with connect(subject.board.address) as device:
            device.run(["sh", "-c", "rm -rf .edgedeploy filler"])
        subject.old = subject.pushed(subject.new_bundle())
    return facts | {"seconds": round(time.monotonic() - begun, 1)}


def _last_step_until(process: subprocess.Popen[str], seconds: float) -> str:
    """What the push says that it is doing, after so many seconds or when it ends."""
    steps = ["before it began"]
    assert process.stdout is not None
    stdout = process.stdout

    def read() -> None:
        for line in stdout:
            if line.startswith("step "):
                steps.append(line.removeprefix("step ").strip())

    # The clock runs from the moment that it is connected.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    end = time.monotonic() + _PUSH_TIMEOUT_S
    while len(steps) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        reader.join(5.0)
    return "after it was done" if process.poll() == 0 else _without_names(steps[-1])


def _without_names(step: str) -> str:
    """`assembling 12-0a1b2c` is `assembling`: what the table counts are states."""
    kept = ("asking", "comparing", "sending", "assembling", "checking the health", "removing old releases", "before")
    return next((word for word in kept if step.startswith(word)), step)


class _Steps:
    """A `Progress` that says each step to the process that waits for it."""

    def step(self, what: str) -> None:
        print(f"step {what}", flush=True)

    def advance(self, done: int, total: int | None, unit: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def child(bundle: str, board: str, port: str) -> int:
    """The pushing process: through a proxy at `port` if that is not 0."""
    try:
        with _through(board, int(port)) as device:
            push(open_bundle(Path(bundle)), device, keep=2, progress=_Steps())
    except EdgedeployError as error:
        print(f"error: {error}", flush=True)
        return error.exit_code
    return 0


def _through(board: str, port: int) -> contextlib.AbstractContextManager[Connection]:
    if not port:
        return connect(f"board:{board}")
    access = board_access(board)
    settings = SshSettings(
        host=access.host, port=port, user=access.user, key_paths=(access.key_path,), only_these_keys=True,
        known_hosts=(access.known_hosts_path,), known_as=f"[{access.host}]:{access.port}", timeout_s=60.0,
    )  # fmt: skip
    return SshConnection(f"board:{board}", settings, emulated=True)


def work_on_board(number: int, plan: list[str], seed: int, record: Path, lock: threading.Lock) -> None:
    chance = random.Random(f"{seed} {number}")
    made = emulated_board(f"faults-{number}", target="rpi4", minimal=True, disk_mb=512, delete=True, progress=SILENT)
    with tempfile.TemporaryDirectory(prefix="bench-faults-") as folder, made as board:
        subject = Subject(board, Path(folder), chance)
        while True:
            with lock:
                if not plan:
                    return
                kind = plan.pop()
            facts = one_fault(subject, kind)
            with lock:
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(facts) + "\n")
                print(f"{len(plan):4} to go  {facts}", file=sys.stderr, flush=True)


def document(facts: list[dict[str, str | float]]) -> str:
    kinds = [kind for kind in _DEFAULT if any(one["fault"] == kind for one in facts)]
    rows = []
    for kind in kinds:
        mine = [one for one in facts if one["fault"] == kind]
        current = Counter(one.get("current") for one in mine)
        lost = sum(bool(one["lost"]) for one in mine)
        rows.append(f"| {kind} | {_ABOUT[kind]} | {len(mine)} | {current['old']} | {current['new']} | **{lost}** |")
    struck = [one for one in facts if one["fault"] in ("power cut", "client killed", "connection cut")]
    steps = Counter(str(one.get("step", "?")) for one in struck)
    lost = sum(bool(one["lost"]) for one in facts)
    lines = [
        "# Faults during a push",
        "",
        "Made by:",
        "",
        "    scripts/bench_faults",
        "",
        "On an emulated Pi 4 with busybox and sshd alone and a persistent ext4 disk. After each fault: one release is",
        "current, every byte of it is what its manifest says, it answers, nothing damaged lies beside it, and the next",
        "push makes its release current without anybody's help. What does not hold is lost.",
        "",
        "| fault | how | tried | then current: old | new | lost |",
        "|---|---|---:|---:|---:|---:|",
        *rows,
        f"| **all** | | {len(facts)} | | | **{lost}** |",
        "",
        "Of the cuts and kills, what the push was doing when it was struck:",
        "",
        *(f"- {step}: {count}" for step, count in steps.most_common()),
        "",
        "A power cut is a SIGKILL of QEMU: what the board's kernel had not written out is lost, as in a real one; what",
        "a card had taken and not stored is not. A disk that was full, or is read-only, is also tried in",
        "`tests/deploy/test_disk.py`.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:5])
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words = ",".join(f"{kind}={count}" for kind, count in _DEFAULT.items())
    parser.add_argument("--faults", default=words, metavar="KIND=N,KIND=N", help=words)
    parser.add_argument("--boards", type=int, default=1, metavar="N", help="boards at once, each takes a core (1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv" / "bench-faults", help="for the results")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    record = arguments.folder / "faults.jsonl"
    if arguments.fresh:
        record.unlink(missing_ok=True)
    asked = dict(pair.split("=") for pair in arguments.faults.split(",") if pair)
    plan = [kind for kind, count in asked.items() for _ in range(int(count))]
    random.Random(arguments.seed).shuffle(plan)
    lock = threading.Lock()
    workers = [
        threading.Thread(target=work_on_board, args=(number, plan, arguments.seed, record, lock))
        for number in range(arguments.boards if plan else 0)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    facts = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    text = document(facts)
    print(text)
    if {str(one["fault"]) for one in facts} == set(_DEFAULT):
        _DOCUMENT.write_text(text, encoding="utf-8")
        print(_DOCUMENT, file=sys.stderr)
    return 1 if any(one["lost"] for one in facts) else 0


if __name__ == "__main__":
    sys.exit(main())
