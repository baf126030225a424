"""Interrupt pushes in every way there is, and count the releases that are lost.

Usage: scripts/bench faults [--faults KIND=N,KIND=N | --kind KIND] [--minutes N] [--boards N] [--seed N]
                            [--folder FOLDER] [--fresh]

After each fault one release must be current that is whole and answers, the old or the new one, and the next push must
succeed without anybody's help. Each fault is a line in FOLDER/faults.jsonl; runs add to it, and all of them make the
table (--fresh begins anew; --faults "" only shows it). With every kind among them it is written to
docs/bench_faults.md. Exits 1 when a release was lost.

The board's disk is a file of this machine, and a power cut is a SIGKILL of QEMU: what the board's kernel has not
written is lost, as in a real cut. What a card would lose of what it has taken is not. The OpenSSH server's home is a
file system in memory, to be filled and made read-only, which needs root: without, kinds that need it are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from lossy_proxy import lossy_proxy

from benchmarks import ROOT
from benchmarks.fault_check import PUSH_TIMEOUT_S, check
from benchmarks.fault_pushes import bytecode, confirm, few_sessions, inodes_exhausted, refused_push
from benchmarks.fault_subjects import (
    STATES,
    WEIGHTS_BYTES,
    FaultBoard,
    FaultSubject,
    Lost,
    Pusher,
    SshServer,
    board_subject,
    server_subject,
    short_step,
)
from benchmarks.faults_report import document
from edgedeploy.bundle.build import open_bundle
from edgedeploy.deploy.push import push
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.values.bundle import Bundle

_DOCUMENT = ROOT / "docs" / "bench_faults.md"
_BOARD, _SERVER = FaultBoard.place, SshServer.place
_CLOCKS = ("1970-01-01T00:00:00", "1999-12-31T23:59:58", "2038-01-19T03:14:05", "2098-06-01T12:00:00")


def _strike(subject: FaultSubject, pusher: Pusher) -> str:
    """Wait for a random moment of a push: half of them anywhere in its time or right after it, half soon after it came
    into a random state. Returns the state."""
    rng = subject.rng
    if rng.random() < 0.5:
        pusher.wait_for("", PUSH_TIMEOUT_S)
        pusher.ended(rng.uniform(0.0, 1.1 * subject.push_s))
    else:
        pusher.wait_for(rng.choice(STATES), PUSH_TIMEOUT_S)
        pusher.ended(rng.uniform(0.0, 0.1 * subject.push_s))
    return pusher.doing()


def power_cut(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    assert isinstance(subject, FaultBoard)
    bundle = subject.new_bundle()
    pusher = subject.begin_push(bundle)
    state = _strike(subject, pusher)
    subject.cut_power()
    pusher.kill()
    subject.boot()
    return state, [bundle]


def wrong_clock(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    """As a board without a battery has after each power cut, until it finds the network's time."""
    assert isinstance(subject, FaultBoard)
    bundle = subject.new_bundle()
    kept = shutil.copytree(bundle.path, bundle.path.with_name(f"{bundle.path.name}-again"))
    subject.cut_power()
    clock = subject.rng.choice(_CLOCKS)
    subject.boot(clock)
    with subject.connect() as device:
        told = device.run(["date", "-u", "+%Y"]).stdout.decode().strip()
    if abs(int(told) - int(clock[:4])) > 1:
        raise Lost(f"the clock was to say {clock}, and says {told}")
    subject.pushed(bundle)
    subject.cut_power()
    subject.boot()
    return f"in {told}", [open_bundle(kept)]


def client_killed(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    bundle = subject.new_bundle()
    pusher = subject.begin_push(bundle)
    state = _strike(subject, pusher)
    pusher.kill()
    return state, [bundle]


def connection_cut(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    bundle = subject.new_bundle()
    # Half of them among the few bytes before and after the transfer.
    talk, all_bytes = 30_000, WEIGHTS_BYTES + 60_000
    rng = subject.rng
    cut = rng.choice((rng.randint(0, all_bytes), rng.randint(0, talk), all_bytes - rng.randint(0, talk)))
    with lossy_proxy(subject.settings().port, cut_after_bytes=cut) as proxy:
        pusher = subject.begin_push(bundle, proxy.port)
        if not pusher.ended(PUSH_TIMEOUT_S):
            pusher.kill()
            raise Lost("the push hangs after its connection was cut")
        state = pusher.doing()
    return state if proxy.cut else "after it was done", [bundle]


class _InState:
    """A `Progress` that lets something happen when a push comes into a state."""

    def __init__(self, state: str, happen: Callable[[], None]) -> None:
        self._state, self._happen = state, happen
        self.reached = ""

    def step(self, what: str) -> None:
        self.reached = short_step(what)
        if self.reached == self._state:
            self._happen()

    def advance(self, done: int, total: int | None, unit: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def _push_into(subject: FaultSubject, bundle: Bundle, state: str, happen: Callable[[], None]) -> str:
    """Push while something happens in `state`. Returns in which one the push ended."""
    progress = _InState(state, happen)
    try:
        with subject.connect() as device:
            push(bundle, device, keep=2, progress=progress)
    except EdgedeployError:
        return progress.reached
    return "after it was done"


def inodes(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    state = subject.rng.choice(STATES)
    return inodes_exhausted(subject, lambda device, bundle, happen: _push_into(device, bundle, state, happen))


_FILL = (
    "free=$(df -Pk . | tail -n 1 | { read -r a b c d e; echo $d; }); [ $((free - $1)) -gt 0 ] || exit 0; "
    "dd if=/dev/zero of=filler bs=1024 count=$((free - $1)) 2>/dev/null; sync"
)


def disk_full(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    bundle = subject.new_bundle()
    rng = subject.rng
    left_kib = int(rng.choice((0.0, 8.0, rng.uniform(0, 1.3 * (WEIGHTS_BYTES + (8 << 20)) / 1024))))

    def fill() -> None:
        with subject.connect() as other:
            other.run(["sh", "-c", _FILL, "fill", str(left_kib)], timeout_s=300.0)

    state = _push_into(subject, bundle, rng.choice(STATES), fill)
    check(subject, [bundle])
    with subject.connect() as device:
        device.run(["sh", "-c", "rm -f filler; sync"])
    return state, [bundle]


def read_only(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    """As ext4 makes itself when it finds an error."""
    assert isinstance(subject, SshServer)
    bundle = subject.new_bundle()

    def remount() -> None:
        with contextlib.suppress(Exception):  # a file is open for writing at this moment: the kernel refuses
            subject.remount("ro")

    try:
        state = _push_into(subject, bundle, subject.rng.choice(STATES), remount)
        check(subject, [bundle])
    finally:
        subject.remount("rw")
    return state, [bundle]


def two_at_once(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    bundles = [subject.new_bundle(), subject.new_bundle()]
    pushers = [subject.begin_push(bundle) for bundle in bundles]
    if not all(pusher.ended(PUSH_TIMEOUT_S) for pusher in pushers):
        raise Lost("one of two pushes hangs")
    codes = sorted(pusher.process.returncode for pusher in pushers)
    if codes not in ([0, 0], [0, 12]):
        raise Lost(f"two pushes at once ended with {codes}")
    return "one came after the other" if codes == [0, 0] else "one was told that another is at work", bundles


def damaged_content(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    """Nothing of ours can keep a card from failing; but the next push finds it out, and mends what it needs."""
    flip = (
        'cd .edgedeploy/blobs/sha256 && f=$(ls | sed -n "$1p") && [ -n "$f" ] && size=$(wc -c <"$f") && '
        'printf X | dd of="$f" bs=1 seek=$((size * $2 / 100)) conv=notrunc 2>/dev/null && sync'
    )
    with subject.connect() as device:
        place = str(subject.rng.randint(1, 5))
        device.run(["sh", "-c", flip, "flip", place, str(subject.rng.randint(0, 99))])
    # A new release becomes current beside what is damaged.
    bundle = subject.new_bundle()
    kept = shutil.copytree(bundle.path, bundle.path.with_name(f"{bundle.path.name}-again"))
    subject.pushed(bundle)
    return "on the device", [open_bundle(kept)]


class Kind:
    """A fault, where it is tried, and how often by default."""

    def __init__(self, how: str, happen: Callable[[FaultSubject], tuple[str, list[Bundle]]], **times: int) -> None:
        self.how, self.happen, self.times = how, happen, times


_KINDS = {
    "power cut": Kind("QEMU killed at a random moment or in a random state, then booted again", power_cut, board=200),
    "client killed": Kind("SIGKILL to the pushing process, likewise", client_killed, board=30, server=70),
    "connection cut": Kind("reset by a proxy after a random number of bytes", connection_cut, board=30, server=70),
    "disk full": Kind("to the last byte or to a random one, in a random state", disk_full, board=15, server=45),
    "read-only": Kind("the file system, from a random state on", read_only, server=40),
    "wrong clock": Kind("the board's clock in 1970, 1999, 2038 or 2098", wrong_clock, board=8),
    "two at once": Kind("two pushes of different releases begun together", two_at_once, board=10, server=20),
    "damaged content": Kind("a byte of a random file of a release flipped", damaged_content, board=20, server=20),
    "confirm": Kind("it fails, never ends, drips, or starts an application", confirm, board=10, server=30),
    "refused push": Kind("not healthy, not signed, or no programs may run there", refused_push, board=6, server=24),
    "bytecode": Kind("of a release: a byte flipped, or foreign code in its place", bytecode, server=20),
    "inodes exhausted": Kind("to the last one or to a random one, in a random state", inodes, server=30),
    "few sessions": Kind("MaxSessions 1, 2 or 3 on the server", few_sessions, server=15),
}
_PLACES = {_BOARD: "board", _SERVER: "server"}


def one_fault(subject: FaultSubject, kind: str) -> dict[str, str | float]:
    """Let it happen, hold the device to the promise, push again."""
    begun = time.monotonic()
    facts: dict[str, str | float] = {"fault": kind, "place": subject.place, "lost": ""}
    bundles: list[Bundle] = []
    try:
        facts["step"], bundles = _KINDS[kind].happen(subject)
        facts["current"] = check(subject, bundles)
        subject.old = subject.pushed(bundles[-1])
        check(subject, [])
        for bundle in bundles[:-1]:
            shutil.rmtree(bundle.path)
    except (Lost, EdgedeployError) as lost:
        facts["lost"] = str(lost)
        # What follows begins from a device that is as it should be.
        with subject.connect() as device:
            device.run(["sh", "-c", "rm -rf .edgedeploy filler"])
        subject.old = subject.pushed(subject.new_bundle())
    return facts | {"seconds": round(time.monotonic() - begun, 1)}


class Work:
    """What is to be tried yet, and the record of what was."""

    def __init__(self, plan: list[tuple[str, str]], record: Path, seed: int, until_s: float) -> None:
        self._plan, self._record, self._seed, self._until_s = plan, record, seed, until_s
        self._lock = threading.Lock()

    def do(self, place: str, number: int) -> None:
        """On one device of that kind, until there is nothing left for it."""
        rng = random.Random(f"{self._seed} {place} {number}")
        if not any(where == place for where, _ in self._plan):
            return
        with board_subject(number, rng) if place == _BOARD else server_subject(rng) as subject:
            while (kind := self._next(place)) is not None:
                facts = one_fault(subject, kind)
                with self._lock:
                    with self._record.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(facts) + "\n")
                    print(f"{len(self._plan):4} to go  {facts}", file=sys.stderr, flush=True)

    def _next(self, place: str) -> str | None:
        if time.monotonic() > self._until_s:
            return None
        with self._lock:
            mine = next((one for one in self._plan if one[0] == place), None)
            if mine is not None:
                self._plan.remove(mine)
            return mine[1] if mine is not None else None


def _plan(words: str, seed: int) -> list[tuple[str, str]]:
    """Place and kind of each fault to try, in random order. Kinds that need root are left out for others.

    Raises:
        ValueError: a word is not KIND=N with one of the kinds there are.
    """
    asked = dict(pair.split("=") for pair in words.split(",") if pair)
    if unknown := asked.keys() - _KINDS.keys():
        raise ValueError(f"no fault {', '.join(sorted(unknown))}; there are {', '.join(_KINDS)}")
    plan = []
    for kind, count in asked.items():
        times = _KINDS[kind].times
        for place, key in _PLACES.items():
            share = round(int(count) * times.get(key, 0) / sum(times.values()))
            plan += [(place, kind)] * share
    if os.getuid() != 0:
        print("without root: nothing is tried on the OpenSSH server", file=sys.stderr)
        plan = [one for one in plan if one[0] != _SERVER]
    random.Random(seed).shuffle(plan)
    return plan


def _words(kinds: Iterable[str]) -> str:
    return ",".join(f"{kind}={sum(_KINDS[kind].times.values())}" for kind in kinds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench faults", description=(__doc__ or "").splitlines()[0])
    words = _words(_KINDS)
    parser.add_argument("--faults", default=words, metavar="KIND=N,KIND=N", help=words)
    parser.add_argument("--kind", action="append", choices=list(_KINDS), help="only this one, as often as by default")
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="begin no fault after so many minutes")
    parser.add_argument("--boards", type=int, default=1, metavar="N", help="boards at once, each takes a core (1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv" / "bench-faults", help="for the results")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    record = arguments.folder / "faults.jsonl"
    if arguments.fresh:
        record.unlink(missing_ok=True)
    try:
        plan = _plan(_words(arguments.kind) if arguments.kind else arguments.faults, arguments.seed)
    except ValueError as error:
        parser.error(f"--faults: {error}")
    work = Work(plan, record, arguments.seed, time.monotonic() + 60.0 * arguments.minutes)
    places = [(_BOARD, number) for number in range(arguments.boards)] + [(_SERVER, 0)]
    workers = [threading.Thread(target=work.do, args=place) for place in places]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    facts = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    text = document(facts, {kind: about.how for kind, about in _KINDS.items()}, tuple(_PLACES))
    print(text)
    if {str(one["fault"]) for one in facts} == set(_KINDS):
        _DOCUMENT.write_text(text, encoding="utf-8")
        print(_DOCUMENT, file=sys.stderr)
    return 1 if any(one["lost"] for one in facts) else 0


if __name__ == "__main__":
    sys.exit(main())
