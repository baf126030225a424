"""Timing a release on a device."""

from __future__ import annotations

from msgspec import Struct, structs

from edgedeploy.agreement import AgreementAccumulator
from edgedeploy.device.connection import Connection
from edgedeploy.errors import DeviceError, UnknownNameError
from edgedeploy.measure.observation import observe
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.measure.statistics import summary
from edgedeploy.progress import SILENT, Progress
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import Measurement, Timing
from edgedeploy.values.quality import Agreement


class Profile(Struct, frozen=True, kw_only=True):
    """How long to measure: until both minima are reached, but no longer than the maximum."""

    warmup: int
    min_samples: int
    min_s: float
    max_s: float


# The minima are MLPerf Mobile's: 1,024 queries and 60 s for a result; the first is what a 90th percentile needs
# (https://github.com/mlcommons/mobile_app_open, https://github.com/mlcommons/inference_policies).
PROFILES = {
    "smoke": Profile(warmup=5, min_samples=64, min_s=6.0, max_s=120.0),
    "standard": Profile(warmup=20, min_samples=1024, min_s=60.0, max_s=900.0),
    "long": Profile(warmup=50, min_samples=1024, min_s=600.0, max_s=1800.0),
}


def bench(
    connection: Connection, release: Release, *, profile: str = "standard", progress: Progress = SILENT
) -> Measurement:
    """Load the release in a fresh process on the device, and time its inferences there on the golden inputs.

    On an emulated board (`connection.emulated`) the timing's clock is `"emulated"`: it is no latency.

    Raises:
        UnknownNameError: there is no such profile.
        DeviceError: the runner fails, or the device sends what is not its protocol.
        UnreachableError: the connection was lost.
    """
    if profile not in PROFILES:
        raise UnknownNameError(f"there is no profile {profile!r}", why=f"known: {', '.join(PROFILES)}")
    bounds = PROFILES[profile]
    with conversation(connection, release) as talk:
        progress.step(f"loading {release.id} on {connection.address}")
        loaded = talk.ask({"do": "load"})
        progress.step(f"timing on {connection.address} ({profile})")
        found = _timed(talk, bounds, progress)
        golden = _golden(talk, release)
        observed = observe(talk, connection, release)
    samples_ns = talk.field(found, "samples_ns", list[int])
    if not samples_ns:
        raise DeviceError(f"{connection.address} returned no timing samples")
    samples_ms = tuple(sample / 1e6 for sample in samples_ns)
    timing = Timing(
        clock="emulated" if connection.emulated else "device",
        profile=profile,
        load_ms=talk.field(loaded, "load_ms", float),
        first_inference_ms=talk.field(found, "first_ns", int) / 1e6,
        warmup_ms=tuple(sample / 1e6 for sample in talk.field(found, "warmup_ns", list[int])),
        samples_ms=samples_ms,
        summary=summary(samples_ms),
    )
    return structs.replace(observed, timing=timing, golden=golden)


def _timed(talk: Conversation, bounds: Profile, progress: Progress) -> dict[str, object]:
    talk.send({"do": "bench", **structs.asdict(bounds)})
    while True:
        message, _ = talk.receive()
        if message["is"] != "progress":
            return message
        progress.advance(talk.field(message, "samples", int), None, "inferences")


def _golden(talk: Conversation, release: Release) -> Agreement | None:
    if not release.manifest.golden_samples:
        return None
    names = [output.name for output in release.manifest.model.outputs]
    agreement = AgreementAccumulator()
    for index in range(release.manifest.golden_samples):
        talk.send({"do": "golden", "index": index})
        _, arrays = talk.receive()
        try:
            agreement.add([arrays[f"found:{name}"] for name in names], [arrays[f"output:{name}"] for name in names])
        except KeyError as error:
            raise DeviceError("the device returned no such output", why=str(error)) from error
    return agreement.figure()
