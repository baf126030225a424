"""The bits of a Raspberry Pi's `vcgencmd get_throttled`."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.values.measurement import DeviceState
from edgedeploy.values.throttling import Throttling, ThrottlingEvent


@pytest.mark.parametrize(
    ("bits", "events"),
    [
        (0x0, []),
        (0x1, ["under-voltage now"]),
        (0xE, ["clock capped now", "throttled now", "soft temperature limit now"]),
        (0x50005, ["under-voltage now", "throttled now", "under-voltage has occurred", "throttling has occurred"]),
        (0xA0000, ["clock was capped", "soft temperature limit was reached"]),
        # Bits without a meaning.
        (0xFFF0_FFF0, []),
    ],
)
def test_bits_are_decoded_once(bits: int, events: list[str]) -> None:
    found = Throttling.of_bits(bits)
    assert json.loads(msgspec.json.encode(found.events)) == events
    assert Throttling.of_events(found.events) == found


def test_each_bit_has_an_event() -> None:
    assert [bit.name for bit in Throttling] == [event.name for event in ThrottlingEvent]


@given(st.none() | st.integers(-(2**63), 2**64), st.none() | st.integers(-(2**63), 2**64))
def test_any_number_of_a_device_is_decoded(before: int | None, after: int | None) -> None:
    first, last = (DeviceState(phase="steady", throttled=bits) for bits in (before, after))
    assert last.is_short_of_voltage is bool((after or 0) & 1)
    assert last.is_slowed_down is bool((after or 0) & 0xE)
    assert last.throttling_since(first) == ((after or 0) & ~(before or 0) & 0xF000F)
