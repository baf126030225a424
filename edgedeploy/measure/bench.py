"""Timing a release on a device."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from msgspec import structs

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.measure.conditions import observe
from edgedeploy.measure.cooldown import cool_down
from edgedeploy.measure.durations import COUNTING, EMULATED, Durations, bounds_of, profile_bounds, shortfall
from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.measure.timed_run import Run, load, timed_run
from edgedeploy.measure.validity import validity
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.stats.latency import summary
from edgedeploy.targets.load import load_target
from edgedeploy.targets.roofline import least_latency_ms
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import BenchSettings, InstructionCount, Measurement, Timing
from edgedeploy.values.quality import Agreement

_BRANCHING = frozenset({"if", "loop", "scan", "while", "call_once"})
"""With these, what is computed depends on the data."""
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
    bounds = profile_bounds(profile, settings) if seconds is None else bounds_of(seconds, settings)
    if seconds is not None:
        profile = f"{seconds:g} s"
    if connection.emulated:
        bounds = COUNTING if connection.counts_instructions else EMULATED
        kept = BenchSettings(threads=settings.threads, affinity=settings.affinity)
        if structs.replace(kept, cold_load=settings.cold_load) != settings:
            progress.note(f"{connection.address} is emulated: of the settings, only threads and affinity are heeded")
        settings = kept
    cold_import_ms, cold_load_ms = _cold_load(connection, release, settings, progress)
    runs: list[Run] = []
    begun_at_c: float | None = None
    for number in range(1, settings.processes + 1):
        with conversation(connection, release) as talk:
            of_all = f", process {number} of {settings.processes}" if settings.processes > 1 else ""
            if settings.cooldown_s is not None:
                begun_at_c = cool_down(talk, begun_at_c, settings.cooldown_s, progress)
            progress.step(f"loading {release.id} on {connection.address}{of_all}")
            loaded = load(talk, release, settings)
            doing = "counting instructions" if connection.counts_instructions else "timing"
            progress.step(f"{doing} on {connection.address} ({profile}){of_all}")
            runs.append(timed_run(talk, loaded, bounds, settings, progress, watched=not connection.counts_instructions))
            if number == settings.processes:
                golden = _golden(talk, release, progress)
                observed = observe(talk, connection, release)
    if connection.counts_instructions:
        return structs.replace(observed, count=_count(runs[0]), golden=golden)
    timing = _timing(
        runs,
        release,
        bounds,
        clock="emulated" if connection.emulated else "device",
        profile=profile,
        settings=structs.replace(settings, warmup_runs=bounds.warmup, warmup_s=bounds.warmup_s),
    )
    timing = structs.replace(timing, cold_import_ms=cold_import_ms, cold_load_ms=cold_load_ms)
    if not connection.emulated:
        timing = structs.replace(timing, validity=validity(timing))
    return structs.replace(observed, timing=timing, golden=golden)


def _cold_load(
    connection: Connection, release: Release, settings: BenchSettings, progress: Progress
) -> tuple[float | None, float | None]:
    """Importing the runtime and loading the model in a process of their own, with the release's files not in memory."""
    if connection.emulated or not settings.cold_load:
        return None, None
    with conversation(connection, release) as talk:
        if "cold" not in talk.abilities:
            return None, None
        progress.step(f"loading {release.id} on {connection.address} from its disk")
        loaded = load(talk, release, settings, cold=True)
        return talk.field(loaded, "import_ms", float), talk.field(loaded, "load_ms", float)


def _count(run: Run) -> InstructionCount:
    return instruction_count(
        run.first_ns,
        run.instructions("warmup_ns"),
        run.instructions("samples_ns"),
        load=_as_instructions(run.load_ms),
        runtime_import=_as_instructions(run.import_ms),
    )


def _as_instructions(elapsed_ms: float) -> int | None:
    """What a counting board's clock gave for milliseconds; None where that is no number of instructions."""
    return round(elapsed_ms * 1e6) if 0 <= elapsed_ms < 1e12 else None


def _timing(
    runs: Sequence[Run],
    release: Release,
    bounds: Durations,
    *,
    clock: Literal["device", "emulated"],
    profile: str,
    settings: BenchSettings,
) -> Timing:
    processes = tuple(run.process() for run in runs)
    samples_ms = tuple(sample for run in runs for sample in run.samples_ms)
    least_ms = _least_ms(release)
    missed = dict.fromkeys(note for one in processes for note in shortfall(bounds, one.samples, one.elapsed_s))
    return Timing(
        clock=clock,
        profile=profile,
        import_ms=statistics.median(one.import_ms for one in processes),
        load_ms=statistics.median(one.load_ms for one in processes),
        first_inference_ms=statistics.median(one.first_inference_ms for one in processes),
        warmup_ms=tuple(sample for run in runs for sample in run.warmup_ms),
        samples_ms=samples_ms,
        summary=summary(samples_ms, notes=(*missed, *_too_fast(samples_ms, least_ms, release))),
        least_ms=least_ms,
        settings=settings,
        processes=processes,
        energy_mj=_energy_mj(runs),
    )


def _energy_mj(runs: Sequence[Run]) -> float | None:
    powers_w = [state.power_w for run in runs for state in run.states if state.phase == "steady"]
    known_w = [power_w for power_w in powers_w if power_w is not None]
    if not known_w:
        return None
    seconds = sum(run.elapsed_s for run in runs) / sum(len(run.samples_ms) for run in runs)
    return statistics.fmean(known_w) * seconds * 1e3


def _least_ms(release: Release) -> float | None:
    manifest = release.manifest
    try:
        target = load_target(manifest.target)
    except EdgedeployError:
        # The release may be of another machine's making, whose targets are not here.
        return None
    operators = {name.lower() for name in manifest.model.operators}
    if operators & _BRANCHING:
        return None
    # Of a table that is looked things up in, a few rows are read.
    looked_up = any(word in name for name in operators for word in ("gather", "lookup"))
    return least_latency_ms(
        target, macs=manifest.model.macs, weight_bytes=0 if looked_up else manifest.model.size_bytes
    )


def _too_fast(samples_ms: Sequence[float], least_ms: float | None, release: Release) -> tuple[str, ...]:
    median_ms = statistics.median(samples_ms)
    if least_ms is None or median_ms >= least_ms:
        return ()
    return (
        f"p50 is {median_ms:.3g} ms, and a {release.manifest.target} needs {least_ms:.3g} ms at least: "
        "the clock is wrong, or the device is another",
    )


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
