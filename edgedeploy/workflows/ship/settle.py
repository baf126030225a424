"""Settles which release stays current, once the verdict is known."""

from __future__ import annotations

from edgedeploy.deploy.push import PushResult
from edgedeploy.deploy.releases import rollback
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.progress import Progress
from edgedeploy.values.contract import Outcome, Verdict


def settle(
    connection: Connection, pushed: PushResult, verdict: Verdict, progress: Progress
) -> tuple[bool, tuple[str, ...]]:
    """Take a release back that broke its contract, where there is one before it.

    Returns:
        Whether the release is current now, and what the report is to say of it.
    """
    release = pushed.release
    if verdict.outcome is not Outcome.BREAKS:
        return True, ()
    if not pushed.activated or release.parent is None:
        return True, (f"{release.id} broke its contract and stays current: there is no release before it.",)
    try:
        before = rollback(connection, release.name, progress=progress)
    except DeviceError as error:
        return True, (f"{release.id} broke its contract and stays current: {error.what}.",)
    return False, (f"{release.id} broke its contract: {before.id} is current again.",)
