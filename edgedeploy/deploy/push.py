"""Putting a bundle on a device: whole, healthy and current, or nothing has changed."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.deploy import retention
from edgedeploy.deploy.device_log import note, one_line
from edgedeploy.deploy.device_signature import asks_for_signatures, keep_signature, verify_there
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.preflight import check_device, check_manifest
from edgedeploy.deploy.receiving import PREPARE
from edgedeploy.deploy.releases import Listing, broken_files, list_releases, release_id
from edgedeploy.deploy.shell import ASSEMBLE_COPIES, ASSEMBLE_LINKS, HEALTH, REMOVE, SWITCH, run
from edgedeploy.deploy.status import health_in_words
from edgedeploy.deploy.transfer import Sent, lines_of_copies, send_missing, tar_of_links
from edgedeploy.deploy.uninstall import retire
from edgedeploy.device.connection import Connection
from edgedeploy.errors import DeviceError
from edgedeploy.progress import SILENT, Progress
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, Release

_HEALTH_TIMEOUT_S = 600.0
"""For one load of the model and its golden inputs, under emulation on a loaded machine too."""

_ILLEGAL_INSTRUCTION = 128 + 4
"""How a shell says that SIGILL ended a command."""


class PushResult(Struct, frozen=True, kw_only=True):
    release: Release
    sent_files: int
    sent_bytes: int
    kept_files: int
    """Contents that the device had already, read back and verified there."""
    resumed_bytes: int = 0
    """Of what was missing, sent by a push that was cut: found there, verified, and not sent again."""
    activated: bool
    """False when the release was current before: nothing was changed."""
    health: str
    """What the release's own check said on the device."""
    signer: str | None = None
    """Who signed it, as the device calls them; None where it did not ask."""
    retired: tuple[str, ...] = ()
    """IDs of releases that went because enough newer ones stay, or because they were damaged."""


def push(
    bundle: Bundle,
    connection: Connection,
    *,
    peak_memory_bytes: int | None = None,
    keep: int = retention.DEFAULT,
    bandwidth_bytes_per_s: int | None = None,
    signature: bytes | None = None,
    progress: Progress = SILENT,
) -> PushResult:
    """Send what the device lacks, assemble the release, check its health there, and make it current.

    The order is: preflight, lock, send, verify, assemble, health, switch, clean. Until the switch, which is one rename,
    what is current stays so; a push that dies leaves only files that the next one removes.

    Args:
        peak_memory_bytes: the largest resident set that was measured with this model elsewhere; a device that has less
            memory is refused.
        signature: of the manifest, as `edgedeploy.signature.sign` makes it. It is kept beside the release; where the
            device has a file of allowed signers, it is checked there, and without one nothing is sent.
        keep: how many releases of the model stay on the device; never the current one nor the one before goes.
        bandwidth_bytes_per_s: what is sent takes no more of the network than this, on average.

    Raises:
        DeviceError: the device does not fit the bundle, has not enough room, does not accept the signature, or the
            release is not healthy there.
        IntegrityError: bytes are not what the manifest says.
        BusyError: another edgedeploy is at work there.
        UnreachableError: the connection was lost.
        ValueError: `keep` is under 2.
    """
    if keep < retention.LEAST:
        raise ValueError(f"{keep} releases are too few to keep: the current one and the one before always stay")
    manifest = bundle.manifest
    check_manifest(manifest)
    progress.step(f"asking {connection.address} what it is")
    check_device(manifest, connection, peak_memory_bytes=peak_memory_bytes)
    identity = release_id(manifest.version, bundle.sha256)
    with device_lock(connection) as lock:
        prepared = run(connection, PREPARE, doing="prepare its store", lock=lock).stdout
        can_link = b"links" in prepared.split()
        must_be_signed = asks_for_signatures(connection, prepared)
        if must_be_signed and signature is None:
            raise DeviceError(
                f"{connection.address} takes signed bundles only, and {bundle.path} is not signed",
                mend=f"edgedeploy bundle sign {bundle.path} --key FILE",
            )
        there = next(
            (r for r in list_releases(connection).releases if (r.name, r.id) == (manifest.name, identity)), None
        )
        whole = there is not None and not broken_files(connection, there)
        if whole:
            progress.note(f"{identity} is on the device already")
            sent = Sent(0, 0, len({entry.sha256 for entry in manifest.files}) + 1)
        else:
            sent = send_missing(
                bundle, connection, progress, copies=not can_link, bandwidth_bytes_per_s=bandwidth_bytes_per_s
            )
            progress.step(f"assembling {identity}")
            _assemble(bundle, identity, connection, lock, can_link=can_link)
        was_current = there is not None and there.current
        try:
            signer = None
            if signature is not None:
                keep_signature(connection, manifest.name, identity, signature, lock)
                # Before anything of the release is run.
                signer = verify_there(connection, manifest.name, identity) if must_be_signed else None
            health = _check_health(connection, manifest.name, identity, progress)
        except DeviceError as error:
            note(connection, "refused", manifest.name, identity, f"{error.what}: {error.why}")
            if not (whole or was_current):
                run(connection, REMOVE, manifest.name, identity, doing="remove the release", lock=lock)
            raise
        if not was_current:
            progress.step(f"making {identity} current")
            said = one_line(health_in_words(health))
            run(connection, SWITCH, manifest.name, identity, "new", said, doing="switch the current release", lock=lock)
        listing = list_releases(connection)
        release = next(r for r in listing.releases if (r.name, r.id) == (manifest.name, identity))
        retired = _clean(connection, listing, manifest.name, keep, lock, progress)
    return PushResult(
        release=release,
        sent_files=sent.sent_files,
        sent_bytes=sent.sent_bytes,
        kept_files=sent.kept_files,
        resumed_bytes=sent.resumed_bytes,
        activated=not was_current,
        health=health,
        signer=signer,
        retired=retired,
    )


def _clean(
    connection: Connection, listing: Listing, name: str, keep: int, lock: str, progress: Progress
) -> tuple[str, ...]:
    """Let old releases go, and damaged ones, which are no way back. The new one is current by now, whether that can be
    done or not. Returns their IDs."""
    gone = tuple(release.id for release in retention.superseded(listing.releases, name, keep))
    gone += tuple(one.removeprefix(f"{name}/") for one in listing.damaged if one.startswith(f"{name}/"))
    if not gone:
        return ()
    progress.step("removing old releases")
    try:
        retire(connection, name, gone, listing.releases, lock)
    except DeviceError as error:
        progress.note(str(error))
        return ()
    return gone


def _assemble(bundle: Bundle, identity: str, connection: Connection, lock: str, *, can_link: bool) -> None:
    """Give the contents on the device their places in the release's folder."""
    manifest = bundle.manifest
    contents = {entry.path: entry.sha256 for entry in manifest.files} | {MANIFEST_NAME: bundle.sha256}
    run(
        connection,
        ASSEMBLE_LINKS if can_link else ASSEMBLE_COPIES,
        manifest.name,
        identity,
        *(f"./{entry.path}" for entry in manifest.files if entry.executable),
        stdin=tar_of_links(f"releases/{manifest.name}/{identity}.partial", contents)
        if can_link
        else lines_of_copies(contents),
        timeout_s=300.0,
        doing="assemble the release",
        lock=lock,
    )


def _check_health(connection: Connection, name: str, identity: str, progress: Progress) -> str:
    """Load the release there and run its golden inputs. Returns the last line that it said."""
    progress.step(f"checking the health of {identity}")
    completed = connection.run(["sh", "-c", HEALTH, "edgedeploy", name, identity], timeout_s=_HEALTH_TIMEOUT_S)
    said = completed.stdout.decode(errors="replace").strip()
    if completed.exit_status == _ILLEGAL_INSTRUCTION:
        raise DeviceError(
            f"{identity} uses an instruction that the cores of {connection.address} do not have; "
            "what was current there still is",
            why="its runtime was built for newer cores, as some of onnxruntime's wheels were for a Raspberry Pi 4 "
            "(https://github.com/microsoft/onnxruntime/issues/23957)",
            mend="compile with another --backend, or for the target that `edgedeploy probe` names",
        )
    if completed.exit_status:
        errors = completed.stderr.decode(errors="replace").strip()
        raise DeviceError(
            f"{identity} is not healthy on {connection.address}; what was current there still is",
            why=" | ".join([*said.splitlines()[-2:], *errors.splitlines()[-4:]]) or f"exit {completed.exit_status}",
            mend="compile it for this device, or look at what its runner says: "
            "it was started as `run check` in the release's folder",
        )
    return said.splitlines()[-1] if said else ""
