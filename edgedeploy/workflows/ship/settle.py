"""Settles which release stays current, once the verdict is known.

That a release waits for its verdict is a fact on the device (`Release.awaits_verdict`), as it is whether a push has
confirmed it: a `ship` that was stopped is settled by the next one.
"""

from __future__ import annotations

import shlex

from edgedeploy.deploy.releases import Listing, find_release, list_releases, no_way_back, return_to
from edgedeploy.deploy.store import DeviceStore, open_store
from edgedeploy.deploy.unjudged import unconfirmed_in_words, unjudged_current
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import BusyError, DeviceError, UnreachableError
from edgedeploy.foundation.progress import Progress
from edgedeploy.report.content.wording import OUTCOME_WORDS
from edgedeploy.values.bundle import Release
from edgedeploy.values.contract import Outcome, Verdict


def unsettled(connection: Connection, name: str) -> tuple[str | None, tuple[str, ...]]:
    """Find what a `ship` or push that was stopped has left current on the device.

    Returns:
        The ID of the current release of the model if nothing has judged or confirmed it, else None; and what the
        report is to say of it.

    Raises:
        DeviceError, UnreachableError: the device cannot answer.
    """
    listing = list_releases(connection)
    release = unjudged_current(listing, name)
    if release is None:
        return None, ()
    words = unconfirmed_in_words(listing, release)
    return release.id, (f"When this ship began, {release.id} was current on {connection.address}, and {words}.",)


def settle(
    connection: Connection, release: Release, verdict: Verdict, progress: Progress
) -> tuple[bool, tuple[str, ...]]:
    """Record the verdict on the device. Take a release back that broke its contract, where there is one before it and
    nothing has confirmed it yet.

    Args:
        release: that was measured. Another one may be current by now.

    Returns:
        Whether the release is current now, and what the report is to say of it.
    """
    outcome = verdict.outcome
    try:
        with open_store(connection) as store:
            listing = list_releases(connection)
            now = find_release(listing, release.name, release.id)
            if now is None:
                return False, (f"{release.id} is not on {connection.address} any more: somebody removed it.",)
            progress.step(f"recording that the contract of {now.id} {OUTCOME_WORDS[outcome]}")
            folder = store.release(now.name, now.id)
            folder.judge(outcome, f"its contract {OUTCOME_WORDS[outcome]}")
            if outcome is Outcome.BREAKS and now.current:
                return _settle_broken(store, listing, now)
            if outcome is not Outcome.BREAKS:
                folder.confirm()
    except (DeviceError, BusyError, UnreachableError) as error:
        stays = f"{release.id}: its contract {OUTCOME_WORDS[outcome]}"
        return True, (f"{stays}, and that is not recorded on {connection.address}: {error.what}. Run ship again.",)
    if now.current:
        return True, ()
    return False, (f"{now.id} is not current any more: somebody else changed that while it was measured.",)


def _settle_broken(store: DeviceStore, listing: Listing, release: Release) -> tuple[bool, tuple[str, ...]]:
    """Take a current release back that broke its contract, if it may be."""
    broke = f"{release.id} broke its contract"
    before = find_release(listing, release.name, release.parent)
    if f"{release.name}/{release.id}" not in listing.unconfirmed:
        back = no_way_back(listing, release)
        if before is not None:
            rollback = f"edgedeploy rollback {shlex.quote(store.address)} --name {release.name}"
            back = f"it was accepted before this ship. To return to {before.id}: {rollback}"
        return True, (f"{broke} and stays current: {back}.",)
    folder = store.release(release.name, release.id)
    if before is None:
        folder.confirm()
        return True, (f"{broke} and stays current: {no_way_back(listing, release)}.",)
    try:
        return_to(store, before, release)
    except DeviceError as error:
        return True, (f"{broke} and stays current: {error.what}.",)
    folder.note("taken-back", "it broke its contract")
    return False, (f"{broke}: {before.id} is current again.",)
