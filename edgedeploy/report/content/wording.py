"""Words for figures and outcomes, the same in the terminal, on the page and in files for CI."""

from __future__ import annotations

from collections.abc import Iterable

from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.stats.rounding import at_most, beside_limit
from edgedeploy.values.contract import Outcome, Verdict, VerdictLine
from edgedeploy.values.evidence import Execution, PassEvidence
from edgedeploy.values.measurement import Conditions
from edgedeploy.values.metric_facts import is_share_metric
from edgedeploy.values.quality import SQNR_FLOOR_DB, Agreement, AnswersKept, MetricChange, MetricFigure
from edgedeploy.values.shipment import ShippedRelease
from edgedeploy.values.smoke import CheckState, SmokeLine
from edgedeploy.values.speed import SpeedFigure

_COUNTS = 1e5
"""From here on six digits are whole ones."""


NOT_A_LATENCY = "emulated wall-clock, not a latency"
WORK = "work, not a latency"
UNITS_IN_WORDS = {
    "us": "µs",
    "instructions": f"guest instructions ({WORK})",
    "emulated us": f"µs of {NOT_A_LATENCY}",
}
"""Of a profile, by its unit."""

# What is printed. The values of the enumerations are what JSON has, and users' programs read that.
OUTCOME_WORDS = {Outcome.HOLDS: "holds", Outcome.BREAKS: "breaks", Outcome.NOT_DETERMINED: "not determined"}
CHECK_WORDS = {CheckState.OK: "ok", CheckState.FAILED: "failed", CheckState.NOT_DETERMINED: "not determined"}
# A sign beside the word, so that nothing depends on colour.
OUTCOME_SIGNS = {Outcome.HOLDS: "✓", Outcome.BREAKS: "✗", Outcome.NOT_DETERMINED: "?"}
CHECK_SIGNS = {CheckState.OK: "✓", CheckState.FAILED: "✗", CheckState.NOT_DETERMINED: "?"}


def outcome_in_words(outcome: Outcome) -> str:
    """`"✓ holds"`, `"✗ breaks"` or `"? not determined"`."""
    return f"{OUTCOME_SIGNS[outcome]} {OUTCOME_WORDS[outcome]}"


def check_in_words(state: CheckState) -> str:
    """`"✓ ok"`, `"✗ failed"` or `"? not determined"`."""
    return f"{CHECK_SIGNS[state]} {CHECK_WORDS[state]}"


def pass_outcome(step: PassEvidence) -> str:
    """`"refused"`, `"changed"` or `"no change"`."""
    if step.refused is not None:
        return "refused"
    return "changed" if step.changed else "no change"


def reach_in_words(step: PassEvidence) -> str:
    """`"reached 98.2% of the weight bytes, 100.0% of the MACs"`; empty for passes that are for something else."""
    reach = step.reach
    if reach is None or not reach.weight_bytes_total:
        return ""
    words = f"reached {reach.weight_share:.1%} of the weight bytes"
    if reach.macs is not None and reach.macs_total:
        words += f", {reach.macs / reach.macs_total:.1%} of the MACs"
    # Where the facts have it, it is not said twice.
    known = {str(value) for value in step.facts.values()}
    left = "; ".join(part for part in reach.left.split("; ") if not any(part in each for each in known))
    return f"{words}; not reached: {left}" if left else words


def sent_in_words(release: ShippedRelease) -> str:
    """`"191 kB in 4 files; 12 were on the device already"`."""
    sent = f"{bytes_in_words(release.sent_bytes)} in {release.sent_files} files"
    return f"{sent}; {release.kept_files} were on the device already"


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
    if words[0] == words[1] and not at_most(abs(limit - figure), 0.0):
        return _with_deciding_digits(line, limit, figure)
    return words


def _with_deciding_digits(line: VerdictLine, limit: float, figure: float) -> tuple[str, str]:
    unit = " points" if _is_drop(line) else {"share": "%", "ms": " ms"}.get(line.unit)
    if unit is None:
        return f"{limit:,} {line.unit}".rstrip(), f"{figure:,} {line.unit}".rstrip()
    found, allowed = beside_limit(figure, limit, decimals=2, unit=unit)
    return _signed_minus(allowed), _signed_minus(found)


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


def kept_in_words(kept: AnswersKept) -> str:
    """Describe what is left of a model's answers: `"112 of 115, 2 new"`."""
    return f"{kept.kept:,} of {kept.count:,}" + (f", {kept.added:,} new" if kept.added else "")


def sqnr_in_words(agreement: Agreement) -> str:
    """`"31.2 dB"`; `"equal"` without any error; `"none"` where outputs are not finite or have noise alone; of text that
    is not all the same, `"97.00% of the texts"`."""
    if agreement.sqnr_db is None:
        same = agreement.text_match is None or agreement.text_match == 1.0
        return "equal" if same else f"{agreement.text_match:.2%} of the texts"
    return "none" if agreement.sqnr_db <= SQNR_FLOOR_DB else _signed_minus(f"{agreement.sqnr_db:.1f} dB")


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
    """`"6 of 7 lines hold, 1 not determined"`: a contract can hold although some lines are open."""
    outcomes = [line.outcome for line in verdict.lines]
    parts = [f"{outcomes.count(Outcome.HOLDS)} of {len(outcomes)} lines hold"]
    if broken := outcomes.count(Outcome.BREAKS):
        parts.append(f"{broken} break" + ("s" if broken == 1 else ""))
    if undetermined := outcomes.count(Outcome.NOT_DETERMINED):
        parts.append(f"{undetermined} {OUTCOME_WORDS[Outcome.NOT_DETERMINED]}")
    return ", ".join(parts)


def undetermined_lines(verdict: Verdict) -> str:
    """`"2 of 7 lines not determined"`; empty when each line holds or breaks."""
    return _undetermined(line.outcome is Outcome.NOT_DETERMINED for line in verdict.lines)


def undetermined_checks(lines: Iterable[SmokeLine]) -> str:
    """As `undetermined_lines`, of a smoke test."""
    return _undetermined(line.state is CheckState.NOT_DETERMINED for line in lines)


def _undetermined(lines: Iterable[bool]) -> str:
    flags = list(lines)
    return f"{sum(flags)} of {len(flags)} lines not determined" if any(flags) else ""


def limit_name(line: VerdictLine) -> str:
    """The contract's key without the table that all limits are in: `"metric_min"`, `"target.rpi4.load_max_ms"`."""
    return line.key.removeprefix("limits.")


def _is_drop(line: VerdictLine) -> bool:
    return line.unit == "share" and line.rule is not None and line.rule.kind == "drop"


def _is_share(metric: MetricFigure) -> bool:
    return is_share_metric(metric.name)


def _points(share: float) -> str:
    return _signed_minus(f"{share * 100:.2f} points")


def _millions(count: float) -> str:
    return f"{count / 1e6:,.4g}"


def _signed_minus(number: str) -> str:
    return number.replace("-", "−")


def relation(line: VerdictLine) -> str:
    """How the figure has to stand to the limit: `"≤"`, `"≥"` or `"="`."""
    if line.rule is None:
        return "="
    return "≤" if line.rule.direction == "max" else "≥"


def percent_change(before: float, after: float) -> str:
    """`"−71.2%"`, `"+3.0%"`; empty when there was nothing before."""
    if not before:
        return ""
    change = after / before - 1
    sign = "−" if change < 0 else "+"
    return f"{sign}{abs(change):.1%}"
