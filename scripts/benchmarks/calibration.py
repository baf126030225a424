"""Compare time and peak memory of calibration with onnxruntime.quantization's, on the same models and data.

Usage: scripts/bench calibration [--samples 32,128,512] [--memory-limit GB] [--one-core] [--out FILE.md]

Every figure comes from a process of its own. Its time runs from opening the model to having the ranges, without
imports; its memory is the largest resident set of the whole process (VmHWM in /proc/self/status). Both sides read the
same samples through the same reader, and take the ranges of the same tensors: those that onnxruntime chooses for Conv,
MatMul and Gemm. Ours and theirs take turns, and short runs are made several times: the table shows the shortest time,
since other work on the machine only ever adds to it, and the largest memory. On a machine that is never quiet,
`--one-core` pins every process to one core and counts its CPU seconds instead.

Exits 1 when ours was slower anywhere, or took more than a quarter of their memory at the most samples with a method
that needs histograms.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import onnx_ir as ir
from rich.console import Console

from edgedeploy import api
from edgedeploy.datasets.dataset import Dataset, open_dataset
from edgedeploy.inference.onnxruntime import host_isa
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.quantize.calibration import calibrate
from edgedeploy.optimize.recipes.pipeline import run_passes

Who = Literal["edgedeploy", "onnxruntime"]
Method = Literal["min-max", "percentile", "entropy"]

_MODELS = Path(".venv/demo-model/rapidocr_onnxruntime/models")
_OPERATORS = ["Conv", "MatMul", "Gemm"]
_SHARE = 0.25
_SHORT_SECONDS = 3.0
_TURNS = 3
_PATIENCE_SECONDS = 300


class CalibrationSubject(msgspec.Struct, frozen=True):
    """A model and its samples."""

    title: str
    model: str
    """Path."""
    data: str
    """Path."""


class Job(msgspec.Struct, frozen=True):
    """What one process does."""

    who: Who
    method: Method
    samples: int
    subject: CalibrationSubject
    tensors: list[str]
    memory_limit: float
    """GB of address space."""
    one_core: bool
    """Take one core, and the CPU's time."""


class CalibrationOutcome(msgspec.Struct, frozen=True):
    """What one process has to say. `failure` is empty when it came to its end."""

    seconds: float = 0.0
    peak_bytes: int = 0
    ranges: dict[str, tuple[float, float]] = {}
    failure: str = ""


class Measured(msgspec.Struct, frozen=True):
    """The turns of one job, taken together."""

    seconds: float
    peak_bytes: int
    ranges: dict[str, tuple[float, float]]
    failure: str


def dataset_of(subject: CalibrationSubject) -> Dataset:
    return open_dataset(subject.data, api.inspect(Path(subject.model)).inputs)


class _DatasetReader:
    """What onnxruntime takes for a CalibrationDataReader: anything with `get_next`."""

    def __init__(self, dataset: Dataset, samples: int) -> None:
        self._feeds = (dict(sample.feed) for sample in itertools.islice(dataset.samples(), samples))

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._feeds, None)


def calibrator_of(model: str, method: Method, folder: str) -> Any:
    """onnxruntime's, with its own settings."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    methods = {
        "min-max": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    augmented = str(Path(folder) / "augmented.onnx")
    return create_calibrator(model, _OPERATORS, augmented, calibrate_method=methods[method])


def work(job: Job) -> CalibrationOutcome:
    """Calibrate, in this process."""
    dataset = dataset_of(job.subject)
    now = time.process_time if job.one_core else time.perf_counter
    if job.who == "edgedeploy":
        begun = now()
        context = Context(calibration=dataset)
        found = calibrate(ir.load(job.subject.model), job.tensors, context, method=job.method, limit=job.samples).ranges
        seconds = now() - begun
        ranges = {name: (one.low, one.high) for name, one in found.items()}
    else:
        importlib.import_module("onnxruntime.quantization.calibrate")  # not to be timed
        with tempfile.TemporaryDirectory() as folder:
            begun = now()
            calibrator = calibrator_of(job.subject.model, job.method, folder)
            calibrator.collect_data(_DatasetReader(dataset, job.samples))
            data = calibrator.compute_data().data
            seconds = now() - begun
        ranges = {name: tuple(np.ravel(one.range_value).tolist()) for name, one in data.items()}
    return CalibrationOutcome(seconds=seconds, peak_bytes=peak_bytes(), ranges=ranges)


def peak_bytes() -> int:
    """The largest resident set of this process since it was started. (`ru_maxrss` may be the parent's.)"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status")


def child(job: Job, answer: Path) -> None:
    """Do `job` within its memory limit and write the outcome to `answer`."""
    limit = int(job.memory_limit * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if job.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        outcome = work(job)
    except Exception as error:
        # onnxruntime's classes have no common base of their own, and tell a failed allocation by its words only.
        words = " ".join(str(error).split())
        no_memory = isinstance(error, MemoryError) or "alloc" in words.lower()
        failure = f"out of memory (limit {job.memory_limit:.3g} GB)" if no_memory else f"fails: {words[:80]}"
        outcome = CalibrationOutcome(failure=failure, peak_bytes=peak_bytes())
    answer.write_bytes(msgspec.json.encode(outcome))


def run(job: Job) -> CalibrationOutcome:
    """Do `job` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [
            sys.executable,
            "-m",
            "benchmarks.calibration",
            "--child",
            msgspec.json.encode(job).decode(),
            "--out",
            str(answer),
        ]
        try:
            ended = subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=_PATIENCE_SECONDS
            )
        except subprocess.TimeoutExpired:
            return CalibrationOutcome(failure=f"stopped after {_PATIENCE_SECONDS} s")
        if not answer.exists():
            words = ended.stderr.decode(errors="replace").strip().splitlines() or ["without a word"]
            return CalibrationOutcome(failure=f"ended with {ended.returncode}: {words[-1][:80]}")
        return msgspec.json.decode(answer.read_bytes(), type=CalibrationOutcome)


def measure(jobs: Sequence[Job]) -> list[Measured]:
    """Do the jobs in turns."""
    outcomes: list[list[CalibrationOutcome]] = [[] for _ in jobs]
    for turn in range(_TURNS):
        for job, so_far in zip(jobs, outcomes, strict=True):
            # What is slow is steady enough, and what fails once fails again.
            if not turn or (not so_far[-1].failure and so_far[-1].seconds < _SHORT_SECONDS):
                so_far.append(run(job))
    return [
        Measured(
            min(one.seconds for one in turns),
            max(one.peak_bytes for one in turns),
            turns[-1].ranges,
            turns[-1].failure,
        )
        for turns in outcomes
    ]


def prepare(folder: Path, samples: int) -> Iterator[CalibrationSubject]:
    """The text detector on pages, and the direction classifier on text lines, which PP-OCR was trained for."""
    from wild.pictures import pages, turned_lines

    for title, file, draw in (
        ("PP-OCRv4 text detector, 3 × 224 × 224", "ch_PP-OCRv4_det_infer", functools.partial(pages, side=224)),
        ("PP-OCR text-direction classifier, 3 × 48 × 192", "ch_ppocr_mobile_v2.0_cls_infer", turned_lines),
    ):
        # Weights in Constant nodes are taken for activations by onnxruntime's calibrators: folded, there are none.
        model, _ = run_passes(ir.load(_MODELS / f"{file}.onnx"), api.load_recipe("fold").passes, Context())
        subject = CalibrationSubject(title, str(folder / f"{file}.onnx"), str(folder / f"{file}.npz"))
        ir.save(model, subject.model)
        np.savez(subject.data, x=draw("calibration", samples, 20260303)["x"])
        yield subject


def tensors_of(subject: CalibrationSubject) -> list[str]:
    """Those that onnxruntime chooses."""
    with tempfile.TemporaryDirectory() as folder:
        calibrator = calibrator_of(subject.model, "percentile", folder)
        return sorted(calibrator.tensors_to_calibrate)


def difference(ours: Measured, theirs: Measured) -> float:
    """The largest difference between ranges, relative to the range; zero belongs to each of ours."""
    return max(
        max(abs(low - min(0.0, *other)), abs(high - max(0.0, *other))) / (max(high - low, 1e-12))
        for name, (low, high) in ours.ranges.items()
        for other in (theirs.ranges[name],)
    )


def compare(
    subject: CalibrationSubject, sizes: Sequence[int], *, limit: float, one_core: bool, console: Console
) -> tuple[list[str], list[str]]:
    """Lines of the document about one subject, and the sentences that say where a goal was missed."""
    tensors = tensors_of(subject)
    lines = [
        f"## {subject.title}",
        "",
        f"{Path(subject.model).stat().st_size / 1e6:.1f} MB, {len(tensors)} tensors watched.",
        "",
        "| method | samples | onnxruntime | edgedeploy | time | onnxruntime | edgedeploy | memory |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    missed: list[str] = []
    notes: list[str] = []
    for method in get_args(Method):
        for samples in sizes:
            jobs = [Job(who, method, samples, subject, tensors, limit, one_core) for who in reversed(get_args(Who))]
            theirs, ours = measure(jobs)
            where = f"{subject.title}: {method}, {samples} samples"
            console.print(f"{where}: {_time(theirs)} → {_time(ours)}, {_memory(theirs)} → {_memory(ours)}")
            # Where theirs ran out of memory, they wanted more than the limit.
            share = ours.peak_bytes / (limit * 1e9 if theirs.failure else theirs.peak_bytes)
            times = "–" if theirs.failure else f"× {ours.seconds / theirs.seconds:.2f}"
            shares = f"{'< ' if theirs.failure else ''}× {share:.2f}"
            columns = (method, samples, _time(theirs), _time(ours), times, _memory(theirs), _memory(ours), shares)
            lines.append(f"| {' | '.join(map(str, columns))} |")
            if ours.failure:
                missed.append(f"{where}: ours {ours.failure}")
            elif not theirs.failure and ours.seconds > theirs.seconds:
                missed.append(f"{where}: ours is slower")
            if samples == max(sizes) and method != "min-max" and share > _SHARE:
                missed.append(f"{where}: ours takes more than a quarter of their memory")
            if method == "min-max" and samples == min(sizes) and not theirs.failure:
                notes = [f"Ranges by min-max differ by {difference(ours, theirs):.0e} of the range at most.", ""]
    return [*lines, "", *notes], missed


def _time(measured: Measured) -> str:
    return measured.failure or f"{measured.seconds:.2f} s"


def _memory(measured: Measured) -> str:
    return measured.failure or f"{measured.peak_bytes / 1e6:,.0f} MB"


def document(sections: Sequence[str], missed: Sequence[str], *, one_core: bool) -> str:
    import onnxruntime

    flag = " --one-core" if one_core else ""
    cores = "CPU seconds on one core" if one_core else f"{len(os.sched_getaffinity(0))} cores"
    return "\n".join(
        [
            "# Calibration compared with onnxruntime.quantization",
            "",
            f"Made by `scripts/bench calibration{flag}`, which says how it measures. Each row is one "
            "run on the same data.",
            "It has the seconds from opening the model until all ranges are known, and the largest resident set of",
            "the whole process. Python and onnxruntime themselves take about 120 MB of it. onnxruntime's calibrators",
            "have their own settings: their percentile is the 99.999th of magnitudes, and their entropy method has",
            "128 bins and 128 levels, so there is only one range to choose from. edgedeploy uses the 99.99th",
            "percentile on each side, and 128 ranges.",
            "",
            f"onnxruntime {onnxruntime.__version__}, NumPy {np.__version__}, {cores}, {host_isa()}.",
            "",
            *sections,
            "The goals: not slower for any number of samples; with percentile and entropy, at most a quarter of the",
            "memory at the largest number of samples.",
            "",
            *(
                [f"- missed: {sentence}" for sentence in missed]
                or ["Both are met in every row. Where onnxruntime ran out of memory, there is no time to compare with."]
            ),
            "",
        ]
    )


def memory_limit_gb() -> float:
    """Half of what is free, 10 GB at most: enough to see what happens, and whatever else runs lives on."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return float(min(10, int(0.5 * int(line.split()[1]) * 1024 / 1e9)))
    return 4.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench calibration", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", default="32,128,512", metavar="N,N", help="sizes to compare at (32,128,512)")
    parser.add_argument("--memory-limit", type=float, default=memory_limit_gb(), metavar="GB", help="of each process")
    parser.add_argument("--one-core", action="store_true", help="pin to one core and count its CPU seconds")
    parser.add_argument("--out", type=Path, default=Path("docs/bench_calibration.md"), metavar="FILE.md")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(msgspec.json.decode(arguments.child, type=Job), arguments.out)
        return
    sizes = sorted(int(size) for size in arguments.samples.split(","))
    console = Console(stderr=True)
    sections: list[str] = []
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in prepare(Path(folder), sizes[-1]):
            lines, failures = compare(
                subject, sizes, limit=arguments.memory_limit, one_core=arguments.one_core, console=console
            )
            sections += lines
            missed += failures
    text = document(sections, missed, one_core=arguments.one_core)
    arguments.out.write_text(text, encoding="utf-8")
    print(text)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
