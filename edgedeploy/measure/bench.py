"""Timing a release on a device."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct, structs

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.measure.conditions import observe
from edgedeploy.measure.cooldown import cool_down
from edgedeploy.measure.durations import COUNTING, EMULATED, Durations, bounds_of, profile_bounds, shortfall
from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.measure.least_latency import release_least_ms, too_fast_in_words
from edgedeploy.measure.loading import cold_load_ms, load
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.measure.timed_run import Run, timed_run
from edgedeploy.measure.validity import validity
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.stats.latency import summary
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import BenchSettings, InstructionCount, Measurement, Timing
from edgedeploy.values.quality import Agreement

DEFAULT = BenchSettings()


def bench(
    connection: Connection,
    release: Release,
    *,
    profile: str = "standard",
    seconds: float | None = None,
    settings: BenchSettings = DEFAULT,
    progress: Progress = SILENT,
) -> Measurement:
    """Load the release in a fresh process on the device, and time its inferences there on the golden inputs.

    On an emulated board (`connection.emulated`) the timing's clock is `"emulated"`: it is no latency, and the run is
    short whatever the profile, with one process, without pauses. On one whose clock counts instructions, there is no
    timing but a count.

    Args:
        profile: `"smoke"` (64 samples and 6 s), `"standard"` (1,024 and 60 s) or `"long"` (1,024 and 600 s). Each
            process runs until both are reached, at most for 60, 600 or 1,800 s.
        seconds: measure for so long in place of a profile, however few samples that gives.

    Raises:
        UnknownNameError: there is no such profile.
        UnsupportedError: the release's runner is of an earlier version and cannot do what `settings` asks for; or the
            outputs are not of the golden ones' shape or not real numbers, so nothing can be compared.
        DeviceError: the runner fails, or the device sends what is not its protocol.
        UnreachableError: the connection was lost.
    """
    plan = _plan(connection, profile, seconds, settings, progress)
    cold_import_ms, cold_ms = cold_load_ms(connection, release, plan.settings, progress)
    runs, observed = _runs(connection, release, plan, progress)
    if connection.counts_instructions:
        return structs.replace(observed, count=_count(runs[0]))
    timing = structs.replace(
        _timing(runs, release, plan, clock="emulated" if connection.emulated else "device"),
        cold_import_ms=cold_import_ms,
        cold_load_ms=cold_ms,
    )
    if not connection.emulated:
        timing = structs.replace(timing, validity=validity(timing))
    return structs.replace(observed, timing=timing)


class _Plan(Struct, frozen=True):
    """How this connection is measured."""

    profile: str
    """Its name, as it is printed."""
    bounds: Durations
    settings: BenchSettings


def _plan(
    connection: Connection, profile: str, seconds: float | None, settings: BenchSettings, progress: Progress
) -> _Plan:
    """Choose the durations. An emulated board gets short ones and none of the settings that are about time."""
    if seconds is None:
        bounds = profile_bounds(profile, settings)
    else:
        profile, bounds = f"{seconds:g} s", bounds_of(seconds, settings)
    if not connection.emulated:
        return _Plan(profile, bounds, settings)
    kept = BenchSettings(threads=settings.threads, affinity=settings.affinity)
    if structs.replace(kept, cold_load=settings.cold_load) != settings:
        progress.note(f"{connection.address} is emulated: all settings but threads and affinity are ignored")
    return _Plan(profile, COUNTING if connection.counts_instructions else EMULATED, kept)


def _runs(connection: Connection, release: Release, plan: _Plan, progress: Progress) -> tuple[list[Run], Measurement]:
    """Time each process. The last one also compares with the golden outputs and observes the device."""
    settings, counts = plan.settings, connection.counts_instructions
    doing = "counting instructions" if counts else "timing"
    runs: list[Run] = []
    begun_at_c: float | None = None
    while True:
        of_all = f", process {len(runs) + 1} of {settings.processes}" if settings.processes > 1 else ""
        with conversation(connection, release) as talk:
            if settings.cooldown_s is not None:
                begun_at_c = cool_down(talk, begun_at_c, settings.cooldown_s, progress)
            progress.step(f"loading {release.id} on {connection.address}{of_all}")
            loaded = load(talk, release, settings)
            progress.step(f"{doing} on {connection.address} ({plan.profile}){of_all}")
            runs.append(timed_run(talk, loaded, plan.bounds, settings, progress, watched=not counts))
            if len(runs) >= settings.processes:
                golden = _golden(talk, release, progress)
                return runs, structs.replace(observe(talk, connection, release), golden=golden)


def _count(run: Run) -> InstructionCount:
    return instruction_count(
        run.first_ns,
        run.instructions("warmup_ns"),
        run.instructions("samples_ns"),
        load=_as_instructions(run.load_ms),
        runtime_import=_as_instructions(run.import_ms),
    )


def _as_instructions(elapsed_ms: float | None) -> int | None:
    """What a counting board's clock gave for milliseconds."""
    return None if elapsed_ms is None else round(elapsed_ms * 1e6)


def _timing(runs: Sequence[Run], release: Release, plan: _Plan, *, clock: Literal["device", "emulated"]) -> Timing:
    bounds = plan.bounds
    processes = tuple(run.process() for run in runs)
    samples_ms = tuple(sample for run in runs for sample in run.samples_ms)
    least_ms = release_least_ms(release)
    notes = [note for process in processes for note in shortfall(bounds, process.samples, process.elapsed_s)]
    if too_fast := too_fast_in_words(statistics.median(samples_ms), least_ms, f"a {release.manifest.target}"):
        notes.append(f"{too_fast}: the clock is wrong, or this is another device")
    return Timing(
        clock=clock,
        profile=plan.profile,
        import_ms=_median(process.import_ms for process in processes),
        load_ms=_median(process.load_ms for process in processes),
        first_inference_ms=_median(process.first_inference_ms for process in processes),
        warmup_ms=tuple(sample for run in runs for sample in run.warmup_ms),
        samples_ms=samples_ms,
        summary=summary(samples_ms, notes=tuple(dict.fromkeys(notes))),
        least_ms=least_ms,
        settings=structs.replace(plan.settings, warmup_runs=bounds.warmup, warmup_s=bounds.warmup_s),
        processes=processes,
        energy_mj=_energy_mj(runs),
    )


def _median(figures: Iterable[float | None]) -> float | None:
    """Return the median of the figures that are known; None where one is not."""
    known = list(figures)
    return statistics.median(figure for figure in known if figure is not None) if None not in known else None


def _energy_mj(runs: Sequence[Run]) -> float | None:
    """Return millijoules per inference: mean power of the steady state, times its seconds; None without a sensor."""
    powers_w = [state.power_w for run in runs for state in run.states if state.phase == "steady"]
    known_w = [power_w for power_w in powers_w if power_w is not None]
    if not known_w:
        return None
    seconds = sum(run.elapsed_s for run in runs) / sum(len(run.samples_ms) for run in runs)
    return statistics.fmean(known_w) * seconds * 1e3


def _golden(talk: Conversation, release: Release, progress: Progress) -> Agreement | None:
    manifest = release.manifest
    if not manifest.golden_samples:
        return None
    progress.step("comparing with the golden outputs")
    agreement = AgreementAccumulator()
    for index in range(manifest.golden_samples):
        talk.send({"do": "golden", "index": index})
        _, arrays = talk.receive()
        agreement.add(
            [talk.output(arrays, f"found:{output.name}") for output in manifest.model.outputs],
            [talk.output(arrays, f"output:{output.name}") for output in manifest.model.outputs],
        )
    return agreement.figure()
