"""The history of a baseline: its figures over the commits that changed the file."""

from __future__ import annotations

import statistics
from pathlib import Path

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.foundation.git_history import file_versions
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import BASELINE
from edgedeploy.values.baseline import Baseline, BaselineEntry
from edgedeploy.values.trend import Trend, TrendCommit, TrendPoint, TrendSeries
from edgedeploy.verdict.baseline import Key, entry_key, parse_baseline

SCHEMA = 1
DEFAULT_COMMITS = 200


def trend(baseline: Path, *, most: int = DEFAULT_COMMITS, progress: Progress = SILENT) -> Trend:
    """Read what a baseline was after each commit that changed it.

    A commit that left no baseline, or one that this version does not read, is listed as unreadable.

    Args:
        most: so many commits at most, the newest.

    Raises:
        InvalidFileError: the file lies in no git repository, has no commit, or no commit left a baseline.
        HostError: git is not installed, or fails.
    """
    progress.step(f"reading the history of {baseline}")
    read: list[tuple[TrendCommit, Baseline]] = []
    unreadable: list[str] = []
    count = 0
    for version in file_versions(baseline, BASELINE, most=most + 1):
        count += 1
        if count > most:
            break
        progress.advance(count, None, "commits")
        found = _parsed(version.content, version.commit)
        if found is None:
            unreadable.append(version.commit)
            continue
        commit = TrendCommit(commit=version.commit, author=version.author, when=version.when, subject=version.subject)
        read.append((commit, found))
    if not read:
        raise InvalidFileError(
            f"no commit of {baseline} left a baseline", hint="make one: edgedeploy baseline save FILE MEASUREMENT…"
        )
    read.reverse()
    return Trend(
        schema=SCHEMA,
        baseline=str(baseline),
        commits=tuple(commit for commit, _ in read),
        series=_series([each for _, each in read]),
        unreadable=tuple(unreadable),
        is_cut=count > most,
    )


def _parsed(content: bytes | None, commit: str) -> Baseline | None:
    if content is None:
        return None
    try:
        return parse_baseline(content, commit)
    except InvalidFileError:
        return None


def _series(baselines: list[Baseline]) -> tuple[TrendSeries, ...]:
    points: dict[Key, list[TrendPoint]] = {}
    last: dict[Key, BaselineEntry] = {}
    for at, baseline in enumerate(baselines):
        for entry in baseline.entries:
            key = entry_key(entry)
            if last.get(key) != entry:
                points.setdefault(key, []).append(_point(at, entry))
            last[key] = entry
    return tuple(
        TrendSeries(name=name, target=target, kind=kind, points=tuple(found))
        for (name, target, kind), found in sorted(points.items())
    )


def _point(at: int, entry: BaselineEntry) -> TrendPoint:
    counts = [run.median for run in entry.instructions]
    return TrendPoint(
        at=at,
        release=entry.release,
        model_size_bytes=entry.model_size_bytes,
        instructions=statistics.median(counts) if counts else None,
        latency_p50_ms=statistics.median(entry.latency_p50_ms) if entry.latency_p50_ms else None,
        accuracy=entry.accuracy,
        emulator=entry.emulator,
    )
