"""Which samples of a dataset cannot be read, and why: counted all, listed the first."""

from __future__ import annotations

from edgedeploy.foundation.errors import EdgedeployError

MOST_LISTED = 20


class Skips:
    """One byte for each sample, however often the dataset is read."""

    def __init__(self, count: int) -> None:
        self._is_broken = bytearray(count)
        self.count = 0
        self.listed: list[str] = []

    def add(self, place: int, name: str, reason: str) -> None:
        """Note a sample that is left out."""
        if self._is_broken[place]:
            return
        self._is_broken[place] = 1
        self.count += 1
        if len(self.listed) < MOST_LISTED:
            self.listed.append(f"{name}: {reason}")

    def __contains__(self, place: int) -> bool:
        return bool(self._is_broken[place])


def reason_of(error: EdgedeployError) -> str:
    """Return an error in one line, without what would mend it."""
    return error.what + (f" ({error.why})" if error.why else "")
