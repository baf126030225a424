"""Putting a bundle on a device: whole, healthy and current, or nothing has changed."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.deploy import retention
from edgedeploy.deploy.confirm import confirmed
from edgedeploy.deploy.device_log import note, one_line
from edgedeploy.deploy.device_signature import asks_for_signatures, keep_signature, verify_there
from edgedeploy.deploy.health import require_health
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.preflight import check_device, check_manifest
from edgedeploy.deploy.releases import Listing, broken_files, list_releases, release_id
from edgedeploy.deploy.scripts.receiving import PREPARE
from edgedeploy.deploy.scripts.shell import ASSEMBLE_COPIES, ASSEMBLE_LINKS, REMOVE, SWITCH, run
from edgedeploy.deploy.transfer.transfer import Sent, lines_of_copies, send_missing, tar_of_links
from edgedeploy.deploy.uninstall import retire
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, Release


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
    peak_rss_bytes: int | None = None
    """Of that check; None where the device does not tell."""
    signer: str | None = None
    """Who signed it, as the device calls them; None where it did not ask."""
    retired: tuple[str, ...] = ()
    """IDs of releases that went because enough newer ones stay, or because they were damaged."""


def push(
    bundle: Bundle,
    connection: Connection,
    *,
    peak_memory_bytes: int | None = None,
    max_memory_bytes: int | None = None,
    confirm: str | None = None,
    keep: int = retention.DEFAULT,
    bandwidth_bytes_per_s: int | None = None,
    signature: bytes | None = None,
    progress: Progress = SILENT,
) -> PushResult:
    """Send what the device lacks, assemble the release, check its health there, and make it current.

    The order is: preflight, lock, stage, verify, assemble, signature, health, switch, confirm, clean. Until the switch,
    which is one rename, what is current stays so; a push that dies leaves only files that the next one removes. After
    it, what cannot be confirmed is taken back.

    Args:
        peak_memory_bytes: the largest resident set that was measured with this model elsewhere; a device that has less
            memory is refused.
        max_memory_bytes: the largest resident set that the release's check may have there.
        confirm: a command of the user's own for the device's shell, run once the release is current, in the home
            folder: to start the application with it, say, and see that it works. When it fails, what was current
            before becomes so again.
        signature: of the manifest, as `edgedeploy.bundle.signature.sign` makes it. It is kept beside the release;
            where the device has a file of allowed signers, it is checked there, and without one nothing is sent.
        keep: how many releases of the model stay on the device; never the current one nor the one before goes.
        bandwidth_bytes_per_s: what is sent takes no more of the network than this, on average.

    Raises:
        DeviceError: the device does not fit the bundle, has not enough room, does not accept the signature, or the
            release is not healthy there or takes too much memory, or is not confirmed.
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
                hint=f"edgedeploy bundle sign {bundle.path} --key FILE",
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
            progress.step(f"checking the health of {identity}")
            health = require_health(connection, manifest.name, identity, max_memory_bytes=max_memory_bytes)
        except DeviceError as error:
            note(connection, "refused", manifest.name, identity, f"{error.what}: {error.why}")
            if not (whole or was_current):
                run(connection, REMOVE, manifest.name, identity, doing="remove the release", lock=lock)
            raise
        if not was_current:
            progress.step(f"making {identity} current")
            words = one_line(health.report.words)
            run(
                connection, SWITCH, manifest.name, identity, "new", words, doing="switch the current release", lock=lock
            )
        progress.step(f"confirming {identity}")
        release, listing = confirmed(connection, manifest.name, identity, confirm, prepared, lock)
        retired = _clean(connection, listing, manifest.name, keep, lock, progress)
    return PushResult(
        release=release,
        sent_files=sent.sent_files,
        sent_bytes=sent.sent_bytes,
        kept_files=sent.kept_files,
        resumed_bytes=sent.resumed_bytes,
        activated=not was_current,
        health=health.report.line,
        peak_rss_bytes=health.report.peak_rss_bytes,
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
