"""What a run on a device observed."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from edgedeploy.values.bundle import Source
from edgedeploy.values.quality import Agreement, AnswersKept, Broken, ByClass, MetricFigure
from edgedeploy.values.throttling import SLOWED_DOWN, Throttling


class Conditions(Struct, frozen=True, kw_only=True):
    """The device as it described itself while it was measured."""

    machine: str
    """`uname -m`"""
    kernel: str
    """`uname -sr`"""
    cpu: str
    """From `/proc/cpuinfo`: the model name, or implementer and part where Arm gives only those."""
    cpu_features: tuple[str, ...]
    cores: int
    os: str
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    load_average_1min: float | None
    temperature_c: float | None
    governor: str | None
    python: str
    runtime: dict[str, str]
    """Versions of the packages that ran the model, as they reported them."""
    emulated: bool
    """True when the device is a QEMU board: its wall-clock says nothing about a real one."""
    virtual_machine: str | None = None
    """The hypervisor's name where the device is a virtual machine: its times are real, and others may share its cores.
    A QEMU board that KVM ran has its name too: its times are then those of this machine's cores. None of hardware, and
    in files of earlier versions."""
    emulator: str | None = None
    """The emulator of a board that edgedeploy booted, and its version, e.g. `"QEMU 7.2.22"`: another one may count
    otherwise. None of other devices, and in files of earlier versions."""
    board: str | None = None
    """As the device tree names it, e.g. `"Raspberry Pi 4 Model B Rev 1.4"`."""
    clock_max_mhz: float | None = None
    """Of the fastest cluster, as the hardware allows it."""


class DeviceState(Struct, frozen=True, kw_only=True):
    """What changes while a device is measured, once a second; None where the device does not report it."""

    phase: Literal["before", "warm-up", "steady", "after"]
    samples: int = 0
    """Inferences of this phase so far."""
    elapsed_s: float = 0.0
    """Of this phase so far."""
    temperature_c: float | None = None
    """The hottest thermal zone."""
    clock_mhz: float | None = None
    """Of the fastest cluster."""
    throttled: int | None = None
    """A Raspberry Pi's bits: 0 under-voltage, 1 clock capped, 2 throttled, 3 soft temperature limit; 16 to 19, the same
    has happened since it was started (https://www.raspberrypi.com/documentation/computers/os.html#get_throttled)."""
    cooling: int | None = None
    """How many steps the kernel slows the cores down to keep them cool; 0 is not at all."""
    memory_available_bytes: int | None = None
    swap_used_bytes: int | None = None
    load_average_1min: float | None = None
    power_w: float | None = None
    """Of the largest power sensor: on most boards, all that it draws."""
    cpu_busy_s: float | None = None
    """Of all CPUs together since the start, by everybody."""
    cpu_own_s: float | None = None
    """Of them, by the process that is measured."""

    @property
    def throttling(self) -> Throttling:
        """The bits of `throttled`; none where the device does not report them."""
        return Throttling.of_bits(self.throttled or 0)

    @property
    def is_short_of_voltage(self) -> bool:
        return Throttling.UNDER_VOLTAGE in self.throttling

    @property
    def is_slowed_down(self) -> bool:
        return bool(self.throttling & SLOWED_DOWN) or (self.cooling or 0) > 0

    def throttling_since(self, before: DeviceState) -> Throttling:
        """Return the bits that were set after `before`: those of occurrences stay set until the board restarts."""
        return self.throttling & ~before.throttling


class Percentile(Struct, frozen=True, kw_only=True):
    """A percentile of the steady-state samples, and how sure it is if they are independent of each other."""

    share: float
    """0.9 is the 90th percentile."""
    value_ms: float | None
    """None when there are too few samples: `reason` says how many it would need."""
    low_ms: float | None = None
    """Lower bound of the 95 % confidence interval, a value that was observed; None as `high_ms`."""
    high_ms: float | None = None
    early_stopping_ms: float | None = None
    """MLPerf's estimate: the percentile is not above it with 99 % confidence."""
    reason: str = ""
    """Why a figure is None."""


class Drift(Struct, frozen=True, kw_only=True):
    """The median of the last third of a run against that of its first third."""

    first_ms: float
    last_ms: float
    relative: float
    """0.12 is 12 % slower at the end."""
    beyond_noise: bool
    """True when the 95 % confidence intervals of the two medians do not overlap."""


class Modes(Struct, frozen=True, kw_only=True):
    """Two values around which samples gather, with few between."""

    low_ms: float
    high_ms: float
    high_share: float
    """Of all samples, those nearer to `high_ms`."""
    ashman_d: float
    """Distance of the modes in units of their widths; at most 1000."""


class Outliers(Struct, frozen=True, kw_only=True):
    """Samples beyond Tukey's outer fences. They are counted, and stay in every figure."""

    below: int
    above: int
    low_fence_ms: float
    high_fence_ms: float
    largest_ms: float
    """The largest of all samples, whether it is an outlier or not."""


class Summary(Struct, frozen=True, kw_only=True):
    """Order statistics of the steady-state samples, in milliseconds of the device's own clock."""

    n: int
    min_ms: float
    p50_ms: float
    mean_ms: float
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mad_ms: float
    """Median absolute deviation from the median, not scaled."""
    notes: tuple[str, ...]
    """Why a run ended early; which percentiles are absent, and how many samples they would need."""
    percentiles: tuple[Percentile, ...] = ()
    """The 50th, 90th, 95th and 99th with their confidence intervals; none in files of earlier versions."""
    cv: float | None = None
    """Coefficient of variation: standard deviation / mean. None of a single sample."""
    modes: Modes | None = None
    """None when one is enough to describe the samples."""
    outliers: Outliers | None = None


class BenchSettings(Struct, frozen=True, kw_only=True):
    """How a release is timed, beside the profile."""

    warmup_runs: int | None = None
    """Inferences before those that count, at least; None is the profile's number."""
    warmup_s: float | None = None
    """Seconds of them, at least; None is the profile's number."""
    processes: int = 1
    """Fresh ones, each of which loads the model anew and runs the whole profile."""
    threads: int | None = None
    """Of one inference; None is what the release was compiled for, at most as many as there are CPUs."""
    affinity: tuple[int, ...] = ()
    """CPUs on which the process runs; none named is all that it may use."""
    every_ms: float | None = None
    """An inference begins each so many milliseconds; None is one after the other."""
    cold_load: bool = True
    """First load it once in a process of its own with its files read from the disk; on real devices only."""
    cooldown_s: float | None = None
    """Before each process but the first, wait at most so long until the device is as cool as before the first."""


class ProcessRun(Struct, frozen=True, kw_only=True):
    """What one process of a run did. Its samples lie in the timing's in the order of the processes."""

    import_ms: float | None
    """None, as `load_ms` and `first_inference_ms`, where what the device reports cannot be."""
    load_ms: float | None
    first_inference_ms: float | None
    warmup: int
    """How many of the timing's `warmup_ms` are its."""
    samples: int
    """How many of the timing's `samples_ms` are its."""
    elapsed_s: float
    """Of the steady state, pauses included."""
    p50_ms: float
    drift: Drift | None = None
    states: tuple[DeviceState, ...] = ()
    """Before, each second and after; none of a runner of an earlier version."""


class MeasurementWarning(Struct, frozen=True, kw_only=True):
    """Something that a measurement's figures suffer from."""

    reason: str
    """`"throttled for 14 of 60 s"`"""
    hint: str = field(name="mend")
    """What to do about it."""
    invalidates: bool = field(name="spoils")
    """True when the figures are not this release's on this device; else they only move more than they need to."""


class Validity(Struct, frozen=True, kw_only=True):
    """The verdict on a measurement itself."""

    outcome: Literal["stable", "unstable", "invalid"]
    warnings: tuple[MeasurementWarning, ...] = field(name="doubts", default=())
    """Empty when it is stable; at least one invalidates the figures when it is invalid."""


class Timing(Struct, frozen=True, kw_only=True):
    """The loop, timed on the device with `time.perf_counter_ns`."""

    clock: Literal["device", "emulated"]
    """`"emulated"` is not a latency and is kept out of every verdict."""
    profile: str
    load_ms: float | None
    """None, as `first_inference_ms`, where what the device reports cannot be."""
    first_inference_ms: float | None
    warmup_ms: tuple[float, ...]
    samples_ms: tuple[float, ...]
    summary: Summary
    import_ms: float | None = None
    """Importing the runtime, before the model is loaded."""
    least_ms: float | None = None
    """What no inference of this model can be faster than on the release's target; None where that is not known."""
    settings: BenchSettings | None = None
    processes: tuple[ProcessRun, ...] = ()
    """`import_ms`, `load_ms` and `first_inference_ms` are the medians of theirs; none in files of earlier versions."""
    cold_import_ms: float | None = None
    """As `import_ms` and `load_ms`, in a process before those, with the release's files read from the disk; None on an
    emulated board, and of a runner of an earlier version."""
    cold_load_ms: float | None = None
    energy_mj: float | None = None
    """For each inference, pauses included: the mean of `power_w` in the steady state, times its seconds. It is what
    the sensor sees, the idle board with it. None without a sensor."""
    validity: Validity | None = None
    """None on an emulated board, whose times are none, and in files of earlier versions."""


class InstructionCount(Struct, frozen=True, kw_only=True):
    """The loop, on an emulated board whose clock counts instructions. It is work, not time, and never a latency."""

    n: int
    per_inference: float
    """The median."""
    least: int
    most: int
    mad: float
    """Median absolute deviation from the median, not scaled."""
    first_inference: int
    warmup: tuple[int, ...]
    samples: tuple[int, ...]
    load: int | None = None
    """Loading the model, in a fresh process whose files may be in memory already."""
    runtime_import: int | None = None
    """Importing the runtime, before that."""


class Accuracy(Struct, frozen=True, kw_only=True):
    """A labelled dataset run on the device."""

    evaluation: str
    evaluation_sha256: str
    """Of the whole dataset; empty when a callable was not run to its end."""
    samples: int
    metric: MetricFigure | None
    host_metric: MetricFigure | None
    """The same model on the host in exact arithmetic."""
    agreement: Agreement
    """The device's outputs against those."""
    by_output: dict[str, Agreement] = {}
    """Of each output by itself, where the model has several."""
    by_group: dict[str, Agreement] = {}
    """Of each group of channels that means something else than the others of its output."""
    kept: AnswersKept | None = None
    """Of the host's detections, pixels or text; None where no head is declared, or it finds none."""
    partial: bool = False
    """True when only the first `samples` of the dataset were run: no figure over all of it is known."""
    skipped: int = 0
    """Samples that could not be read and were left out, as was asked."""
    skipped_samples: tuple[str, ...] = ()
    """The first 20 of them, each with the reason."""
    classes: ByClass | None = None
    """The device against the host; None unless the metric is top1."""
    broken: Broken | None = None
    """Likewise, with any metric; None without labels."""


class MeasuredRelease(Struct, frozen=True, kw_only=True):
    """Which release was measured."""

    name: str
    version: str
    id: str
    target: str
    model_sha256: str
    model_size_bytes: int
    parameters: int
    bundle_size_bytes: int
    source: Source | None


class Measurement(Struct, frozen=True, kw_only=True):
    """One run. `bench` fills `timing` or `count`, `test` fills `accuracy`, `ship` both."""

    schema: int
    device: str
    taken_at: str
    """UTC, ISO 8601."""
    release: MeasuredRelease
    conditions: Conditions
    peak_rss_bytes: int | None
    """Largest resident set of the runner's process, the runtime included."""
    rss_bytes: int | None = None
    """Its resident set once it is done, the model still loaded. Exact, where the kernel counts the peak with a delay of
    some hundred kilobytes."""
    pss_bytes: int | None = None
    """Of that, its proportional share of what it has in common with other processes."""
    timing: Timing | None = None
    count: InstructionCount | None = None
    """In place of `timing`, where the board's clock counts instructions."""
    accuracy: Accuracy | None = None
    golden: Agreement | None = None
    """Outputs for the bundle's golden inputs against its golden outputs."""
