"""Judge a board's state for a smoke test: temperature, throttling, voltage, memory, disk, clock.

`runner/smoke.sh` judges by the same limits and prints the same words.
"""

from __future__ import annotations

import contextlib
import datetime
import shlex
import time
from collections.abc import Iterable

from edgedeploy.deploy.releases import list_releases
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.advice import END_OR_MAKE_SMALLER
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.values.bundle import Manifest
from edgedeploy.values.probe import Probe
from edgedeploy.values.smoke import CheckState, Key, SmokeLine
from edgedeploy.values.throttling import (
    ANY_UNDER_VOLTAGE,
    SLOWED_DOWN,
    SLOWED_DOWN_OCCURRED,
    Throttling,
)

HOT_C = 80.0
"""From here on a Raspberry Pi slows its cores
(https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#frequency-management-and-thermal-control)."""
CLOCK_LIMIT_S = 300
"""As much as Kerberos lets clocks differ (RFC 4120, section 1.6: «on the order of 5 minutes»)."""

COOL = "let it cool, give it a heat sink, a fan or some air, and run this again"
POWER = (
    "use the power supply that is made for the board and a short cable, and unplug what it feeds; then restart it: "
    "the board remembers low voltage until a restart"
)
NO_SENSOR = "the board has no sensor for it"
NOT_REPORTED = "the board does not report it"
NO_TIME = "the board does not report its time"
NO_ANSWER = "the board does not answer"
_CLOCK_TIMEOUT_S = 30.0


def conditions(
    before: Probe | None,
    after: Probe | None,
    clock: SmokeLine,
    manifest: Manifest | None,
    peak_rss_bytes: int | None,
    free_space: str = "free some space there",
) -> tuple[SmokeLine, ...]:
    """Return the lines on a board's state, in the order in which they are shown.

    Args:
        before, after: probes before and after the measurement; None where the board was not asked, or did not answer.
        clock: the line that `clock_line` returned.
        manifest: the release's; None without a release.
        peak_rss_bytes: the release's peak memory in the measurement.
        free_space: what to do about a full disk; `free_space_hint` names what can be removed.
    """
    if before is None or after is None:
        keys: tuple[Key, ...] = ("temperature", "throttling", "voltage", "memory", "disk")
        return (*(line(key, CheckState.NOT_DETERMINED, NO_ANSWER) for key in keys), clock)
    release_bytes = sum(entry.size_bytes for entry in manifest.files) if manifest else 0
    needed = peak_rss_bytes or (manifest.needs.memory_bytes if manifest else None)
    return (
        temperature_line([each for each in (before.temperature_c, after.temperature_c) if each is not None]),
        _throttling(_reported(before), _reported(after)),
        _voltage(_reported(after)),
        _memory(before, needed),
        _disk(after.disk_free_bytes, release_bytes, free_space),
        clock,
    )


def free_space_hint(connection: Connection) -> str:
    """Return how to free space on a board: with the command that removes a release, where one can be removed."""
    hint = "free some space there"
    with contextlib.suppress(EdgedeployError):
        found = list_releases(connection).releases
        needed = {each.parent for each in found if each.current}
        for release in found:
            if not release.current and release.id not in needed:
                device = shlex.quote(connection.address)
                return f"{hint}: edgedeploy uninstall {device} --name {release.name} --release {release.id} --yes"
    return hint


def line(key: Key, state: CheckState, figure: str, hint: str = "") -> SmokeLine:
    return SmokeLine(key=key, state=state, figure=figure, hint=hint)


def temperature_line(degrees_c: Iterable[float]) -> SmokeLine:
    """Judge the highest of the temperatures; not determined without any."""
    highest = max(degrees_c, default=None)
    if highest is None:
        return line("temperature", CheckState.NOT_DETERMINED, NO_SENSOR)
    if highest >= HOT_C:
        return line(
            "temperature", CheckState.FAILED, f"{highest:.0f} °C; from {HOT_C:.0f} °C on boards slow down", COOL
        )
    return line("temperature", CheckState.OK, f"{highest:.0f} °C")


def clock_line(connection: Connection) -> SmokeLine:
    """Compare the board's clock with this machine's."""
    if connection.counts_instructions:
        return line("clock", CheckState.NOT_DETERMINED, "it counts instructions, not seconds")
    begun = time.time()
    try:
        answer = connection.run(["date", "-u", "+%s"], timeout_s=_CLOCK_TIMEOUT_S).stdout.strip()
    except EdgedeployError:
        return line("clock", CheckState.NOT_DETERMINED, NO_ANSWER)
    if not (answer.isdigit() and len(answer) <= 11):
        return line("clock", CheckState.NOT_DETERMINED, NO_TIME)
    board_s = int(answer)
    # The board read its clock at some time in between: the reading that favours it counts.
    early_s, late_s = begun - board_s, board_s - time.time()
    off_s = max(early_s, late_s, 0.0)
    if off_s <= CLOCK_LIMIT_S:
        return line("clock", CheckState.OK, f"within {CLOCK_LIMIT_S} s of this machine's")
    board_time = datetime.datetime.fromtimestamp(board_s, datetime.UTC)
    return line(
        "clock",
        CheckState.FAILED,
        f"{board_time:%Y-%m-%d %H:%M} UTC: {_span(off_s)} {'behind' if early_s > 0 else 'ahead of'} this machine's",
        "set it: timedatectl set-ntp true, or as root: date -u -s 'YYYY-MM-DD hh:mm:ss'",
    )


def _reported(state: Probe) -> Throttling | None:
    return None if state.throttled is None else Throttling.of_events(state.throttled)


def _throttling(before: Throttling | None, after: Throttling | None) -> SmokeLine:
    """The line fails on what holds now, and on what occurred while the board was measured."""
    if after is None:
        return line("throttling", CheckState.NOT_DETERMINED, NO_SENSOR)
    now, earlier = after & SLOWED_DOWN, after & SLOWED_DOWN_OCCURRED
    fresh = now | (earlier & ~(before or Throttling(0)))
    if fresh:
        hint = f"{COOL}; where the voltage is too low, fix that first"
        return line("throttling", CheckState.FAILED, ", ".join(fresh.events), hint)
    figure = f"not now; since it was started: {', '.join(earlier.events)}" if earlier else "none"
    return line("throttling", CheckState.OK, figure)


def _voltage(after: Throttling | None) -> SmokeLine:
    if after is None:
        return line("voltage", CheckState.NOT_DETERMINED, NO_SENSOR)
    if found := after & ANY_UNDER_VOLTAGE:
        return line("voltage", CheckState.FAILED, ", ".join(found.events), POWER)
    return line("voltage", CheckState.OK, "no under-voltage since it was started")


def _memory(before: Probe, needed_bytes: int | None) -> SmokeLine:
    available = before.memory_available_bytes
    if available is None:
        return line("memory", CheckState.NOT_DETERMINED, NOT_REPORTED)
    figure = f"{bytes_in_words(available)} available"
    if needed_bytes is None:
        return line("memory", CheckState.OK, f"{figure}; how much the model takes is unknown")
    figure += f"; the model takes {bytes_in_words(needed_bytes)}"
    if needed_bytes > available:
        # The model may have run anyway, with other programs swapped out.
        hint = END_OR_MAKE_SMALLER
        return line("memory", CheckState.FAILED, figure, hint)
    return line("memory", CheckState.OK, figure)


def _disk(free_bytes: int | None, release_bytes: int, free_space: str) -> SmokeLine:
    if free_bytes is None:
        return line("disk", CheckState.NOT_DETERMINED, NOT_REPORTED)
    figure = f"{bytes_in_words(free_bytes)} free"
    if free_bytes < release_bytes:
        figure += f"; another release such as this may take {bytes_in_words(release_bytes)}"
        return line("disk", CheckState.FAILED, figure, free_space)
    return line("disk", CheckState.OK, figure)


def _span(seconds: float) -> str:
    for unit, length_s in (("days", 86_400), ("hours", 3600)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:,.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"
