"""The result of one `ship`: what its report shows, and what `report.json` contains."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from edgedeploy.values.contract import Outcome, Verdict
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.preprocessing import EmbeddedPreprocessing
from edgedeploy.values.profile import Profile
from edgedeploy.values.sample_preview import SamplePreview


class ShippedContract(Struct, frozen=True, kw_only=True):
    """Which contract it was."""

    name: str
    version: str
    framework: str
    recipe: str
    metric: str
    evaluation: str


class ShippedBundle(Struct, frozen=True, kw_only=True):
    """The bundle that was built."""

    sha256: str
    size_bytes: int
    files: int
    target: str
    packages: dict[str, str]
    backend: str = ""
    """Empty in files of earlier versions."""
    chosen: str = ""
    """Why it was this backend, where edgedeploy chose; empty where the user did, and in files of earlier versions."""
    preprocessing: dict[str, Any] = {}
    """What is done to samples before the model sees them: the keys of `[preprocessing]`."""
    embedded: EmbeddedPreprocessing | None = None
    """What of it is inside the model; None: nothing."""


class ShippedRelease(Struct, frozen=True, kw_only=True):
    """What the push did."""

    id: str
    parent: str | None
    """The release that was current and accepted before: where `rollback` goes."""
    sent_files: int
    sent_bytes: int
    kept_files: int
    current: bool
    """False when it broke its contract and the one before was made current again."""


class Shipment(Struct, frozen=True, kw_only=True):
    """One run of `ship`. Fields after `evidence` are None when the guard refused the optimized model."""

    schema: int
    edgedeploy: str
    """Version of edgedeploy."""
    device: str
    contract: ShippedContract
    evidence: Evidence
    bundle: ShippedBundle | None = None
    release: ShippedRelease | None = None
    measurement: Measurement | None = None
    profile: Profile | None = None
    """None also where the backend has no profiler."""
    verdict: Verdict | None = None
    unjudged: str | None = None
    """The ID of the release that was current when this run began, where nothing had judged or confirmed it: the run
    before was stopped."""
    remarks: tuple[str, ...] = ()
    """Notes, one sentence each."""
    previews: tuple[SamplePreview, ...] = ()
    """Of the first samples whose answers got worse: by optimizing, or from the host to the device."""

    @property
    def holds(self) -> bool:
        """Whether the contract was checked on the device, and holds there."""
        return self.verdict is not None and self.verdict.outcome is Outcome.HOLDS
