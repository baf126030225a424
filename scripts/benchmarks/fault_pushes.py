"""Faults in what is pushed, in what confirms it, and in what the device lets a push have."""

from __future__ import annotations

import contextlib
import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks.fault_check import PUSH_TIMEOUT_S, check
from benchmarks.fault_subjects import FaultSubject, Lost, SshServer
from edgedeploy.bundle.build import encode_manifest, list_files, open_bundle
from edgedeploy.compile.python_runner import RUN, run_script
from edgedeploy.deploy.push import push
from edgedeploy.deploy.status import status
from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle

_CONFIRM_TIMEOUT_S = 10.0
"""Of commands that do not end by themselves. What children of one that has ended still hold open is read for 2 s, which
count too; the rest is for a machine that does other work."""
_APP = "sh -c 'echo $$ >app.pid; exec sleep 600'"
# Each with whether the release is confirmed by it. An application in the background holds the streams of the command.
_CONFIRMS = {
    "it fails": ("echo no; exit 1", False),
    "it starts an application in the background": (f"{_APP} & sleep 0.2; true", True),
    "it starts an application, and fails": (f"{_APP} & sleep 0.2; exit 1", False),
    "it never ends": ("sleep 600", False),
    "it never ends, and drips": ("while :; do echo .; sleep 0.5; done", False),
}
_SIGNERS = ".edgedeploy/allowed_signers"


def confirm(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    """Half of them on a new release, half on one that is current and was confirmed."""
    words = subject.rng.choice(list(_CONFIRMS))
    command, accepts = _CONFIRMS[words]
    bundle = subject.new_bundle()
    is_current = subject.rng.random() < 0.5
    if is_current:
        kept = shutil.copytree(bundle.path, bundle.path.with_name(f"{bundle.path.name}-again"))
        subject.old = subject.pushed(bundle)
        bundle = open_bundle(kept)
    try:
        pusher = subject.begin_push(bundle, confirm=command, confirm_timeout_s=_CONFIRM_TIMEOUT_S)
        if not pusher.ended(PUSH_TIMEOUT_S):
            pusher.kill()
            raise Lost(f"a push hangs in its confirm command: {words}")
    finally:
        with subject.connect() as device:
            device.run(["sh", "-c", "[ ! -f app.pid ] || { kill $(cat app.pid); rm -f app.pid; } 2>/dev/null"])
    if (pusher.process.returncode == 0) is not accepts:
        raise Lost(f"exit code {pusher.process.returncode} where {words}")
    now = check(subject, [bundle])
    if not is_current and now != ("new" if accepts else "old"):
        raise Lost(f"the {now} release is current where {words}")
    return words, [bundle]


def refused_push(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    """Nothing remains of it in the store, and nothing that was there has gone."""
    kinds = {"not healthy": _unhealthy, "not signed": _unsigned}
    if isinstance(subject, SshServer):
        kinds |= {"no programs may run there": _noexec}
    words = subject.rng.choice(list(kinds))
    with subject.connect() as device:
        before = status(device).store
    bundle = kinds[words](subject)
    with subject.connect() as device:
        after = status(device).store
    # What interrupted transfers have left may stay for their resume, or go.
    held = [(one.files, one.unneeded_files, one.partial_bytes) for one in (before, after)]
    if any(now > then for then, now in zip(*held, strict=True)):
        raise Lost(f"a refused push ({words}) left something in the store: {before} became {after}")
    if check(subject, [bundle]) != "old":
        raise Lost(f"a push that had to be refused ({words}) became current")
    shutil.rmtree(bundle.path)
    return words, [subject.new_bundle()]


def _refused(subject: FaultSubject, bundle: Bundle) -> Bundle:
    """Push what has to be refused."""
    with subject.connect() as device:
        try:
            push(bundle, device, keep=2)
        except EdgedeployError:
            return bundle
    raise Lost("a push was accepted that had to be refused")


def _unhealthy(subject: FaultSubject) -> Bundle:
    bundle = subject.new_bundle()
    (bundle.path / RUN).write_text('#!/bin/sh\necho \'{"healthy":false,"problem":"by design"}\'\nexit 1\n')
    return _refused(subject, _written_anew(bundle))


def _unsigned(subject: FaultSubject) -> Bundle:
    signers = f"release@example.com {new_key_pair().public}\n".encode()
    with subject.connect() as device:
        device.run(["sh", "-c", f"umask 022; cat >{_SIGNERS}"], stdin=signers)
    try:
        return _refused(subject, subject.new_bundle())
    finally:
        with subject.connect() as device:
            device.run(["rm", "-f", _SIGNERS])


def _noexec(subject: FaultSubject) -> Bundle:
    assert isinstance(subject, SshServer)
    subject.remount("noexec")
    try:
        return _refused(subject, subject.new_bundle())
    finally:
        subject.remount("exec")


def bytecode(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    """Damage what the device's Python made of a release's sources; then the same bundle is pushed again."""
    assert isinstance(subject, SshServer)
    bundle = _python_bundle(subject)
    kept = shutil.copytree(bundle.path, bundle.path.with_name(f"{bundle.path.name}-again"))
    subject.old = subject.pushed(bundle)
    is_foreign = subject.rng.random() < 0.5
    # On this machine the device's home is a folder like any other. A release without bytecode cannot be damaged.
    for file in sorted(Path(subject.old.path).rglob("*.pyc")):
        content = bytearray(file.read_bytes())
        if is_foreign:
            # Of a module that answers too, with the date and size of the source that Python compares.
            content[16:] = _foreign_code()
        else:
            place = subject.rng.randrange(16, len(content))
            content[place] ^= 1 << subject.rng.randrange(8)
        file.chmod(0o644)
        file.write_bytes(content)
    try:
        with subject.connect() as device:
            subject.old = push(open_bundle(kept), device, keep=2).release
    except EdgedeployError as error:
        raise Lost(f"a release with damaged bytecode takes no push of the same bundle: {error}") from error
    check(subject, [])
    shutil.rmtree(kept)
    return "foreign" if is_foreign else "a byte flipped", [subject.new_bundle()]


_ANSWER = "def answer():\n    print('{\"healthy\":true}')\n"


def _python_bundle(subject: FaultSubject) -> Bundle:
    """A bundle that the run script of Python runtimes starts, with a runner that imports a module of its own."""
    bundle = subject.new_bundle()
    target = load_target("x86-64")
    system = msgspec.structs.replace(target.os, python=sysconfig.get_python_version())
    (bundle.path / RUN).write_text(run_script(msgspec.structs.replace(target, os=system), {}))
    (bundle.path / "runner.py").write_text("import answer\n\nanswer.answer()\n")
    (bundle.path / "answer.py").write_text(_ANSWER)
    return _written_anew(bundle)


def _foreign_code() -> bytes:
    import marshal

    return marshal.dumps(compile(_ANSWER.replace("true", 'true,"foreign":true'), "answer.py", "exec"))


def _written_anew(bundle: Bundle) -> Bundle:
    """The same bundle after its files were changed."""
    (bundle.path / MANIFEST_NAME).unlink()
    (bundle.path / RUN).chmod(0o755)
    manifest = msgspec.structs.replace(bundle.manifest, files=list_files(bundle.path))
    (bundle.path / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return open_bundle(bundle.path)


def inodes_exhausted(subject: FaultSubject, push_into: PushInto) -> tuple[str, list[Bundle]]:
    """To the last one or to a random one, in a random state."""
    assert isinstance(subject, SshServer)
    bundle = subject.new_bundle()
    left = subject.rng.choice((0, 1, subject.rng.randint(0, 40)))

    def exhaust() -> None:
        room = os.statvfs(subject.home)
        subject.remount(f"nr_inodes={room.f_files - room.f_ffree + left}")

    try:
        state = push_into(subject, bundle, exhaust)
        check(subject, [bundle])
    finally:
        subject.remount("nr_inodes=100000")
    return state, [bundle]


PushInto = Callable[[FaultSubject, Bundle, Callable[[], None]], str]
"""Push while something happens in a random state. Returns in which one the push ended."""


def few_sessions(subject: FaultSubject) -> tuple[str, list[Bundle]]:
    """As many channels at once as the server's owner allows."""
    assert isinstance(subject, SshServer)
    count = subject.rng.choice((1, 2, 3))
    bundle = subject.new_bundle()
    with _limited(subject, count):
        pusher = subject.begin_push(bundle)
        if not pusher.ended(PUSH_TIMEOUT_S):
            pusher.kill()
            raise Lost(f"a push hangs with MaxSessions {count}")
        if pusher.process.returncode:
            raise Lost(f"a push ends with {pusher.process.returncode} with MaxSessions {count}")
        check(subject, [bundle])
    return f"MaxSessions {count}", [bundle]


@contextlib.contextmanager
def _limited(subject: SshServer, sessions: int) -> Iterator[None]:
    subject.configure(f"MaxSessions {sessions}\n")
    try:
        yield
    finally:
        subject.configure("")
