"""Try again after a connection was lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from edgedeploy.foundation.errors import BusyError, UnreachableError
from edgedeploy.foundation.progress import SILENT, Progress

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0

_Answer = TypeVar("_Answer")


def with_retries(
    attempt: Callable[[], _Answer],
    retries: int,
    *,
    progress: Progress = SILENT,
    sleep: Callable[[float], None] = time.sleep,
    rng: random.Random | None = None,
) -> _Answer:
    """Call `attempt` until it does not lose its device, at most `retries` more times.

    Before each there is a wait of a random length, up to a bound that doubles each time: «full jitter», so that many
    that lost one network do not come back at once (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Args:
        attempt: opens its connection itself, and goes on where the one before was cut.

    Raises:
        UnreachableError, BusyError: the last attempt's. Any other error ends it at once; so does BusyError where no
            connection was lost before.
    """
    rng = rng or random.Random()  # noqa: S311 (waits, not secrets)
    lost = False
    for number in range(retries):
        try:
            return attempt()
        except (UnreachableError, BusyError) as error:
            # Who holds the lock after a connection was lost may be ourselves: the device waits a while for a sign.
            lost = lost or isinstance(error, UnreachableError)
            if not lost:
                raise
            wait_s = rng.uniform(0.0, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**number))
            progress.note(f"{error.what}; again in {wait_s:.1f} s ({number + 1} of {retries})")
            sleep(wait_s)
    return attempt()
