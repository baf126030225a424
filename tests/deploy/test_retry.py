"""What is tried again, how often, and after how long."""

from __future__ import annotations

import random

import pytest

from edgedeploy.deploy.retry import with_retries
from edgedeploy.foundation.errors import BusyError, DeviceError, UnreachableError


class Attempt:
    """Fails so many times before it answers."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.calls, self._failures = 0, failures
        self._error = error or UnreachableError("lost")

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return "done"


def test_until_it_does() -> None:
    waits: list[float] = []
    attempt = Attempt(4)
    assert with_retries(attempt, 5, sleep=waits.append, rng=random.Random(1)) == "done"
    assert attempt.calls == 5 and len(waits) == 4
    assert all(0 <= wait <= 2**number for number, wait in enumerate(waits))


def test_no_more_often_than_asked_and_no_longer_than_a_minute() -> None:
    waits: list[float] = []
    attempt = Attempt(99)
    with pytest.raises(UnreachableError):
        with_retries(attempt, 12, sleep=waits.append, rng=random.Random(1))
    assert attempt.calls == 13 and max(waits) <= 60


@pytest.mark.parametrize("retries", [0, 3])
def test_what_is_no_matter_of_the_network_is_not_tried_again(retries: int) -> None:
    attempt = Attempt(1, DeviceError("full"))
    with pytest.raises(DeviceError):
        with_retries(attempt, retries, sleep=lambda wait_s: None)
    assert attempt.calls == 1


def test_our_own_lock_after_a_lost_connection_is_waited_for() -> None:
    errors: list[Exception] = [UnreachableError("lost"), BusyError("by us"), BusyError("by us")]

    def attempt() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert with_retries(attempt, 3, sleep=lambda wait_s: None) == "done"
    with pytest.raises(BusyError):
        with_retries(Attempt(1, BusyError("by another")), 3, sleep=lambda wait_s: None)
