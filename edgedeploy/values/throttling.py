"""What a Raspberry Pi's firmware reports of its power supply and of slowing the cores down."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag, StrEnum


class ThrottlingEvent(StrEnum):
    """One bit of `Throttling`, as probes name it in JSON and people read it."""

    UNDER_VOLTAGE = "under-voltage now"
    CLOCK_CAPPED = "clock capped now"
    THROTTLED = "throttled now"
    TEMPERATURE_LIMIT = "soft temperature limit now"
    UNDER_VOLTAGE_OCCURRED = "under-voltage has occurred"
    CLOCK_CAPPED_OCCURRED = "clock was capped"
    THROTTLED_OCCURRED = "throttling has occurred"
    TEMPERATURE_LIMIT_OCCURRED = "soft temperature limit was reached"


class Throttling(IntFlag):
    """The bits of `vcgencmd get_throttled`. The upper ones stay set from the first occurrence until the board restarts.

    Source: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
    """

    UNDER_VOLTAGE = 1 << 0
    CLOCK_CAPPED = 1 << 1
    THROTTLED = 1 << 2
    TEMPERATURE_LIMIT = 1 << 3
    UNDER_VOLTAGE_OCCURRED = 1 << 16
    CLOCK_CAPPED_OCCURRED = 1 << 17
    THROTTLED_OCCURRED = 1 << 18
    TEMPERATURE_LIMIT_OCCURRED = 1 << 19

    @classmethod
    def of_events(cls, events: Iterable[ThrottlingEvent]) -> Throttling:
        """Return the bits of these events."""
        bits = cls(0)
        for event in events:
            bits |= cls[event.name]
        return bits

    @classmethod
    def of_bits(cls, bits: int) -> Throttling:
        """Return the known bits of what a device reports; it may report any number."""
        return cls(bits & (ANY_UNDER_VOLTAGE | SLOWED_DOWN | SLOWED_DOWN_OCCURRED))

    @property
    def events(self) -> tuple[ThrottlingEvent, ...]:
        """The events whose bits are set, in the order of the bits."""
        return tuple(ThrottlingEvent[bit.name] for bit in Throttling if bit in self and bit.name)


UNDER_VOLTAGE_OCCURRED = Throttling.UNDER_VOLTAGE_OCCURRED
ANY_UNDER_VOLTAGE = Throttling.UNDER_VOLTAGE | UNDER_VOLTAGE_OCCURRED
SLOWED_DOWN = Throttling.CLOCK_CAPPED | Throttling.THROTTLED | Throttling.TEMPERATURE_LIMIT
"""The firmware slows the cores down now, whether for heat or for want of voltage."""
SLOWED_DOWN_OCCURRED = (
    Throttling.CLOCK_CAPPED_OCCURRED | Throttling.THROTTLED_OCCURRED | Throttling.TEMPERATURE_LIMIT_OCCURRED
)
