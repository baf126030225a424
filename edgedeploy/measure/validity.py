"""Judge a measurement itself: whether its figures are this release's on this device, and stable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgedeploy.foundation.advice import END_OR_MAKE_SMALLER
from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.measure.least_latency import too_fast_in_words
from edgedeploy.values.measurement import DeviceState, MeasurementWarning, ProcessRun, Timing, Validity
from edgedeploy.values.throttling import SLOWED_DOWN_OCCURRED, UNDER_VOLTAGE_OCCURRED, Throttling

# The limits are choices of this project. Each is above what a quiet Linux board shows for no reason, and below what
# changes a decision; where a figure is beyond one, the words name both.
_INVALID_SHARE = 0.05
"""Of the seconds: slowed down for longer, the median itself may be of a slowed board."""
_DRIFT = 0.03
_INVALID_DRIFT = 0.10
_INVALID_DRIFT_S = 5.0
"""What drifts in a run that is shorter may as well be warming up."""
_CLOCK_SHARE = 0.95
_OTHERS = 0.1
"""CPUs that other programs kept busy. Bookkeeping of the system, a shell and an SSH server stay below."""
_SWAPPED_BYTES = 1 << 20
_OUTLIERS = 0.05
_SCATTER = 0.10
_BETWEEN_PROCESSES = 0.05

_COOL = "let it cool and give it air; --cooldown waits between processes"
_POWER = "use the power supply that is made for the board, and a short cable"
_GOVERNOR = "hold the clock: echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"


def validity(timing: Timing) -> Validity:
    """Judge a timing on a real device by the device's state and by the samples.

    Args:
        timing: with its summary and processes.

    Returns:
        Warnings that invalidate the figures come first.
    """
    slowed = tuple(_slowed(timing.processes))
    warnings = (
        *_clock_is_wrong(timing),
        *slowed,
        *_others(timing.processes),
        *_swapped(timing.processes),
        *_drifted(timing.processes),
        # A board that is slowed down has several clocks and modes: the warnings on that say what to do.
        *(() if slowed else (*_clock_moved(timing), *_scattered(timing))),
        *_between(timing.processes),
    )
    if any(warning.invalidates for warning in warnings):
        return Validity(
            outcome="invalid", warnings=tuple(sorted(warnings, key=lambda warning: not warning.invalidates))
        )
    return Validity(outcome="unstable" if warnings else "stable", warnings=warnings)


def _clock_is_wrong(timing: Timing) -> Iterator[MeasurementWarning]:
    if timing.summary.p50_ms <= 0:
        hint = "check the device's clock: date; date, a second apart"
        yield MeasurementWarning(reason="half of the inferences took no time at all", hint=hint, invalidates=True)
        return
    if too_fast := too_fast_in_words(timing.summary.p50_ms, timing.least_ms, "the release's target"):
        hint = "the clock is wrong, or this is another device: edgedeploy probe DEVICE"
        yield MeasurementWarning(reason=too_fast, hint=hint, invalidates=True)


def _slowed(processes: Sequence[ProcessRun]) -> Iterator[MeasurementWarning]:
    states = [state for state in _steady(processes) if state.throttled is not None or state.cooling is not None]
    occurred = Throttling(0)
    for process in processes:
        if process.states:
            occurred |= process.states[-1].throttling_since(process.states[0])
    for condition, seconds, occurrence, hint in (
        ("under-voltage", sum(state.is_short_of_voltage for state in states), UNDER_VOLTAGE_OCCURRED, _POWER),
        ("throttled", sum(state.is_slowed_down for state in states), SLOWED_DOWN_OCCURRED, _COOL),
    ):
        if seconds:
            reason = f"{condition} for {seconds} of {len(states)} s"
            yield MeasurementWarning(reason=reason, hint=hint, invalidates=seconds > _INVALID_SHARE * len(states))
        elif occurred & occurrence:
            duration = "for less than a second" if states else "for an unknown time"
            yield MeasurementWarning(reason=f"{condition} {duration}", hint=hint, invalidates=False)


def _drifted(processes: Sequence[ProcessRun]) -> Iterator[MeasurementWarning]:
    drifts = [(run.drift, run.elapsed_s) for run in processes if run.drift and run.drift.beyond_noise]
    worst, elapsed_s = max(drifts, key=lambda pair: abs(pair[0].relative), default=(None, 0.0))
    if worst is not None and abs(worst.relative) > _DRIFT:
        slower = worst.relative > 0
        yield MeasurementWarning(
            reason=f"drift {worst.relative:+.0%}: {milliseconds(worst.first_ms)} in the first third, "
            f"{milliseconds(worst.last_ms)} in the last".replace("-", "−"),
            hint=_COOL if slower else "warm up for longer: --warmup-seconds",
            invalidates=abs(worst.relative) > _INVALID_DRIFT and elapsed_s >= _INVALID_DRIFT_S,
        )


def _clock_moved(timing: Timing) -> Iterator[MeasurementWarning]:
    if timing.settings is not None and timing.settings.every_ms is not None:
        return  # with pauses, a clock that follows the load is what the application will see
    clocks = _clocks_mhz(timing)
    if clocks and min(clocks) < _CLOCK_SHARE * max(clocks):
        yield MeasurementWarning(
            reason=f"the clock was between {min(clocks):,.0f} and {max(clocks):,.0f} MHz",
            hint=_GOVERNOR,
            invalidates=False,
        )


def _clocks_mhz(timing: Timing) -> list[float]:
    return [state.clock_mhz for state in _steady(timing.processes) if state.clock_mhz is not None]


def _others(processes: Sequence[ProcessRun]) -> Iterator[MeasurementWarning]:
    most = max((busy for process in processes if (busy := _others_cpus(process)) is not None), default=0.0)
    if most > _OTHERS:
        yield MeasurementWarning(
            reason=f"other programs kept {most:.1f} of its CPUs busy",
            hint="end them, or give the model CPUs of its own: --affinity",
            invalidates=False,
        )


def _others_cpus(process: ProcessRun) -> float | None:
    """Return how many CPUs other programs kept busy between the first and the last state of the steady phase."""
    states = [state for state in process.states if state.phase in ("steady", "after")]
    if len(states) < 2:
        return None
    first, last = states[0], states[-1]
    if first.cpu_busy_s is None or first.cpu_own_s is None or last.cpu_busy_s is None or last.cpu_own_s is None:
        return None
    seconds = last.elapsed_s - first.elapsed_s
    # The kernel counts busy time in hundredths of a second: over less than a second the error is too large.
    if seconds < 1:
        return None
    return max(0.0, (last.cpu_busy_s - first.cpu_busy_s) - (last.cpu_own_s - first.cpu_own_s)) / seconds


def _swapped(processes: Sequence[ProcessRun]) -> Iterator[MeasurementWarning]:
    grown = 0
    for process in processes:
        used = [state.swap_used_bytes for state in process.states if state.swap_used_bytes is not None]
        grown = max(grown, used[-1] - used[0] if used else 0)
    if grown > _SWAPPED_BYTES:
        hint = END_OR_MAKE_SMALLER
        yield MeasurementWarning(reason=f"{bytes_in_words(grown)} more were swapped out", hint=hint, invalidates=False)


def _scattered(timing: Timing) -> Iterator[MeasurementWarning]:
    summary = timing.summary
    if summary.modes is not None:
        yield MeasurementWarning(
            reason=f"two modes: {milliseconds(summary.modes.low_ms)}, and {milliseconds(summary.modes.high_ms)} for "
            f"{summary.modes.high_share:.0%} of the samples",
            hint="keep it on one kind of cores, with no more threads than there are of them: --affinity, --threads",
            invalidates=False,
        )
    outliers = summary.outliers
    if outliers is not None and outliers.below + outliers.above > _OUTLIERS * summary.n:
        yield MeasurementWarning(
            reason=f"{(outliers.below + outliers.above) / summary.n:.0%} of the samples are outliers",
            hint="look in the plot of the samples in order for what interrupts it",
            invalidates=False,
        )
    if summary.modes is None and summary.p50_ms > 0 and summary.mad_ms > _SCATTER * summary.p50_ms:
        yield MeasurementWarning(
            reason=f"half of the samples are more than {summary.mad_ms / summary.p50_ms:.0%} from the median",
            hint=_GOVERNOR if _clocks_mhz(timing) else "measure when nothing else runs on the device",
            invalidates=False,
        )


def _between(processes: Sequence[ProcessRun]) -> Iterator[MeasurementWarning]:
    medians = [process.p50_ms for process in processes]
    if len(medians) > 1 and max(medians) > (1 + _BETWEEN_PROCESSES) * min(medians):
        yield MeasurementWarning(
            reason=f"p50 is {milliseconds(min(medians))} in one process and {milliseconds(max(medians))} in another",
            hint="take more of them: --processes",
            invalidates=False,
        )


def _steady(processes: Iterable[ProcessRun]) -> Iterator[DeviceState]:
    for process in processes:
        yield from (state for state in process.states if state.phase == "steady")
