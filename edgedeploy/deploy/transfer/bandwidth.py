"""Send no faster than was asked for: others use the network too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

_PIECE_BYTES = 16 << 10
"""What may go at once, so that a slow limit is no row of bursts."""
_LONGEST_CREDIT_S = 0.25
"""Time in which nothing was sent, as while the device verified, is not made good by a burst longer than this."""


def limited(
    stream: Iterable[bytes],
    bytes_per_s: int | None,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[bytes]:
    """Yield the same bytes, at most `bytes_per_s` of them on average; as fast as they are taken without a limit.

    A token bucket (RFC 2697, section 3, with one rate) whose burst is `_LONGEST_CREDIT_S`.
    """
    if bytes_per_s is None:
        yield from stream
        return
    due = now()
    for chunk in stream:
        for start in range(0, len(chunk), _PIECE_BYTES):
            piece = chunk[start : start + _PIECE_BYTES]
            due = max(due, now() - _LONGEST_CREDIT_S)
            if (wait_s := due - now()) > 0:
                sleep(wait_s)
            due += len(piece) / bytes_per_s
            yield piece
