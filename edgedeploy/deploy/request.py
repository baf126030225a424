"""What a push is asked to do, resolved once, before a device is touched."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.deploy import retention
from edgedeploy.deploy.confirm import TIMEOUT_S as CONFIRM_TIMEOUT_S
from edgedeploy.deploy.health import TIMEOUT_S as CHECK_TIMEOUT_S
from edgedeploy.deploy.preflight import check_manifest
from edgedeploy.deploy.releases import release_id
from edgedeploy.deploy.transfer.blobs import Blob, blobs
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, Manifest


class PushRequest(Struct, frozen=True, kw_only=True):
    """A bundle that is to become a device's current release, and what has to hold for that.

    Raises:
        ValueError: `keep` is under 2.
        IntegrityError: the manifest breaks a rule for names, paths, versions or hashes.
    """

    bundle: Bundle
    peak_memory_bytes: int | None = None
    """The largest resident set that was measured with this model elsewhere; a device with less memory is refused."""
    max_memory_bytes: int | None = None
    """The largest resident set that the release's check may have on the device."""
    confirm: str | None = None
    """A command of the user's for the device's shell, run once the release is current."""
    awaits_verdict: bool = False
    """The release is confirmed by a verdict (`workflows.ship.settle`), not by this push."""
    keep: int = retention.DEFAULT
    """How many releases of the model stay on the device."""
    bandwidth_bytes_per_s: int | None = None
    """What is sent takes no more of the network than this, on average."""
    signature: bytes | None = None
    """Of the manifest, as `edgedeploy.bundle.signature.sign` makes it."""
    new_interface: bool = False
    """Whether the bundle is to replace a model of its name that takes or gives other tensors."""
    check_timeout_s: float = CHECK_TIMEOUT_S
    confirm_timeout_s: float = CONFIRM_TIMEOUT_S

    def __post_init__(self) -> None:
        retention.check_keep(self.keep)
        check_manifest(self.bundle.manifest)

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def name(self) -> str:
        """Of the model."""
        return self.bundle.manifest.name

    @property
    def identity(self) -> str:
        """Of the release that the bundle becomes."""
        return release_id(self.bundle.manifest.version, self.bundle.sha256)

    @property
    def is_confirmed_at_once(self) -> bool:
        """Whether nothing more than being current confirms the release."""
        return self.confirm is None and not self.awaits_verdict

    @property
    def contents(self) -> dict[str, str]:
        """From each path in the release to the SHA-256 of its content, the manifest included."""
        return {entry.path: entry.sha256 for entry in self.manifest.files} | {MANIFEST_NAME: self.bundle.sha256}

    @property
    def executables(self) -> tuple[str, ...]:
        """Paths in the release of what is run."""
        return tuple(entry.path for entry in self.manifest.files if entry.executable)

    @property
    def blobs_by_sha256(self) -> dict[str, Blob]:
        """Where each content lies on this machine, by SHA-256."""
        return blobs(self.bundle)
