"""Wait until a device is as cool as it was."""

from __future__ import annotations

import time

from edgedeploy.foundation.progress import Progress
from edgedeploy.measure.protocol import Conversation
from edgedeploy.values.plausible import possible

_NEAR_C = 1.0
"""The resolution of boards' sensors is a half to one degree."""
_LOOK_EVERY_S = 2.0


def cool_down(talk: Conversation, wanted_c: float | None, limit_s: float, progress: Progress) -> float | None:
    """Wait until the device is not warmer than `wanted_c`, at most for `limit_s`; a note says if it stayed warmer.

    Args:
        wanted_c: its temperature before the first run, in degrees Celsius; None before that run, which does not wait.

    Returns:
        What to wait for before the next run: `wanted_c`, or the temperature now. None without a temperature sensor.

    Raises:
        DeviceError: the device does not report its conditions.
        UnreachableError: the connection was lost.
    """
    begun_s = time.monotonic()
    while (now_c := _temperature_c(talk)) is not None:
        if wanted_c is None:
            return now_c
        if now_c <= wanted_c + _NEAR_C:
            return wanted_c
        waited_s = time.monotonic() - begun_s
        if waited_s >= limit_s:
            progress.note(f"it is {now_c:.0f} °C after {waited_s:.0f} s of cooling, and was {wanted_c:.0f} °C at first")
            return wanted_c
        progress.step(f"cooling down from {now_c:.0f} to {wanted_c:.0f} °C, {limit_s - waited_s:.0f} s at most")
        time.sleep(min(_LOOK_EVERY_S, limit_s - waited_s))
    return None


def _temperature_c(talk: Conversation) -> float | None:
    conditions = talk.field(talk.ask({"do": "hello"}), "conditions", dict[str, object])
    temperature_c: float | None = talk.field(conditions, "temperature_c", float | None)
    return possible("temperature_c", temperature_c)
