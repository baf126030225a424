"""Figures in words that people read, the same in the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedeploy.foundation.units import bytes_in_words, milliseconds

if TYPE_CHECKING:
    from edgedeploy.values.contract import Verdict, VerdictLine
    from edgedeploy.values.evidence import Execution
    from edgedeploy.values.measurement import Conditions
    from edgedeploy.values.quality import Agreement, MetricChange, MetricFigure
    from edgedeploy.values.speed import SpeedFigure

_SQNR_FLOOR_DB = -300.0
"""Stands for minus infinity, as `Agreement.sqnr_db` says."""
_ROUNDING = 1e-9
"""What `check` forgives: 0.97 - 0.96 is more than 0.01 in binary floating point, and not to be shown as more."""
_COUNTS = 1e5
"""From here on six digits are whole ones."""


UNITS_IN_WORDS = {
    "us": "µs",
    "instructions": "guest instructions (work, not a latency)",
    "emulated us": "µs of emulated wall-clock, not a latency",
}
"""Of a profile, by its unit."""


def figure_in_words(value: float | int | str | None, unit: str) -> str:
    """A limit or figure of a verdict line."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if unit == "bytes":
        return bytes_in_words(value)
    if unit == "ms":
        return milliseconds(float(value))
    if unit == "share":
        return f"{value:.2%}"
    # Counts, of which a median may lie between two: 20,250,432 and not 2.02504e+07.
    return f"{value:,.6g}" if isinstance(value, float) and abs(value) < _COUNTS else f"{value:,.0f}"


def limit_and_figure(line: VerdictLine) -> tuple[str, str]:
    """Both numbers of a verdict line, in words.

    A drop is in points, for a percentage could be taken for one of the metric. Numbers that differ, but would read the
    same when rounded, stand in full: 94.996 % is under a floor of 95 %, and the line has to show it.
    """
    limit, figure = line.limit, line.figure
    words = figure_in_words(limit, line.unit), figure_in_words(figure, line.unit)
    if isinstance(limit, str) or isinstance(figure, str) or figure is None:
        return (_points(limit), words[1]) if _is_drop(line) and not isinstance(limit, str) else words
    if _is_drop(line):
        words = _points(limit), _points(figure)
    if words[0] == words[1] and abs(limit - figure) > _ROUNDING:
        unit = "" if line.unit == "share" else f" {line.unit}"
        return f"{limit:,}{unit}", f"{figure:,}{unit}"
    return words


def metric_in_words(metric: MetricFigure) -> str:
    """`"97.00%"` for the built-in metrics, which are shares; the plain number for one of the user's own."""
    return f"{metric.value:.2%}" if _is_share(metric) else _signed_minus(f"{metric.value:.6g}")


def metric_change(before: MetricFigure, after: MetricFigure) -> str:
    """`"−0.33 points"` for shares, else the difference."""
    change = after.value - before.value
    return _signed_minus(f"{change * 100:+.2f} points" if _is_share(after) else f"{change:+.4g}")


def interval_in_words(metric: MetricFigure, change: MetricChange) -> str:
    """`"−1.17 … +0.50"`: what a change may be when all such samples are counted, in the unit of `metric_change`."""
    scale, digits = (100, "+.2f") if _is_share(metric) else (1, "+.4g")
    low, high = (_signed_minus(format(bound * scale, digits)) for bound in (change.low, change.high))
    return f"{low} … {high}"


def speed_in_words(value: float, speed: SpeedFigure) -> str:
    """`"12.3 ms"`, or `"20.3 million instructions"`."""
    return milliseconds(value) if speed.unit == "ms" else f"{_millions(value)} million instructions"


def speed_change_in_words(speed: SpeedFigure) -> str:
    """`"12.3 ms → 8.2 ms"`, or `"20.3 → 13.5 million instructions"`: a unit of several words stands once."""
    if speed.unit == "ms":
        return f"{milliseconds(speed.source)} → {milliseconds(speed.result)}"
    return f"{_millions(speed.source)} → {speed_in_words(speed.result, speed)}"


def where_in_words(execution: Execution) -> str:
    """`"exact arithmetic"`, `"host (x86-64 avx2)"` or `"board:rpi4 (cortex-a72)"`."""
    return {"exact": "exact arithmetic", "host": f"host ({execution.isa})"}.get(execution.arithmetic, execution.isa)


def sqnr_in_words(agreement: Agreement) -> str:
    """`"31.2 dB"`; `"equal"` without any error; `"none"` where outputs are not finite or have noise alone."""
    if agreement.sqnr_db is None:
        return "equal"
    return "none" if agreement.sqnr_db <= _SQNR_FLOOR_DB else _signed_minus(f"{agreement.sqnr_db:.1f} dB")


def state_in_words(conditions: Conditions) -> str:
    """What changes from run to run, as far as the device tells it."""
    parts = []
    if conditions.board:
        parts.append(conditions.board)
    if conditions.temperature_c is not None:
        parts.append(f"{conditions.temperature_c:.0f} °C")
    if conditions.governor:
        parts.append(f"governor {conditions.governor}")
    if conditions.load_average_1min is not None:
        parts.append(f"load {conditions.load_average_1min:.2f}")
    if conditions.memory_available_bytes is not None:
        parts.append(f"{bytes_in_words(conditions.memory_available_bytes)} of memory available")
    return ", ".join(parts)


def verdict_counts(verdict: Verdict) -> str:
    """`"6 of 7 lines hold, 1 cannot be told"`: a contract that holds, holds as far as it can be told."""
    outcomes = [line.outcome.value for line in verdict.lines]
    parts = [f"{outcomes.count('holds')} of {len(outcomes)} lines hold"]
    if broken := outcomes.count("breaks"):
        parts.append(f"{broken} break" + ("s" if broken == 1 else ""))
    if untold := outcomes.count("cannot be told"):
        parts.append(f"{untold} cannot be told")
    return ", ".join(parts)


def limit_name(line: VerdictLine) -> str:
    """The contract's key without the table that all limits are in: `"metric_min"`, `"target.rpi4.load_max_ms"`."""
    return line.key.removeprefix("limits.")


def _parts_of_key(line: VerdictLine) -> list[str]:
    """Words of the key's last name, which says what kind of limit it is; those before it are names people chose."""
    return line.key.rpartition(".")[2].split("_")


def _is_drop(line: VerdictLine) -> bool:
    return line.unit == "share" and "drop" in _parts_of_key(line)


def _is_share(metric: MetricFigure) -> bool:
    # A metric of the user's own is named package.module:function, and may have any range.
    return ":" not in metric.name


def _points(share: float) -> str:
    return _signed_minus(f"{share * 100:.2f} points")


def _millions(count: float) -> str:
    return f"{count / 1e6:,.4g}"


def _signed_minus(number: str) -> str:
    return number.replace("-", "−")


def relation(line: VerdictLine) -> str:
    """How the figure has to stand to the limit: `"≤"`, `"≥"` or `"="`."""
    parts = _parts_of_key(line)
    if "max" in parts or parts == ["expires"]:
        return "≤"
    return "≥" if "min" in parts else "="


def percent_change(before: float, after: float) -> str:
    """`"−71.2%"`, `"+3.0%"`; empty when there was nothing before."""
    if not before:
        return ""
    change = after / before - 1
    sign = "−" if change < 0 else "+"
    return f"{sign}{abs(change):.1%}"
