"""Put a bundle on a device: whole, healthy and current, or nothing has changed."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from msgspec import Struct

from edgedeploy.deploy import retention
from edgedeploy.deploy.confirm import confirmed
from edgedeploy.deploy.contents import sweep
from edgedeploy.deploy.health import Health, derive_bytecode, require_health
from edgedeploy.deploy.interface import require_same_model
from edgedeploy.deploy.preflight import check_device
from edgedeploy.deploy.releases import Listing, find_release, list_releases
from edgedeploy.deploy.repair import paths_of, places_of, relink
from edgedeploy.deploy.request import PushRequest
from edgedeploy.deploy.store import DeviceStore, ReleaseFolder, open_store
from edgedeploy.deploy.transfer.transfer import Sent, send_missing
from edgedeploy.deploy.uninstall import retire
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, EdgedeployError, IntegrityError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.values.bundle import Bundle, Release


class PushResult(Struct, frozen=True, kw_only=True):
    release: Release
    sent_files: int
    sent_bytes: int
    kept_files: int
    """Contents that the device had already, read back and verified there."""
    resumed_bytes: int = 0
    """Of what was missing, sent by an interrupted push: found there, verified, and not sent again."""
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
    new_interface: bool = False,
    progress: Progress = SILENT,
) -> PushResult:
    """Send what the device lacks, assemble the release, check its health there, and make it current.

    The order is: preflight, lock, stage, verify, assemble, signature, health, switch, confirm, clean. Until the switch,
    which is one rename, what is current stays so; a push that dies leaves only files that the next one removes. A
    release that is there, and its signature, are replaced only by one that passed its checks. After the switch, what
    cannot be confirmed is taken back.

    Args:
        peak_memory_bytes: the largest resident set that was measured with this model elsewhere; a device that has less
            memory is refused.
        max_memory_bytes: the largest resident set that the release's check may have there.
        confirm: a command of the user's own for the device's shell, run once the release is current, in the home
            folder: to start the application with it, say, and see that it works. When it fails, what was current
            before becomes so again; a release that was current and confirmed before this push stays.
        signature: of the manifest, as `edgedeploy.bundle.signature.sign` makes it. It is kept beside the release;
            where the device has a file of allowed signers, it is checked there, and without one nothing is sent.
        new_interface: let the bundle replace a model of its name whose inputs or outputs have other names, types or
            shapes; without, that is refused.
        keep: how many releases of the model stay on the device; never the current one nor the one before goes.
        bandwidth_bytes_per_s: what is sent takes no more of the network than this, on average.

    Raises:
        DeviceError: the device does not fit the bundle, has another model of that name, has not enough room, does not
            accept the signature, or the release is not healthy there or takes too much memory, or is not confirmed.
        IntegrityError: bytes are not what the manifest says, or the device has another release with the same ID.
        BusyError: another edgedeploy is at work there.
        UnreachableError: the connection was lost.
        ValueError: `keep` is under 2.
    """
    request = PushRequest(
        bundle=bundle,
        peak_memory_bytes=peak_memory_bytes,
        max_memory_bytes=max_memory_bytes,
        confirm=confirm,
        keep=keep,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        signature=signature,
        new_interface=new_interface,
    )
    return carry_out(request, connection, progress)


def carry_out(request: PushRequest, connection: Connection, progress: Progress = SILENT) -> PushResult:
    """Do what `push` does. Raises what it raises, but for what `PushRequest` has raised already."""
    progress.step(f"asking {connection.address} what it is")
    check_device(request.manifest, connection, peak_memory_bytes=request.peak_memory_bytes)
    with open_store(connection) as store:
        store.require_switch()
        store.require_programs()
        _require_signature(request, store)
        folder = store.release(request.name, request.identity)
        listing = list_releases(connection)
        _require_same_manifest(request, folder, listing)
        require_same_model(request, listing, store.address)
        before = _find(folder, listing, progress)
        _sweep(request, store, listing, progress)
        with _leaving_nothing(folder, before, listing):
            sent = _bring(request, folder, before, listing, progress)
            health, signer = _approve(request, folder, before, progress)
        relink(store, sent.renewed, places_of(listing.without([folder.path]).releases))
        if not before.current:
            progress.step(f"making {folder.id} current")
            folder.make_current(health.report.words, is_confirmed=request.is_confirmed_at_once)
        progress.step(f"confirming {folder.id}")
        release, listing = confirmed(
            folder, request.confirm, timeout_s=request.confirm_timeout_s, awaits_verdict=request.awaits_verdict
        )
        retired = _retire_superseded(folder, listing, request.keep, progress)
    return _result(release, sent, health, signer, before, retired)


class _Before(Struct, frozen=True):
    """What the device had of the release before this push."""

    present: bool
    """Damaged or whole."""
    whole: bool
    current: bool
    is_leftover: bool
    """A push that was cut has brought it, and nothing goes back to it: it goes when this push is refused."""


def _require_signature(request: PushRequest, store: DeviceStore) -> None:
    if store.asks_for_signatures() and request.signature is None:
        raise DeviceError(
            f"{store.address} takes signed bundles only, and {request.bundle.path} is not signed",
            hint=f"edgedeploy bundle sign {shlex.quote(str(request.bundle.path))} --key FILE",
        )


def _require_same_manifest(request: PushRequest, folder: ReleaseFolder, listing: Listing) -> None:
    """Refuse a bundle whose ID is that of another one on the device. An ID has 48 bits of a hash: two bundles do not
    share one by chance, but somebody can make two that do in minutes."""
    present = listing.manifests.get(folder.path, request.bundle.sha256)
    if present != request.bundle.sha256:
        raise IntegrityError(
            f"{folder.store.address} has another release of {folder.name} with the ID {folder.id}",
            why=f"the SHA-256 of its manifest is {present}, and that of {request.bundle.path} is "
            f"{request.bundle.sha256}: one of them was made to look like the other. Nothing was changed there",
            hint=f"find out where {folder.id} on the device came from; then compile the bundle with another --version",
        )


def _find(folder: ReleaseFolder, listing: Listing, progress: Progress) -> _Before:
    release = find_release(listing, folder.name, folder.id)
    if release is None:
        present = folder.path in (*listing.damaged, *listing.unreadable)
        return _Before(present=present, whole=False, current=False, is_leftover=False)
    is_needed = release.current or any(
        (each.name, each.parent) == (folder.name, folder.id) for each in listing.releases
    )
    if wrong := broken_files(folder.store.connection, release):
        # A step, not a note: it is told in a pipe too.
        progress.step(f"replacing {folder.id} on {folder.store.address}, which is damaged: {wrong}")
    return _Before(
        present=True,
        whole=not wrong,
        current=release.current,
        is_leftover=folder.path in listing.unconfirmed and not is_needed,
    )


def _sweep(request: PushRequest, store: DeviceStore, listing: Listing, progress: Progress) -> None:
    """Remove what no release needs, before there is to be room for more. A device that cannot do that goes on."""
    wanted = {sha256: blob.size_bytes for sha256, blob in request.blobs_by_sha256.items()}
    try:
        sweep(store, listing, wanted)
    except DeviceError as error:
        progress.note(str(error))


@contextlib.contextmanager
def _leaving_nothing(folder: ReleaseFolder, before: _Before, listing: Listing) -> Iterator[None]:
    """Remove all that a refused push has brought. What an interrupted one has brought stays, for its resume."""
    try:
        yield
    except (DeviceError, IntegrityError) as error:
        # A device that cannot do that any more is no reason to say something else.
        with contextlib.suppress(EdgedeployError):
            folder.note("refused", f"{error.what}: {error.why}")
            if before.present and not before.is_leftover:
                folder.discard()
                sweep(folder.store, listing)
            else:
                folder.remove()
                sweep(folder.store, listing.without([folder.path]))
        raise


def _bring(request: PushRequest, folder: ReleaseFolder, before: _Before, listing: Listing, progress: Progress) -> Sent:
    """Send what the device has nowhere whole, and make the release of it, beside its place."""
    if before.whole:
        progress.note(f"{folder.id} is on the device already")
        return Sent(0, 0, len(request.blobs_by_sha256))
    store = folder.store
    sent = send_missing(
        request.blobs_by_sha256,
        store.connection,
        progress,
        name=request.name,
        elsewhere=paths_of(places_of(listing.releases)),
        room_for_copies_bytes=0 if store.can_link else request.bundle.size_bytes,
        inodes=_inodes(request, store),
        bandwidth_bytes_per_s=request.bandwidth_bytes_per_s,
    )
    progress.step(f"assembling {folder.id}")
    folder.assemble(request.contents, request.executables)
    return sent


def _inodes(request: PushRequest, store: DeviceStore) -> int:
    """Count the inodes that a release takes beside those of its contents: of folders, and of files where links to the
    contents take one each."""
    folders = {folder for path in request.contents for folder in PurePosixPath(path).parents}
    return len(folders) + (len(request.contents) if store.names_are_inodes else 0)


def _approve(
    request: PushRequest, folder: ReleaseFolder, before: _Before, progress: Progress
) -> tuple[Health, str | None]:
    """Let the device verify the signature, run the release's own check, and give it its place. Until that has passed,
    what is there of the release stays as it was.

    Returns:
        How the check ended, and who signed the release where the device asks for that.
    """
    at = folder.id if before.whole else folder.staged_folder
    # Before anything of the release is run.
    signer = _check_signature(request, folder, at, progress)
    if not before.present:
        # It stands in for nothing: the bytecode that the check leaves is that of its place.
        folder.place()
        at = folder.id
    progress.step(f"checking the health of {folder.id}")
    health = require_health(
        folder.store.connection,
        folder.name,
        folder.id,
        folder=at,
        max_memory_bytes=request.max_memory_bytes,
        timeout_s=request.check_timeout_s,
    )
    if before.present:
        folder.place()
    if before.present and not before.whole:
        # Bytecode is found by the path of its source.
        derive_bytecode(folder.store.connection, request.manifest, folder.id)
    return health, signer


def _check_signature(request: PushRequest, folder: ReleaseFolder, at: str, progress: Progress) -> str | None:
    """Let the device look at the signature, and stage it.

    Returns:
        Who signed the release; None where the device does not ask for that.
    """
    if request.signature is None:
        return None
    if folder.store.asks_for_signatures():
        return folder.check_signature(request.signature, at)
    if not folder.take_signature(request.signature, at):
        progress.note(f"the signature of {request.bundle.path} is not one of its manifest: {folder.id} keeps its own")
    return None


def _retire_superseded(folder: ReleaseFolder, listing: Listing, keep: int, progress: Progress) -> tuple[str, ...]:
    """Remove old releases, and damaged ones, which are no way back. The new one is current by now, whether that can be
    done or not. Returns their IDs."""
    name = folder.name
    gone = tuple(release.id for release in retention.superseded(listing.releases, name, keep))
    gone += tuple(path.removeprefix(f"{name}/") for path in listing.damaged if path.startswith(f"{name}/"))
    if not gone:
        return ()
    progress.step("removing old releases")
    try:
        retire(folder.store, name, gone, listing)
    except DeviceError as error:
        progress.note(str(error))
        return ()
    return gone


def _result(
    release: Release, sent: Sent, health: Health, signer: str | None, before: _Before, retired: tuple[str, ...]
) -> PushResult:
    return PushResult(
        release=release,
        sent_files=sent.sent_files,
        sent_bytes=sent.sent_bytes,
        kept_files=sent.kept_files,
        resumed_bytes=sent.resumed_bytes,
        activated=not before.current,
        health=health.report.line,
        peak_rss_bytes=health.report.peak_rss_bytes,
        signer=signer,
        retired=retired,
    )
