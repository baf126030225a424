"""A board in ten minutes: is it the right one, does the release work there, and what is wrong with it.

Like `shipping`, this stands above the rooms and does nothing that they do not do.
"""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Callable
from typing import TypeVar, get_args

from msgspec import structs

from edgedeploy.deploy.preflight import check_device
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import broken_files, current_release
from edgedeploy.deploy.status import health
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
from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.measure.bench import bench
from edgedeploy.values.bundle import Bundle, Manifest, Release
from edgedeploy.values.measurement import BenchSettings, Measurement, MeasurementWarning
from edgedeploy.values.probe import Probe
from edgedeploy.values.smoke import CheckState, Key, Smoke, SmokeFigures, SmokeLine, SmokeRelease
from edgedeploy.workflows.smoke.conditions import clock_line, conditions, line

SCHEMA = 1
SECONDS = 10.0
KEYS: tuple[Key, ...] = get_args(Key)
"""Of all lines, in the order in which they are shown."""
_MUST_BE_TOLD: tuple[Key, ...] = ("files", "golden")
"""Without these nothing is known of the release."""

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
    """Ask a board what it is, put a bundle on it or take what is current, and see whether that works there.

    What goes wrong on the way is a line of the result, with what mends it, and what would come after it is not tried.

    Args:
        bundle: is pushed, as `push` does it; by default the current release is taken.
        signature: of the bundle, as `push` takes it.
        name: which model, where the device has several and no bundle is given.
        seconds: how long to measure. An emulated board is measured shortly whatever this is.

    Raises:
        UnknownNameError: there is no such model there, or several and no name.
    """
    lines = _Lines()
    progress.step(f"asking {connection.address} what it is")
    before = lines.attempt("board", lambda: _board(connection))
    release = _release(connection, bundle, signature, name, lines, progress)
    manifest = release.manifest if release else bundle.manifest if bundle else None
    lines.attempt("files", lambda: _files(connection, _there(release), progress))
    lines.attempt("golden", lambda: _golden(connection, _there(release), progress))
    measured = lines.attempt("measurement", lambda: _measured(connection, _there(release), seconds, progress))
    if measured and (doubt := _spoiling(measured)):
        lines.take_back("measurement", doubt.hint)
    progress.step(f"asking {connection.address} how it is")
    after = _after(connection) if before else None
    peak_bytes = measured.peak_rss_bytes if measured else None
    state = conditions(before, _with_load(after, measured), clock_line(connection), manifest, peak_bytes)
    all_lines = tuple(sorted((*lines.found, *state), key=lambda each: KEYS.index(each.key)))
    return Smoke(
        schema=SCHEMA,
        edgedeploy=importlib.metadata.version("edgedeploy"),
        device=connection.address,
        taken_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        passed=passes(all_lines),
        lines=all_lines,
        release=SmokeRelease(name=release.name, id=release.id, target=release.manifest.target) if release else None,
        figures=_figures(measured) if measured else None,
    )


def passes(lines: tuple[SmokeLine, ...]) -> bool:
    """Whether nothing failed, and the release was seen whole and answering as it should."""
    states = {each.key: each.state for each in lines}
    return CheckState.FAILED not in states.values() and all(states.get(key) is CheckState.OK for key in _MUST_BE_TOLD)


class _Lines:
    """Lines of things that each need those before them."""

    def __init__(self) -> None:
        self.found: list[SmokeLine] = []
        self._failed = ""

    def attempt(self, key: Key, work: Callable[[], tuple[str, _Value]]) -> _Value | None:
        """Do what a line is about, unless a line before it failed. `work` returns the line's words, and a value."""
        if self._failed:
            self.found.append(line(key, CheckState.NOT_DETERMINED, f"not tried, because of: {self._failed}"))
            return None
        try:
            figure, value = work()
        except UnknownNameError:
            raise
        except UnsupportedError as error:
            self.found.append(line(key, CheckState.NOT_DETERMINED, _words(error), error.hint))
            return None
        except EdgedeployError as error:
            self._failed = key
            self.found.append(line(key, CheckState.FAILED, _words(error), error.hint))
            return None
        self.found.append(line(key, CheckState.OK, figure))
        return value

    def take_back(self, key: Key, hint: str) -> None:
        """Leave a line's words, and have them tell nothing: it was done, and its figures are not to be believed."""
        self.found = [
            line(key, CheckState.NOT_DETERMINED, one.figure, hint) if one.key == key else one for one in self.found
        ]


def _words(error: EdgedeployError) -> str:
    text = f"{error.what} ({error.why})" if error.why else error.what
    return "".join(each if each.isprintable() else " " for each in text)


def _there(release: Release | None) -> Release:
    # What needs a release is not tried without one.
    assert release is not None
    return release


def _board(connection: Connection) -> tuple[str, Probe]:
    found = probe(connection, pythons=())
    cores = f"{found.cores} x {found.cpu or 'unknown core'}" if found.cores else found.cpu
    emulated = "emulated" if connection.emulated else ""
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
    """The lines `fits` and `release`: a bundle has to fit before it is pushed, and what is current has to be found
    before it can be seen to fit."""
    if bundle is not None:
        lines.attempt("fits", lambda: _fits(bundle.manifest, connection))
        return lines.attempt("release", lambda: _pushed(bundle, signature, connection, progress))
    release = lines.attempt("release", lambda: _current(connection, name))
    lines.attempt("fits", lambda: _fits(_there(release).manifest, connection))
    return release


def _current(connection: Connection, name: str | None) -> tuple[str, Release]:
    try:
        release = current_release(connection, name)
    except DeviceError as error:
        hint = f"edgedeploy smoke {connection.address} --bundle BUNDLE"
        raise DeviceError(error.what, why=error.why, hint=hint) from error
    return _named(release), release


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
            "when it comes back, the card is worn out: replace it",
        )
    size_bytes = sum(entry.size_bytes for entry in release.manifest.files)
    return f"{len(release.manifest.files)} files, {bytes_in_words(size_bytes)}, each with its SHA-256", None


def _golden(connection: Connection, release: Release, progress: Progress) -> tuple[str, None]:
    said, healthy = health(connection, release, progress)
    if not healthy:
        raise DeviceError(
            said,
            hint=f"edgedeploy rollback {connection.address}, or compile the model for this board and push it",
        )
    if not release.manifest.golden_samples:
        raise UnsupportedError(
            "it loads, but the bundle has no golden samples to compare with",
            hint="compile it again with golden samples",
        )
    return said, None


def _measured(connection: Connection, release: Release, seconds: float, progress: Progress) -> tuple[str, Measurement]:
    settings = BenchSettings(cold_load=False)
    measurement = bench(connection, release, seconds=seconds, settings=settings, progress=progress)
    return figures_in_words(_figures(measurement)) + _doubt_in_words(measurement), measurement


def _spoiling(measurement: Measurement) -> MeasurementWarning | None:
    validity = measurement.timing.validity if measurement.timing else None
    return next((doubt for doubt in validity.doubts if doubt.invalidates), None) if validity else None


def _doubt_in_words(measurement: Measurement) -> str:
    """What the figures suffer from most; its lines say for themselves whether the board is hot, slowed down or short of
    voltage."""
    validity = measurement.timing.validity if measurement.timing else None
    return f"; {validity.outcome}: {validity.doubts[0].reason}" if validity and validity.doubts else ""


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
        load_ms=(timing.import_ms or 0.0) + timing.load_ms,
        peak_rss_bytes=measurement.peak_rss_bytes,
    )


def figures_in_words(figures: SmokeFigures) -> str:
    """`"1,204 inferences: latency p50 8.2 ms, p90 8.4 ms, load 84 ms, peak memory 61 MB"`."""
    memory = "" if figures.peak_rss_bytes is None else f", peak memory {bytes_in_words(figures.peak_rss_bytes)}"
    if figures.clock == "checks":
        return f"{figures.n:,} health checks without a mistake; this bundle's runner measures nothing by itself"
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
    """What the board said when it was asked, with the temperature that its runner saw at the end of its work: a second
    later it may be cooler."""
    hot = measured.conditions.temperature_c if measured else None
    if after is None or hot is None or hot <= (after.temperature_c or hot - 1):
        return after
    return structs.replace(after, temperature_c=hot)
