"""A device's store while we hold its lock: everything that changes it goes through here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from edgedeploy.bundle.signature import EARLIEST_CLOCK_S, NAMESPACE
from edgedeploy.deploy.device_log import log_field, note
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.scripts.placing import ASSEMBLE_COPIES, ASSEMBLE_LINKS, DISCARD, PLACE, REMOVE, UNINSTALL
from edgedeploy.deploy.scripts.receiving import PREPARE
from edgedeploy.deploy.scripts.running import argv, require_lock, run
from edgedeploy.deploy.scripts.signatures import CHECK_SIGNATURE, TAKE_SIGNATURE, VERIFY_SIGNATURE, WRONG_CLOCK
from edgedeploy.deploy.scripts.switching import AWAIT_VERDICT, CONFIRM, JUDGE, SWITCH, SWITCH_OFF
from edgedeploy.deploy.scripts.verifying import DROP_BYTECODE
from edgedeploy.deploy.transfer.streams import lines_of_copies, tar_of_links
from edgedeploy.device.connection import Completed, Connection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.programs import last_lines
from edgedeploy.values.contract import Outcome

_SIGNERS = "~/.edgedeploy/allowed_signers"
"""Where it exists on the device, no release becomes current whose manifest none of those signed. It is the file of the
device's owner: edgedeploy never writes it."""
_ASSEMBLE_TIMEOUT_S = 300.0
_VERDICT_WORDS = {Outcome.HOLDS: "holds", Outcome.BREAKS: "breaks", Outcome.NOT_DETERMINED: "undetermined"}


class DeviceStore:
    """The store of a device, locked and prepared. See `edgedeploy.deploy.scripts` for what lies where.

    Args:
        lock: what `device_lock` gave.
        facts: what `receiving.PREPARE` said, a word each.
    """

    def __init__(self, connection: Connection, lock: str, facts: frozenset[str]) -> None:
        self.connection = connection
        self.can_link = "links" in facts
        """Whether a file may have two names there."""
        self.names_are_inodes = not self.can_link or "counted-links" in facts
        """Whether each file of a release takes an inode, also where its content has one."""
        self.lock = lock
        self._facts = facts

    @property
    def address(self) -> str:
        return self.connection.address

    def asks_for_signatures(self) -> bool:
        """Find out whether the device has a file of allowed signers.

        Raises:
            DeviceError: it has, and the file cannot be read, or there is no ssh-keygen to check a signature with: then
                nothing may become current there.
        """
        if "no-signers" in self._facts:
            raise DeviceError(
                f"{self.address} asks for signed releases and cannot read who may sign",
                why=f"its {_SIGNERS} is no file, is a link to one that is not there, or may not be read",
                hint=f"look at it there: ls -lL {_SIGNERS}; mount what it is on, or take it away",
            )
        if "signers" in self._facts and "ssh-keygen" not in self._facts:
            raise DeviceError(
                f"{self.address} asks for signed releases and cannot check one",
                why=f"it has {_SIGNERS}, and no ssh-keygen",
                hint="install openssh-client there, or take that file away",
            )
        return "signers" in self._facts

    def require_switch(self) -> None:
        """Raise DeviceError where one link cannot take the place of another in one step."""
        if "no-rename" in self._facts:
            raise DeviceError(
                f"{self.address} cannot switch releases in one step",
                why="its mv knows neither -T nor -h, or its file system renames no link over another",
                hint="install busybox or coreutils there",
            )

    def require_programs(self) -> None:
        """Raise DeviceError where no program can be started in the store."""
        if "no-programs" in self._facts:
            raise DeviceError(
                f"{self.address} starts no program from its home folder",
                why="the file system that it is on is mounted with noexec, or a rule of the system forbids it",
                hint="mount it with exec there (as root: mount -o remount,exec MOUNTPOINT; findmnt -T ~ names it), or "
                "give the user a home folder on another file system",
            )

    def release(self, name: str, identity: str) -> ReleaseFolder:
        """Return the place of a release, whether it is there or not.

        Args:
            name: of the model.
            identity: as `releases.release_id` makes it.
        """
        return ReleaseFolder(self, name, identity)

    def uninstall_model(self, name: str) -> None:
        """Remove a model with all its releases, what is current first."""
        self.run(UNINSTALL, name, doing="remove the releases")

    def remove_releases(self, name: str, identities: Sequence[str]) -> None:
        """Remove releases of a model, none of them the current one."""
        # Without an ID, the script would take the model itself.
        if identities:
            self.run(UNINSTALL, name, *identities, doing="remove the releases")

    def run(
        self,
        script: str,
        *arguments: str,
        doing: str,
        stdin: bytes | Iterable[bytes] = b"",
        timeout_s: float = 120.0,
    ) -> Completed:
        """Call `scripts.running.run` for as long as the lock is ours."""
        return run(self.connection, script, *arguments, stdin=stdin, timeout_s=timeout_s, doing=doing, lock=self.lock)


class ReleaseFolder:
    """The place of one release in a device's store.

    Each method raises `BusyError` when the lock is another's by now, `DeviceError` when the device cannot do it, and
    `UnreachableError` when the connection was lost.
    """

    def __init__(self, store: DeviceStore, name: str, identity: str) -> None:
        self.store = store
        self.name = name
        self.id = identity
        self.path = f"{name}/{identity}"
        """As a `Listing` names it."""
        self.staged_folder = f"{identity}.partial"
        """In that of the model: where `assemble` makes the release, until `place` moves it."""

    def assemble(self, contents: Mapping[str, str], executables: Iterable[str]) -> None:
        """Make the release beside its place, of contents that are on the device.

        Args:
            contents: from each path in the release to its SHA-256.
            executables: the paths of what is run.
        """
        if self.store.can_link:
            stream: bytes | Iterable[bytes] = tar_of_links(f"releases/{self.name}/{self.staged_folder}", contents)
        else:
            stream = lines_of_copies(contents)
        self._run(
            ASSEMBLE_LINKS if self.store.can_link else ASSEMBLE_COPIES,
            *(f"./{path}" for path in executables),
            stdin=stream,
            timeout_s=_ASSEMBLE_TIMEOUT_S,
            doing="assemble the release",
        )

    def check_signature(self, signature: bytes, folder: str) -> str:
        """Let the device check a signature for the release, and stage it when it is accepted.

        Args:
            folder: with the manifest that it is of, in that of the model.

        Returns:
            Who signed, as the device calls them.

        Raises:
            DeviceError: it is not one of that manifest, or its key is not allowed there; or the device's clock is
                plainly wrong, so that it cannot tell whether a key is valid today.
        """
        words = (self.name, self.id, folder, NAMESPACE, str(EARLIEST_CLOCK_S))
        done = self.store.connection.run(argv(CHECK_SIGNATURE, *words, lock=self.store.lock), stdin=signature)
        require_lock(self.store.connection, done)
        if done.exit_status == WRONG_CLOCK:
            raise DeviceError(
                f"{self.store.address} cannot check the signature of {self.id}: its clock is wrong",
                why=f"it says {last_lines(done.stderr, count=1) or 'nothing'}, and that was before its {_SIGNERS} was "
                "written, or before there was edgedeploy: whether a key is valid today is not determined",
                hint="set its clock (date -s there, as root), or let it take the time from the network",
            )
        return self._signer(done)

    def take_signature(self, signature: bytes, folder: str) -> bool:
        """Stage a signature on a device that asks for none. One that is there gives way only to one of this manifest.

        Args:
            folder: as `check_signature` takes it.

        Returns:
            Whether it was staged.
        """
        done = self._run(TAKE_SIGNATURE, folder, NAMESPACE, stdin=signature, doing="keep the signature")
        return not done.stdout.strip()

    def place(self) -> None:
        """Move what is staged, release and signature, to where it belongs."""
        self._run(PLACE, doing="put the release in its place")

    def drop_bytecode(self) -> None:
        """Remove what Python made of the release's sources, by whatever ran it: the next check makes it anew."""
        self._run(DROP_BYTECODE, doing="remove the release's bytecode")

    def discard(self) -> None:
        """Remove what is staged. What is in its place stays."""
        self._run(DISCARD, doing="remove what was refused")

    def verify_signature(self) -> str:
        """Let the device check the signature that is beside the release. Returns who signed it, as the device calls
        them.

        Raises:
            DeviceError: there is none, it is not one of the release's manifest, or its key is not allowed there.
        """
        return self._signer(self.store.connection.run(argv(VERIFY_SIGNATURE, self.name, self.id, NAMESPACE)))

    def _signer(self, done: Completed) -> str:
        if done.exit_status:
            raise DeviceError(
                f"{self.store.address} does not accept the signature of {self.id}; what was current there still is",
                why=last_lines(done.stderr, count=3) or f"exit {done.exit_status}",
                hint=f"let somebody sign it whom {_SIGNERS} there names: edgedeploy bundle sign BUNDLE --key FILE",
            )
        return done.stdout.decode(errors="replace").strip()

    def make_current(self, detail: str, *, is_confirmed: bool) -> None:
        """Switch to the release, and remember what was current as where a rollback goes.

        Args:
            detail: for the device's log.
            is_confirmed: no command has to confirm the release. Else it is remembered that none has, until `confirm`.
        """
        state = "confirmed" if is_confirmed else "new"
        self._run(SWITCH, state, log_field(detail), doing="switch the current release")

    def confirm(self) -> None:
        """Remember that the release is confirmed: from now on, no command that fails takes it back."""
        self._run(CONFIRM, doing="remember that the release is confirmed")

    def await_verdict(self) -> None:
        """Remember that a verdict is to confirm the release. Until then, it is no way back for another one."""
        self._run(AWAIT_VERDICT, doing="remember that the release waits for its verdict")

    def judge(self, outcome: Outcome, detail: str) -> None:
        """Keep the verdict on the release beside it. That alone confirms nothing, and takes nothing back.

        Args:
            detail: for the device's log.
        """
        self._run(JUDGE, _VERDICT_WORDS[outcome], log_field(detail), doing="keep the verdict on the release")

    def make_current_again(self) -> None:
        """Switch back to the release, which keeps the parent that it had."""
        self._run(SWITCH, "keep", "", doing="switch the current release")

    def switch_off(self, detail: str) -> None:
        """Leave no release of the model current, when this one is."""
        self._run(SWITCH_OFF, log_field(detail), doing="take the release back")

    def remove(self) -> None:
        """Remove the release's folder, staged or in its place, and what is beside it. Its contents stay until the next
        sweep."""
        self._run(REMOVE, doing="remove the release")

    def note(self, event: str, detail: str) -> None:
        """Write an entry about the release into the device's log."""
        note(self.store.connection, event, self.name, self.id, detail)

    def _run(
        self,
        script: str,
        *arguments: str,
        doing: str,
        stdin: bytes | Iterable[bytes] = b"",
        timeout_s: float = 120.0,
    ) -> Completed:
        return self.store.run(script, self.name, self.id, *arguments, doing=doing, stdin=stdin, timeout_s=timeout_s)


@contextlib.contextmanager
def open_store(connection: Connection) -> Iterator[DeviceStore]:
    """Lock a device's store, make its folders, and remove what a push that died has left.

    Raises:
        BusyError: another edgedeploy is at work there.
        DeviceError: the device's home folder cannot be written.
        UnreachableError: the connection was lost.
    """
    with device_lock(connection) as lock:
        answer = run(connection, PREPARE, doing="prepare its store", lock=lock).stdout
        yield DeviceStore(connection, lock, frozenset(answer.decode(errors="replace").split()))
