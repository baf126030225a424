"""One thing that `edgedeploy doctor` has looked at."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Readiness = Literal["ready", "limited", "missing"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    job: str
    """What it is for: one of `jobs`."""
    what: str
    state: Readiness
    """`"limited"`: the job can be done, with what `detail` says."""
    detail: str
    """A version, a size, or what is wrong."""
    hint: str = field(name="mend", default="")
    """The command or change; empty when there is nothing to fix."""
