"""Measure how far the figures can be trusted, on this machine and in one run.

Usage: scripts/bench measure [--boots N] [--clean N] [--regressed N] [--folder FOLDER]

1. The same release is counted after each of several boots of an emulated Pi 4, half of them with all of this machine's
   cores kept busy beside it, and timed on this machine in the same minutes.
2. A baseline is saved from one run. Then runs of the same release, and of one with about 1 % more work seeded into its
   graph, are held against it in random order: how many regressions are caught, how many alarms are false.
3. On the same board, the runner's figure against a bare loop around the same runtime.

The model is the demo's, a trained text direction classifier. Each run is a line in FOLDER/measure.jsonl; runs add to it
(--fresh begins anew). Once there is some of all, writes docs/bench_measure.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from fonts.ttf import font_files

from benchmarks import ROOT
from edgedeploy import api
from edgedeploy.compile.build import compile_model
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import BoardStatus, board_down, board_up, emulated_board
from edgedeploy.device.probe.probe import probe
from edgedeploy.targets.fit import fit_target
from edgedeploy.values.bundle import Bundle, Release
from edgedeploy.values.contract import Outcome
from edgedeploy.values.measurement import Measurement
from edgedeploy.verdict.baseline import baseline_of, check_baseline, load_baseline, save_baseline
from edgedeploy.workflows.demo.text_lines import CALIBRATION_WORDS, draw_set

_DOCUMENT = ROOT / "docs" / "bench_measure.md"
_MODEL = Path(sys.prefix) / "demo-model/rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
_BOOTED = ("onnxruntime", "onnxruntime-int8", "onnxruntime-c", "native")
"""A backend, and whether the model is its INT8 version."""
_GATED = "native"
"""What the gate is tried on: its runs take a third of the time."""
_SEEDED_COLUMNS = 8
_RUNS_BETWEEN_BOOTS = 20
_WIDTH = 192
"""Of the model's input."""

# The loop that anybody would write; what it takes is told by the clock before it and after it.
_BARE_LOOP = """
import sys, time
sys.path.insert(0, sys.argv[1])
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])
feed = dict(numpy.load(sys.argv[3]))
feed = {each.name: feed["input:" + each.name] for each in session.get_inputs()}
for _ in range(4):
    session.run(None, feed)
begun = time.perf_counter_ns()
for _ in range(32):
    session.run(None, feed)
print((time.perf_counter_ns() - begun) / 32)
"""


def seeded(model: Path, out: Path, columns: int) -> None:
    """The same model with a matrix product more, whose result changes the answer by less than a float's last digit."""
    proto = onnx.load(model)
    graph = proto.graph
    x, y = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.output[:] = ["plain_" + name if name == y else name for name in node.output]
        node.input[:] = ["plain_" + name if name == y else name for name in node.input]
    width = graph.input[0].type.tensor_type.shape.dim[3].dim_value or _WIDTH
    weights = np.random.default_rng(0).standard_normal((width, columns)).astype(np.float32)
    graph.initializer.extend(
        (
            onnx.numpy_helper.from_array(weights, "seeded_w"),
            onnx.numpy_helper.from_array(np.asarray(1e-30, np.float32), "seeded_tiny"),
        )
    )
    graph.node.extend(
        (
            onnx.helper.make_node("MatMul", [x, "seeded_w"], ["seeded_c"]),
            onnx.helper.make_node("ReduceMean", ["seeded_c"], ["seeded_m"], axes=[1, 2, 3], keepdims=0),
            onnx.helper.make_node("ReduceMean", ["seeded_m"], ["seeded_s"], axes=[0], keepdims=0),
            onnx.helper.make_node("Mul", ["seeded_s", "seeded_tiny"], ["seeded_z"]),
            onnx.helper.make_node("Add", ["plain_" + y, "seeded_z"], [y]),
        )
    )
    onnx.checker.check_model(proto)
    onnx.save(proto, out)


def bundles(folder: Path) -> dict[str, Bundle]:
    """What is booted, and `{_GATED}-seeded`."""
    fonts = [path for _, path in sorted(font_files.items())]
    golden = folder / "golden.npz"
    images, _ = draw_set(CALIBRATION_WORDS, fonts, 8, 2)
    np.savez(golden, x=images)
    target = api.load_target("rpi4")
    models = {"-int8": folder / "int8.onnx", "-seeded": folder / "seeded.onnx"}
    api.optimize(
        _MODEL, api.load_recipe("int8"), models["-int8"], calibration=str(golden), target=target,
        allowed=("loss", "slower"),
    )  # fmt: skip
    seeded(_MODEL, models["-seeded"], _SEEDED_COLUMNS)
    found = {}
    for name in (*_BOOTED, f"{_GATED}-seeded"):
        suffix = next((suffix for suffix in models if name.endswith(suffix)), "")
        backend = name.removesuffix(suffix)
        found[name] = compile_model(
            models.get(suffix, _MODEL), target, folder / f"{name}.bundle", name=backend,
            version=suffix.strip("-") or "plain", backend=backend, golden=str(golden),
        )  # fmt: skip
    return found


def _spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def load(busy: bool) -> Iterator[None]:
    """All cores of this machine, kept busy."""
    context = multiprocessing.get_context("spawn")
    hogs = [context.Process(target=_spin, daemon=True) for _ in range((os.cpu_count() or 1) if busy else 0)]
    for hog in hogs:
        hog.start()
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.join()


class TrustBench:
    def __init__(self, board: BoardStatus, folder: Path, record: Path) -> None:
        self._board, self._folder, self._record = board, folder, record
        self._bundles = bundles(folder)
        self.facts = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []

    def note(self, **facts: object) -> None:
        self.facts.append(facts)
        with self._record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        print(facts, file=sys.stderr, flush=True)

    def boot(self) -> None:
        board_down(self._board.name)
        board_up(self._board.name)

    def release(self, device: Connection, name: str) -> Release:
        """The bundle, current on the device."""
        return api.push(self._bundles[name], device).release

    def boots(self, count: int) -> None:
        done = sum(fact["part"] == "boot" for fact in self.facts) // (len(_BOOTED) + 1)
        for number in range(done, count):
            busy = bool(number % 2)
            self.boot()
            with load(busy):
                with api.connect(self._board.address) as device:
                    for name in _BOOTED:
                        measured = api.bench(device, self.release(device, name))
                        assert measured.count is not None
                        counted = {"median": measured.count.per_inference, "samples": measured.count.samples}
                        self.note(part="boot", number=number, busy=busy, what=name, **counted)
                self.note(part="boot", number=number, busy=busy, what="wall-clock", median=_host_ms(self._folder))

    def gate(self, clean: int, regressed: int) -> None:
        done = [fact["what"] for fact in self.facts if fact["part"] == "gate"]
        plan = ["clean"] * (clean - done.count("clean")) + ["regressed"] * (regressed - done.count("regressed"))
        random.Random(len(done)).shuffle(plan)
        kept = self._folder / "baseline.json"
        if not done:
            kept.unlink(missing_ok=True)
        for number, what in enumerate(plan):
            if number % _RUNS_BETWEEN_BOOTS == 0:
                self.boot()
            with api.connect(self._board.address) as device:
                if not kept.exists():
                    save_baseline(baseline_of([_counted(device, self.release(device, _GATED))]), kept)
                baseline = load_baseline(kept)
                name = _GATED if what == "clean" else f"{_GATED}-seeded"
                measured = _counted(device, self.release(device, name))
            assert measured.count is not None
            verdict = check_baseline(baseline, baseline_of([measured]))
            before = baseline.entries[0].instructions[0].median
            ratio = measured.count.per_inference / before
            self.note(part="gate", what=what, ratio=ratio, alarm=verdict.outcome is Outcome.BREAKS)

    def runner(self, rounds: int) -> None:
        done = sum(fact["part"] == "runner" for fact in self.facts)
        for _ in range(done, rounds):
            with api.connect(self._board.address) as device:
                release = self.release(device, "onnxruntime")
                place = release.path
                script = ["python3", "-c", _BARE_LOOP, f"{place}/runtime/python", f"{place}/model.onnx"]
                bare = device.run([*script, f"{place}/golden/0000.npz"], timeout_s=300.0)
                if bare.exit_status:
                    raise RuntimeError(bare.stderr.decode()[-2000:])
                measured = _counted(device, release)
                assert measured.count is not None
                self.note(part="runner", bare=float(bare.stdout), runner=measured.count.per_inference)


def _counted(device: Connection, release: Release) -> Measurement:
    return api.bench(device, release)


def _host_ms(folder: Path) -> float:
    """The median of one inference on this machine, over six seconds in a process of its own."""
    with api.connect(f"local:{folder / 'host'}") as device:
        timed = api.bench(device, api.current_release(device), profile="smoke")
    assert timed.timing is not None
    return timed.timing.summary.p50_ms


def spread(figures: list[float]) -> float:
    """Between the largest and the smallest, relative to the median."""
    return (max(figures) - min(figures)) / statistics.median(figures) if figures else float("nan")


def document(facts: list[dict[str, object]]) -> str:
    boots = [fact for fact in facts if fact["part"] == "boot"]
    lines = [
        "# Reliability of the figures",
        "",
        "Made by:",
        "",
        "    scripts/bench measure",
        "",
        f"On a machine with {os.cpu_count()} cores. The model is the demo's trained text direction classifier.",
        "",
        "## The same release over several boots, with and without load",
        "",
        "Each figure is the median of a run in a fresh process; for counts, after a separate boot. «Busy» means:",
        "beside a process on each core of this machine that only takes time. Spread is the largest figure minus",
        "the smallest, relative to the median.",
        "",
        "| | runs | median | spread, quiet | spread, busy | spread, all | busy / quiet |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for what, unit in (
        *((name, "") for name in _BOOTED),
        ("wall-clock", " ms"),
    ):
        mine = [fact for fact in boots if fact["what"] == what]
        quiet, busy = ([float(str(one["median"])) for one in mine if one["busy"] is flag] for flag in (False, True))
        shown = f"{statistics.median(quiet + busy):,.3f}{unit}" if unit else f"{statistics.median(quiet + busy):,.0f}"
        spreads = " | ".join(f"{spread(one):.4%}" for one in (quiet, busy, quiet + busy))
        change = statistics.median(busy) / statistics.median(quiet) if busy and quiet else float("nan")
        title = "wall-clock of this machine" if unit else f"{what}, guest instructions"
        lines.append(f"| {title} | {len(mine)} | {shown} | {spreads} | {change:.4f} |")
    gate = [fact for fact in facts if fact["part"] == "gate"]
    lines += [
        "",
        "## The gate",
        "",
        f"`baseline check` with its defaults (0.5 % of guest instructions), {_GATED}. Each run is a fresh process;",
        f"the order is random; the board is booted again every {_RUNS_BETWEEN_BOOTS} runs. The "
        "regression is a matrix product that",
        "was added to the graph.",
        "",
        "| | runs | work, of the baseline's | alarms |",
        "|---|---:|---:|---:|",
    ]
    for what in ("clean", "regressed"):
        mine = [fact for fact in gate if fact["what"] == what]
        ratios = [float(str(fact["ratio"])) for fact in mine]
        alarms = sum(bool(fact["alarm"]) for fact in mine)
        lines.append(f"| {what} | {len(mine)} | {min(ratios):.5f} to {max(ratios):.5f} | **{alarms}** |")
    runner = [fact for fact in facts if fact["part"] == "runner"]
    ratios = [float(str(fact["runner"])) / float(str(fact["bare"])) for fact in runner]
    lines += [
        "",
        "## Overhead of the runner",
        "",
        "Guest instructions of an inference as reported by the runner, compared with a bare loop around",
        "`session.run` on the same board, one after the other in fresh processes:",
        "",
        "| runs | bare loop | runner | runner / bare |",
        "|---:|---:|---:|---:|",
        f"| {len(runner)} | {statistics.median(float(str(fact['bare'])) for fact in runner):,.0f} "
        f"| {statistics.median(float(str(fact['runner'])) for fact in runner):,.0f} "
        f"| {min(ratios):.5f} to {max(ratios):.5f} |",
        "",
        "Tests compare the statistics with scipy and published tables: `tests/stats`.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench measure", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--boots", type=int, default=10)
    parser.add_argument("--clean", type=int, default=100, help="runs of the gate without a regression")
    parser.add_argument("--regressed", type=int, default=10, help="runs of the gate with one")
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv" / "bench-measure", help="for the results")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    record = arguments.folder / "measure.jsonl"
    if arguments.fresh:
        record.unlink(missing_ok=True)
    begun = time.monotonic()
    with emulated_board("bench-measure", target="rpi4", counting=True) as board:
        bench = TrustBench(board, arguments.folder, record)
        with api.connect(f"local:{arguments.folder / 'host'}") as host:
            fitting = fit_target(probe(host))
            assert fitting is not None
            model = compile_model(
                _MODEL, fitting[0], arguments.folder / "host.bundle", name="host", version="1",
                golden=str(arguments.folder / "golden.npz"),
            )  # fmt: skip
            api.push(model, host)
        bench.boots(arguments.boots)
        bench.runner(5)
        bench.gate(arguments.clean, arguments.regressed)
    if {str(fact["part"]) for fact in bench.facts} == {"boot", "gate", "runner"}:
        text = document(bench.facts)
        _DOCUMENT.write_text(text, encoding="utf-8")
        print(text)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
    alarms = [fact for fact in bench.facts if fact["part"] == "gate"]
    return 0 if all(bool(fact["alarm"]) == (fact["what"] == "regressed") for fact in alarms) else 1


if __name__ == "__main__":
    sys.exit(main())
