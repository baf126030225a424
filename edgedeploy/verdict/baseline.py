"""Baselines: what a release measured when it was good, kept in a file, and later releases held against it.

A growth is a regression when it is larger than a threshold and larger than the noise. What the noise is, figures say
themselves: instructions by the spread within a run, latency and memory by the spread of the baseline's runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from edgedeploy.foundation.errors import InvalidFileError, MeasurementError
from edgedeploy.foundation.files import unreadable, write_bytes
from edgedeploy.foundation.reading import BASELINE, read_file
from edgedeploy.stats.noise import median_interval, prediction_noise
from edgedeploy.stats.rounding import beside_limit
from edgedeploy.values.baseline import Baseline, BaselineAccuracy, BaselineEntry, CountedRun, Kind, Thresholds
from edgedeploy.values.contract import Outcome, Verdict, VerdictLine
from edgedeploy.values.measurement import Measurement

SCHEMA = 1
_RUNS_NEEDED = 3
"""As `prediction_noise` says."""
_LARGEST = float(1 << 63)
_SMALLEST = 1 / _LARGEST
"""What comes from JSON may be 10^300 or 10^-300: the product of two such figures, or their ratio, is infinite."""
Key = tuple[str, str, Kind]
"""What an entry is of: model, target and kind of board."""


def baseline_of(measurements: Sequence[Measurement]) -> Baseline:
    """Make a baseline of the figures of these runs; those of one model on one kind of board are one entry.

    Raises:
        MeasurementError: one was neither timed nor counted, or is invalid; or runs that belong together are of
            different releases, processors or runtimes.
    """
    groups: dict[Key, list[Measurement]] = {}
    for measurement in measurements:
        release = measurement.release
        groups.setdefault((release.name, release.target, _kind(measurement)), []).append(measurement)
    return Baseline(schema=SCHEMA, entries=tuple(_entry(key, groups[key]) for key in sorted(groups)))


def updated(baseline: Baseline, new: Baseline) -> Baseline:
    """Return `baseline` with the entries of `new` in place of those of the same name, target and kind."""
    entries = {entry_key(entry): entry for entry in (*baseline.entries, *new.entries)}
    return structs.replace(baseline, entries=tuple(entries[key] for key in sorted(entries)))


def check_baseline(
    baseline: Baseline, new: Baseline, thresholds: Thresholds | None = None, *, strict: bool = False
) -> Verdict:
    """Hold what was measured now against the baseline: a line for each figure of each entry of `new`.

    A line breaks when the figure grew by more than the larger of its threshold and its noise. It is not determined
    where the baseline has no such figure, where the processor or its features are others, and, for latency and memory,
    where the baseline has fewer than three runs, since nothing is known then of what differs from run to run.

    The whole breaks if a line breaks, is not determined if none holds, and holds otherwise.

    Args:
        strict: the whole is not determined if a single line is not.
    """
    thresholds = thresholds or Thresholds()
    known = {entry_key(entry): entry for entry in baseline.entries}
    lines = tuple(line for entry in new.entries for line in _lines(known.get(entry_key(entry)), entry, thresholds))
    outcomes = {line.outcome for line in lines}
    order = [Outcome.BREAKS, Outcome.HOLDS, Outcome.NOT_DETERMINED]
    if strict:
        order = [Outcome.BREAKS, Outcome.NOT_DETERMINED, Outcome.HOLDS]
    outcome = next((each for each in order if each in outcomes), Outcome.NOT_DETERMINED)
    names = ", ".join(dict.fromkeys(entry.name for entry in new.entries))
    return Verdict(kind="baseline", contract=names, lines=lines, outcome=outcome)


def compare(
    before: Sequence[Measurement], after: Sequence[Measurement], thresholds: Thresholds | None = None
) -> Verdict:
    """Hold the runs of one release against those of another, of whatever names, as `check_baseline` does.

    Raises:
        MeasurementError: as `baseline_of`; or either are runs of several models, targets or kinds of board.
    """
    old, new = (baseline_of(runs) for runs in (before, after))
    for side, runs in (("before", old), ("after", new)):
        if len(runs.entries) != 1:
            found = ", ".join(f"{entry.name} for {entry.target} ({entry.kind})" for entry in runs.entries)
            raise MeasurementError(f"{side}: runs of one release on one board are compared", why=f"found: {found}")
    left, right = old.entries[0], new.entries[0]
    named = structs.replace(old, entries=(structs.replace(left, name=right.name),))
    verdict = check_baseline(named, new, thresholds)
    return structs.replace(
        verdict, kind="comparison", contract=f"{left.name} {left.release} → {right.name} {right.release}"
    )


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline, whole or not at all.

    Raises:
        HostError: it cannot be written.
    """
    write_bytes(path, msgspec.json.format(msgspec.json.encode(baseline), indent=1) + b"\n")


def load_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        InvalidFileError: it cannot be read, or is no baseline of this version.
    """
    path = path.absolute()
    try:
        content = read_file(path, BASELINE)
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_baseline(content, str(path))


def parse_baseline(content: bytes, name: str) -> Baseline:
    """Read the content of a baseline file.

    Args:
        name: of the file, for messages.

    Raises:
        InvalidFileError: it is no baseline of this version.
    """
    hint = "make one: edgedeploy baseline save FILE MEASUREMENT…"
    try:
        baseline = msgspec.json.decode(content, type=Baseline)
    # A ValueError is a MsgspecError or a UnicodeDecodeError; too many brackets are a RecursionError.
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(f"{name} is not a baseline", why=str(error), hint=hint) from error
    if baseline.schema != SCHEMA:
        raise InvalidFileError(
            f"{name} has schema {baseline.schema}; this edgedeploy reads {SCHEMA}", hint=f"measure again, and {hint}"
        )
    for entry in baseline.entries:
        if not _sound(entry):
            raise InvalidFileError(f"{name}: {entry.name} for {entry.target} has a figure that is none", hint=hint)
    return baseline


def _kind(measurement: Measurement) -> Kind:
    if measurement.count is not None:
        return "counted"
    if measurement.timing is None:
        raise MeasurementError(
            f"{measurement.release.id} on {measurement.device} was neither timed nor counted",
            hint="make one: edgedeploy bench DEVICE -o FILE; `test` looks at answers only",
        )
    validity = measurement.timing.validity
    if validity is not None and validity.outcome == "invalid":
        raise MeasurementError(
            f"the measurement of {measurement.release.id} on {measurement.device} is invalid",
            why="; ".join(warning.reason for warning in validity.warnings if warning.invalidates),
            hint="; ".join(warning.hint for warning in validity.warnings if warning.invalidates)
            + "; then measure again",
        )
    emulated = measurement.conditions.emulated or measurement.timing.clock == "emulated"
    return "emulated" if emulated else "device"


def entry_key(entry: BaselineEntry) -> Key:
    """Return what an entry is of; a baseline has one entry for each."""
    return entry.name, entry.target, entry.kind


def _entry(key: Key, runs: Sequence[Measurement]) -> BaselineEntry:
    name, target, kind = key
    first = runs[0]
    for run in runs[1:]:
        parts = list(zip(_identity(first), _identity(run), strict=True))
        differs = next((f"{a} and {b}" for a, b in parts if a != b), None)
        if differs is not None:
            raise MeasurementError(
                f"the measurements of {name} for {target} do not belong together",
                why=differs[:300],
                hint="give the runs of one release on one device",
            )
    entry = BaselineEntry(
        name=name,
        target=target,
        kind=kind,
        release=first.release.id,
        cpu=first.conditions.cpu,
        cpu_features=tuple(sorted(first.conditions.cpu_features)),
        runtime=first.conditions.runtime,
        emulator=first.conditions.emulator,
        os=first.conditions.os,
        model_size_bytes=first.release.model_size_bytes,
        instructions=tuple(_counted(run.count.samples) for run in runs if run.count is not None),
        latency_p50_ms=tuple(run.timing.summary.p50_ms for run in runs if run.timing is not None and kind == "device"),
        peak_rss_bytes=tuple(run.peak_rss_bytes for run in runs if run.peak_rss_bytes is not None),
        accuracy=next((found for run in runs if (found := _accuracy(run)) is not None), None),
    )
    if not _sound(entry):
        raise InvalidFileError(f"a measurement of {name} for {target} has a figure that is none", hint="measure again")
    return entry


def _accuracy(run: Measurement) -> BaselineAccuracy | None:
    if run.accuracy is None or run.accuracy.metric is None:
        return None
    metric = run.accuracy.metric
    return BaselineAccuracy(metric=metric.name, value=metric.value, samples=run.accuracy.samples)


def _sound(entry: BaselineEntry) -> bool:
    """Return whether all figures are above 0 and of a size that can be computed with."""
    counted = (figure for run in entry.instructions for figure in (run.low, run.median, run.high))
    figures = (*counted, *entry.latency_p50_ms, *entry.peak_rss_bytes, entry.model_size_bytes)
    return all(_SMALLEST <= figure <= _LARGEST for figure in figures)


def _identity(run: Measurement) -> tuple[object, ...]:
    conditions = run.conditions
    return (
        run.release.id,
        conditions.cpu,
        sorted(conditions.cpu_features),
        sorted(conditions.runtime.items()),
        conditions.emulator,
    )


def _counted(samples: Sequence[int]) -> CountedRun:
    if not samples:
        return CountedRun(median=0.0, low=0.0, high=0.0)
    low, high = median_interval(samples)
    # As floats, so that a file that is read and written again stays what it was.
    return CountedRun(median=float(statistics.median(samples)), low=float(low), high=float(high))


def _lines(old: BaselineEntry | None, new: BaselineEntry, thresholds: Thresholds) -> Iterator[VerdictLine]:
    where = f"{new.name}.{new.target}.{new.kind}"
    if old is None:
        yield _not_determined(
            f"{where}.release_max", "", "the baseline has no such model, target and kind of board: save one"
        )
        return
    other = _other_processor(old, new)
    if new.instructions:
        key = f"{where}.instructions_max"
        if other or not old.instructions:
            yield _not_determined(key, "", other or "the baseline has no such figure: save one")
        else:
            yield _instructions(key, old, new, thresholds.instructions)
    figures: tuple[tuple[str, str, Sequence[float], Sequence[float], float], ...] = (
        ("latency_p50_max_ms", "ms", old.latency_p50_ms, new.latency_p50_ms, thresholds.latency),
        ("peak_memory_max_bytes", "bytes", old.peak_rss_bytes, new.peak_rss_bytes, thresholds.memory),
    )
    for name, unit, before, after, threshold in figures:
        if after:
            yield _repeated(f"{where}.{name}", unit, before, after, threshold, other if unit == "ms" else "")
    yield _grown(
        f"{where}.model_size_max_bytes", "bytes", old.model_size_bytes, new.model_size_bytes, thresholds.size, 0.0, ""
    )


def _other_processor(old: BaselineEntry, new: BaselineEntry) -> str:
    if old.cpu != new.cpu:
        return f"another processor: {old.cpu}, now {new.cpu}"
    if old.cpu_features != new.cpu_features:
        changed = sorted(set(old.cpu_features) ^ set(new.cpu_features))
        return f"another processor: {_listed(changed)} in one of them only"
    return ""


def _instructions(key: str, old: BaselineEntry, new: BaselineEntry, threshold: float) -> VerdictLine:
    before = statistics.fmean(run.median for run in old.instructions)
    after = statistics.fmean(run.median for run in new.instructions)
    # Each run has an interval of its own; that of the ratio, at its widest, has both at their ends.
    widths = [_half_width(old.instructions), _half_width(new.instructions)]
    spread = prediction_noise([run.median for run in old.instructions], len(new.instructions)) or 0.0
    changed = [
        name for name in old.runtime.keys() | new.runtime.keys() if old.runtime.get(name) != new.runtime.get(name)
    ]
    now = ", ".join(f"{name} {new.runtime.get(name, 'gone')}" for name in sorted(changed))
    notes = [f"another runtime: {now}"] if changed else []
    notes += other_conditions(old, new)
    return _grown(key, "", before, after, threshold, max(sum(widths), spread), "; ".join(notes))


def other_conditions(old: BaselineEntry, new: BaselineEntry) -> list[str]:
    """Say where figures were counted in other emulators or systems, which may count otherwise. What one of both does
    not know is not said."""
    pairs = {"emulator": (old.emulator, new.emulator), "system": (old.os, new.os)}
    return [
        f"another {what}: {before} in the baseline, {now} now: its counts may differ"
        for what, (before, now) in pairs.items()
        if before is not None and now is not None and before != now
    ]


def _half_width(runs: Sequence[CountedRun]) -> float:
    return max(max(run.high - run.median, run.median - run.low) / run.median for run in runs)


def _repeated(
    key: str, unit: str, before: Sequence[float], after: Sequence[float], threshold: float, other: str
) -> VerdictLine:
    noise = prediction_noise(before, len(after))
    if other:
        return _not_determined(key, unit, other)
    if noise is None:
        change = f"{_percent(_mean(after) / _mean(before) - 1)} against {len(before)} of " if before else ""
        return _not_determined(
            key,
            unit,
            f"{change}{_RUNS_NEEDED} runs that a baseline needs before it is known what differs from run to run",
        )
    return _grown(key, unit, _mean(before), _mean(after), threshold, noise, f"{len(before)} and {len(after)} runs")


def _grown(key: str, unit: str, before: float, after: float, threshold: float, noise: float, note: str) -> VerdictLine:
    growth, gate = after / before - 1, max(threshold, noise)
    limit = before * (1 + gate)
    what, least = ("noise", noise) if noise > threshold else ("threshold", threshold)
    grown, allowed = beside_limit(growth, least, decimals=3 if abs(growth) < 0.001 else 2, unit="%")
    reason = f"{_signed(grown)}; {what}: {allowed if what == 'threshold' else f'{least:.2%}'}"
    if growth < -gate:
        reason += "; better than that: save a new baseline"
    return VerdictLine(
        key=key,
        limit=round(limit) if unit != "ms" else limit,
        figure=after,
        unit=unit,
        outcome=Outcome.BREAKS if growth > gate else Outcome.HOLDS,
        reason=f"{reason}; {note}" if note else reason,
    )


def _not_determined(key: str, unit: str, reason: str) -> VerdictLine:
    return VerdictLine(key=key, limit="–", figure=None, unit=unit, outcome=Outcome.NOT_DETERMINED, reason=reason)


def _mean(figures: Sequence[float]) -> float:
    """Return the geometric mean, as `prediction_noise` takes it."""
    return statistics.geometric_mean(figures)


def _signed(number: str) -> str:
    return number.replace("-", "−") if number.startswith("-") else f"+{number}"


def _percent(share: float) -> str:
    digits = 3 if abs(share) < 0.001 else 2
    return f"{share:+.{digits}%}".replace("-", "−")


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")
