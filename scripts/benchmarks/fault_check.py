"""What must be true of a device after each fault."""

from __future__ import annotations

from benchmarks.fault_subjects import FaultSubject, Lost
from edgedeploy.deploy.releases import list_releases
from edgedeploy.deploy.verification import broken_files
from edgedeploy.values.bundle import Bundle

PUSH_TIMEOUT_S = 300.0
"""After which a push hangs."""


def check(subject: FaultSubject, bundles: list[Bundle]) -> str:
    """Hold the device to the promise. Returns which release is current: `old` or `new`."""
    allowed = {subject.old.id: "old"} | {f"{one.manifest.version}-{one.sha256[:12]}": "new" for one in bundles}
    with subject.connect() as device:
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
        if b"foreign" in answer.stdout:
            raise Lost(f"{current[0].id} runs code that nobody pushed")
    return allowed[current[0].id]
