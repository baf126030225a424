"""Say of a release that became current that nothing has judged or confirmed it, and what the way back is."""

from __future__ import annotations

import shlex

from edgedeploy.deploy.releases import Listing, find_release, no_way_back
from edgedeploy.values.bundle import Release


def unjudged_current(listing: Listing, name: str) -> Release | None:
    """Find the current release of a model where it is not confirmed: its `ship` or push did not come to its end."""
    current = next((each for each in listing.releases if each.name == name and each.current), None)
    return current if current and f"{name}/{current.id}" in listing.unconfirmed else None


def unconfirmed_in_words(listing: Listing, release: Release) -> str | None:
    """Say why a release is not confirmed; of a current one, what to do about it too. None where it is confirmed."""
    if f"{release.name}/{release.id}" not in listing.unconfirmed:
        return None
    if release.current:
        return f"{_why(release)}; {_what_to_do(listing, release)}"
    if release.verdict == "breaks":
        return "not accepted: it broke its contract"
    return "not judged" if release.awaits_verdict else "not confirmed"


def _why(release: Release) -> str:
    if release.awaits_verdict:
        return "not judged: its ship was stopped before the verdict, or is still running"
    if release.verdict == "breaks":
        return "not accepted: it broke its contract, and was not taken back"
    return "not confirmed: its push did not end, or is still running"


def _what_to_do(listing: Listing, release: Release) -> str:
    """Say how it is judged, and where a rollback from it goes: commands that can be pasted."""
    device = shlex.quote(release.device)
    judge = f"judge it: edgedeploy ship CONTRACT --to {device}"
    if not release.awaits_verdict and release.verdict is None:
        judge = f"confirm it: edgedeploy push BUNDLE --to {device}"
    if find_release(listing, release.name, release.parent) is None:
        return f"{judge}; {no_way_back(listing, release)}"
    return f"{judge}; or return to {release.parent}: edgedeploy rollback {device} --name {release.name}"
