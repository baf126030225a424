"""The smoke test of a board: is it the right one, does the release work there, and what is wrong with it."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Callable
from typing import TypeVar, get_args

from msgspec import structs

from edgedeploy.deploy.preflight import check_device
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import find_current, list_releases
from edgedeploy.deploy.status import health
from edgedeploy.deploy.unjudged import unconfirmed_in_words
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.connection import Connection
from edgedeploy.device.probe.probe import probe
from edgedeploy.foundation.errors import (
    DeviceError,
    EdgedeployError,
    IntegrityError,
    UnknownNameError,
    UnsupportedError,
)
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.sanitize import one_line
from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.measure.bench import bench
from edgedeploy.values.bundle import Bundle, Manifest, Release
from edgedeploy.values.measurement import BenchSettings, Measurement, MeasurementWarning
from edgedeploy.values.probe import Probe
from edgedeploy.values.smoke import CheckState, Key, Smoke, SmokeFigures, SmokeLine, SmokeRelease
from edgedeploy.workflows.smoke.conditions import clock_line, conditions, free_space_hint, line

SCHEMA = 1
SECONDS = 10.0
KEYS: tuple[Key, ...] = get_args(Key)
"""The keys of all lines, in the order in which they are shown."""
_MUST_HOLD: tuple[Key, ...] = ("files", "golden")
"""Not determined is not enough for these: nothing would be known of the release."""

_Value = TypeVar("_Value")


def smoke(
    connection: Connection,
    *,
    bundle: Bundle | None = None,
    signature: bytes | None = None,
    name: str | None = None,
    seconds: float = SECONDS,
    progress: Progress = SILENT,
) -> Smoke:
    """Probe a board, push a bundle or take the current release, and test whether that works there.

    A failure is a line of the result, with a hint; steps that need what failed are not tried.

    Args:
        bundle: pushed first; by default the current release is tested.
        signature: the bundle's, as `push` takes it.
        name: the model to test, where the device has several and no bundle is given.
        seconds: how long to measure. On an emulated board the measurement is short whatever this is.

    Raises:
        UnknownNameError: the board has no such model, or several and `name` is None.
    """
    lines = _Lines()
    progress.step(f"asking {connection.address} what it is")
    before = lines.attempt("board", lambda: _board(connection))
    release = _release(connection, bundle, signature, name, lines, progress)
    manifest = release.manifest if release else bundle.manifest if bundle else None
    lines.attempt("files", lambda: _files(connection, _required(release), progress))
    lines.attempt("golden", lambda: _golden(connection, _required(release), progress))
    measured = lines.attempt("measurement", lambda: _measured(connection, _required(release), seconds, progress))
    if measured and (warning := _invalidating(measured)):
        lines.reopen("measurement", warning.hint)
    progress.step(f"asking {connection.address} how it is")
    after = _after(connection) if before else None
    peak_bytes = measured.peak_rss_bytes if measured else None
    state = conditions(
        before,
        _with_load(after, measured),
        clock_line(connection),
        manifest,
        peak_bytes,
        free_space_hint(connection) if after else "",
    )
    all_lines = tuple(sorted((*lines.found, *state), key=lambda each: KEYS.index(each.key)))
    return Smoke(
        schema=SCHEMA,
        edgedeploy=importlib.metadata.version("edgedeploy"),
        device=connection.address,
        taken_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        passed=passes(all_lines),
        lines=all_lines,
        release=_facts(release) if release else None,
        figures=_figures(measured) if measured else None,
    )


def passes(lines: tuple[SmokeLine, ...]) -> bool:
    """Return whether no line failed, and the release's files and golden outputs were verified."""
    states = {each.key: each.state for each in lines}
    return CheckState.FAILED not in states.values() and all(states.get(key) is CheckState.OK for key in _MUST_HOLD)


class _Lines:
    """The lines of steps that each need those before them."""

    def __init__(self) -> None:
        self.found: list[SmokeLine] = []
        self._failed = ""

    def attempt(self, key: Key, work: Callable[[], tuple[str, _Value]]) -> _Value | None:
        """Run a step unless one before it failed. `work` returns the line's words and a value."""
        if self._failed:
            self.found.append(line(key, CheckState.NOT_DETERMINED, f"not tried, because of: {self._failed}"))
            return None
        try:
            figure, value = work()
        except UnknownNameError:
            raise
        except UnsupportedError as error:
            self.found.append(line(key, CheckState.NOT_DETERMINED, _failure(error), error.hint))
            return None
        except EdgedeployError as error:
            self._failed = key
            self.found.append(line(key, CheckState.FAILED, _failure(error), error.hint))
            return None
        self.found.append(line(key, CheckState.OK, figure))
        return value

    def reopen(self, key: Key, hint: str) -> None:
        """Mark a line as not determined and keep its words: it was done, but its figures are invalid."""
        self.found = [
            line(key, CheckState.NOT_DETERMINED, each.figure, hint) if each.key == key else each for each in self.found
        ]


def _failure(error: EdgedeployError) -> str:
    return one_line(f"{error.what} ({error.why})" if error.why else error.what)


def _required(release: Release | None) -> Release:
    # `attempt` does not try what needs a release after that line failed.
    assert release is not None
    return release


def _board(connection: Connection) -> tuple[str, Probe]:
    found = probe(connection, pythons=())
    cores = f"{found.cores} x {found.cpu or 'unknown core'}" if found.cores else found.cpu
    kind = found.machine_kind
    emulated = "emulated" if connection.emulated else kind.words if kind.kind != "hardware" else ""
    parts = (found.board or found.machine, emulated, found.system.name or found.kernel, cores)
    return ", ".join(part for part in parts if part), found


def _release(
    connection: Connection,
    bundle: Bundle | None,
    signature: bytes | None,
    name: str | None,
    lines: _Lines,
    progress: Progress,
) -> Release | None:
    """Add the lines `fits` and `release`. A bundle is checked before it is pushed, a current release after it is
    found."""
    if bundle is not None:
        lines.attempt("fits", lambda: _fits(bundle.manifest, connection))
        return lines.attempt("release", lambda: _pushed(bundle, signature, connection, progress))
    release = lines.attempt("release", lambda: _current(connection, name))
    lines.attempt("fits", lambda: _fits(_required(release).manifest, connection))
    return release


def _facts(release: Release) -> SmokeRelease:
    return SmokeRelease(
        name=release.name,
        id=release.id,
        target=release.manifest.target,
        awaits_verdict=release.awaits_verdict,
        verdict=release.verdict,
    )


def _current(connection: Connection, name: str | None) -> tuple[str, Release]:
    try:
        listing = list_releases(connection)
        release = find_current(listing, connection.address, name)
    except DeviceError as error:
        hint = f"edgedeploy smoke {connection.address} --bundle BUNDLE"
        raise DeviceError(error.what, why=error.why, hint=hint) from error
    unconfirmed = unconfirmed_in_words(listing, release)
    return _named(release) + (f"; {unconfirmed}" if unconfirmed else ""), release


def _fits(manifest: Manifest, connection: Connection) -> tuple[str, None]:
    check_device(manifest, connection)
    needs = [manifest.architecture, *manifest.needs.cpu_features, manifest.runtime.backend]
    if manifest.runtime.python:
        needs.append(f"Python {manifest.runtime.python}")
    if manifest.runtime.glibc:
        needs.append(f"glibc {manifest.runtime.glibc}")
    return f"made for {manifest.target}: {', '.join(needs)}", None


def _named(release: Release) -> str:
    return f"{release.name} {release.id} is current"


def _pushed(bundle: Bundle, signature: bytes | None, connection: Connection, progress: Progress) -> tuple[str, Release]:
    result = push(bundle, connection, signature=signature, progress=progress)
    how = f"{bytes_in_words(result.sent_bytes)} sent" if result.activated else "it was before"
    return f"{_named(result.release)} ({how})", result.release


def _files(connection: Connection, release: Release, progress: Progress) -> tuple[str, None]:
    progress.step(f"verifying {release.id}")
    if wrong := broken_files(connection, release):
        raise IntegrityError(
            f"damaged on the board: {wrong}",
            hint=f"put it there again: edgedeploy smoke {connection.address} --bundle BUNDLE; "
            "if it happens again, the card is worn out: replace it",
        )
    size_bytes = sum(entry.size_bytes for entry in release.manifest.files)
    return f"{len(release.manifest.files)} files, {bytes_in_words(size_bytes)}, SHA-256 verified", None


def _golden(connection: Connection, release: Release, progress: Progress) -> tuple[str, None]:
    words, healthy = health(connection, release, progress)
    if not healthy:
        another = "compile the model for this board and push it"
        back = f"edgedeploy rollback {connection.address} --name {release.name}, or {another}"
        raise DeviceError(words, hint=back if release.parent else another)
    if not release.manifest.golden_samples:
        raise UnsupportedError(
            "it loads, but the bundle has no golden samples to compare with",
            hint="compile it again with golden samples",
        )
    return words, None


def _measured(connection: Connection, release: Release, seconds: float, progress: Progress) -> tuple[str, Measurement]:
    settings = BenchSettings(cold_load=False)
    measurement = bench(connection, release, seconds=seconds, settings=settings, progress=progress)
    return figures_in_words(_figures(measurement)) + _worst_warning(measurement), measurement


def _invalidating(measurement: Measurement) -> MeasurementWarning | None:
    validity = measurement.timing.validity if measurement.timing else None
    return next((warning for warning in validity.warnings if warning.invalidates), None) if validity else None


def _worst_warning(measurement: Measurement) -> str:
    """The first of the measurement's warnings, in words; empty without any."""
    validity = measurement.timing.validity if measurement.timing else None
    return f"; {validity.outcome}: {validity.warnings[0].reason}" if validity and validity.warnings else ""


def _figures(measurement: Measurement) -> SmokeFigures:
    timing, count = measurement.timing, measurement.count
    if timing is None:
        return SmokeFigures(
            clock="counted",
            n=count.n if count else 0,
            instructions=count.per_inference if count else None,
            peak_rss_bytes=measurement.peak_rss_bytes,
        )
    return SmokeFigures(
        clock=timing.clock,
        n=timing.summary.n,
        p50_ms=timing.summary.p50_ms,
        p90_ms=timing.summary.p90_ms,
        load_ms=None if timing.load_ms is None else (timing.import_ms or 0.0) + timing.load_ms,
        peak_rss_bytes=measurement.peak_rss_bytes,
    )


def figures_in_words(figures: SmokeFigures) -> str:
    """`"1,204 inferences: latency p50 8.2 ms, p90 8.4 ms, load 84 ms, peak memory 61 MB"`."""
    memory = "" if figures.peak_rss_bytes is None else f", peak memory {bytes_in_words(figures.peak_rss_bytes)}"
    if figures.clock == "checks":
        return f"{figures.n:,} health checks passed; this bundle's runner cannot measure"
    if figures.clock == "counted":
        return f"{figures.n:,} inferences: {figures.instructions or 0:,.0f} instructions each, no latency{memory}"
    what = "latency" if figures.clock == "device" else "emulated wall-clock, not a latency:"
    times = [f"p50 {milliseconds(figures.p50_ms)}"]
    times += [f"p90 {milliseconds(figures.p90_ms)}"] if figures.p90_ms is not None else []
    times += [f"load {milliseconds(figures.load_ms)}"] if figures.load_ms is not None else []
    return f"{figures.n:,} inferences: {what} {', '.join(times)}{memory}"


def _after(connection: Connection) -> Probe | None:
    try:
        return probe(connection, pythons=())
    except EdgedeployError:
        return None


def _with_load(after: Probe | None, measured: Measurement | None) -> Probe | None:
    """Return the probe with the temperature at the end of the measurement, if that was higher: it falls in seconds."""
    hot = measured.conditions.temperature_c if measured else None
    if after is None or hot is None or hot <= (after.temperature_c or hot - 1):
        return after
    return structs.replace(after, temperature_c=hot)
