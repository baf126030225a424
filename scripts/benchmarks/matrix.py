"""Run every model of the tests through every recipe and backend, and find what ends otherwise than documented.

Usage: scripts/bench matrix [--models FOLDER] [--drawn 80] [--minutes 60] [--out FILE.md]

A model is optimized with each recipe; the model and each result are compiled with each backend for this machine's own
kind of processor, and each bundle runs its health check. Nothing may end with a traceback, with an exit code that means
something else, never, or with a bundle that is not healthy. Exits 1 when something did.
"""

from __future__ import annotations

import argparse
import collections
import functools
import hashlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.matrix_cases import fault, run_edgedeploy
from benchmarks.recorded_models import draw, record
from edgedeploy.datasets.synthetic import generated_samples
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.session import open_session
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import read_in_one_piece
from edgedeploy.model.vocabulary import known_words
from edgedeploy.optimize.recipes.recipe import recipe_names
from edgedeploy.targets.backends import backend_names

_TARGET = "x86-64"
_TIMEOUT_S = 180
_CHECK_TIMEOUT_S = 60
_OPEN_EXTENT = 2
_OF_RESULTS = {"native", "onnxruntime"}
"""Backends that results of recipes are compiled with too: `onnxruntime-c` loads what `onnxruntime` loads, and a
conversion to TFLite takes most of a minute."""
_SHOWN = 40
"""Lines of a command's output that are kept of a fault."""


class Case(Struct, frozen=True):
    """One command on one model, and what came of it."""

    step: str
    """`optimize RECIPE`, `compile BACKEND` or `check BACKEND`."""
    model: str
    outcome: str
    """`done`, `refused` (1), `unsupported` (3 to 5), or `fault`."""
    fault: str = ""
    command: str = ""
    output: str = ""


def input_shapes(model: Path) -> list[str]:
    """Give each input with open extents a shape: options of `compile`."""
    options = []
    graph = onnx.load(model, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        extents = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        if value.name not in constants and not all(extents):
            shape = "x".join(str(extent or (_OPEN_EXTENT if at else 1)) for at, extent in enumerate(extents))
            options += ["--input-shape", f"{value.name}={shape}"]
    return options


def calibration_for(model: Path, scratch: Path) -> list[str]:
    """Write samples of noise for the recipes that need some: options of `optimize`; none where the model takes none."""
    try:
        facts, content = inspect_model(model), read_in_one_piece(model)
        session = open_session(content, "onnx", exact=True)
    except EdgedeployError:
        return []  # every command says so

    def runs(feed: dict[str, np.ndarray]) -> bool:
        try:
            session.run(feed)
        except EdgedeployError:
            return False
        return True

    samples = generated_samples(facts.inputs, runs, words=known_words(onnx.load_from_string(content)))
    if not samples or not facts.inputs:
        return []
    if any(array.dtype == object for array in samples[0].feed.values()):
        return []
    folder = scratch / "calibration"
    folder.mkdir()
    for number, sample in enumerate(samples):
        np.savez(folder / f"{number}.npz", **sample.feed)  # type: ignore[arg-type]
    return ["--calibration", str(folder)]


def by_what_is_new(models: Sequence[Path]) -> list[Path]:
    """Order models so that those come first which have an operator, a type or an attribute that none before them has,
    or the first of an opset: whatever the time is enough for, most kinds are in it. The others follow, mixed."""
    mixed = list(models)
    random.Random(13).shuffle(mixed)
    seen: set[tuple[object, ...]] = set()
    first: list[Path] = []
    others: list[Path] = []
    for model in mixed:
        features = _features(onnx.load(model, load_external_data=False))
        (others if features <= seen else first).append(model)
        seen |= features
    return first + others


def _features(model: onnx.ModelProto) -> set[tuple[object, ...]]:
    graph = model.graph
    nodes = [*graph.node, *(node for function in model.functions for node in function.node)]
    found: set[tuple[object, ...]] = {("opset", each.domain, each.version) for each in model.opset_import}
    found |= {("type", tensor.data_type) for tensor in graph.initializer}
    found |= {("input", value.type.tensor_type.elem_type) for value in (*graph.input, *graph.output)}
    found |= {(node.op_type, attribute.name) for node in nodes for attribute in node.attribute}
    return found | {(node.op_type,) for node in nodes}


def _cases_until(
    end_s: float, model: Path, *, recipes: Sequence[str], backends: Sequence[str], folder: Path
) -> list[Case]:
    """Return the cases of one model; none where it would begin after `end_s` of the monotonic clock."""
    if time.monotonic() > end_s:
        return []
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return list(cases_of(model, recipes, backends, Path(scratch)))


def cases_of(model: Path, recipes: Sequence[str], backends: Sequence[str], scratch: Path) -> Iterator[Case]:
    """Optimize one model with each recipe; compile and check it, and each result that is new."""
    seen = {hashlib.sha256(model.read_bytes()).digest()}
    for backend in backends:
        yield from _compiled(model, backend, scratch)
    calibration = calibration_for(model, scratch)
    for recipe in recipes:
        made = scratch / f"{recipe}.onnx"
        allowed = [part for kind in ("slower", "loss", "larger") for part in ("--allow", kind)]
        # The speed of a graph of five nodes says nothing, and it takes most of the time.
        command = [
            "optimize",
            str(model),
            "--recipe",
            recipe,
            "--on",
            "none",
            *allowed,
            *calibration,
            "-o",
            str(made),
            "-q",
        ]
        yield _case(f"optimize {recipe}", command, model, made, may_refuse=True)
        if made.exists() and (digest := hashlib.sha256(made.read_bytes()).digest()) not in seen:
            seen.add(digest)
            for backend in set(backends) & _OF_RESULTS:
                yield from _compiled(made, backend, scratch)


def _compiled(model: Path, backend: str, scratch: Path) -> Iterator[Case]:
    made = scratch / f"{model.stem}-{backend}"
    where = ["--target", _TARGET, "--backend", backend]
    command = ["compile", str(model), *where, *input_shapes(model), "-o", str(made), "-q"]
    yield _case(f"compile {backend}", command, model, made, may_refuse=False)
    if made.exists():
        yield _check(backend, made, model)
        shutil.rmtree(made)


def _case(step: str, command: Sequence[str], model: Path, made: Path, *, may_refuse: bool) -> Case:
    ending = run_edgedeploy(command, _TIMEOUT_S)
    found = fault(ending, model, may_refuse=may_refuse, made=made)
    outcome = {0: "done", 1: "refused"}.get(ending.code or 0, "unsupported") if not found else "fault"
    kept = "\n".join(ending.output.splitlines()[-_SHOWN:]) if found else ""
    return Case(step, model.name, outcome, found, f"edgedeploy {' '.join(command)}", kept)


def _check(backend: str, bundle: Path, source: Path) -> Case:
    """Run the bundle's own health check, as a device does it."""
    command = [str(bundle / "run"), "check"]
    step = f"check {backend}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_CHECK_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Case(step, source.name, "fault", "never ended", " ".join(command))
    if done.returncode == 0:
        return Case(step, source.name, "done")
    output = done.stdout[-2000:] + done.stderr[-2000:]
    return Case(step, source.name, "fault", f"not healthy: {done.returncode}", " ".join(command), output)


def table(cases: Sequence[Case]) -> Table:
    """Count how the commands ended, one row per step."""
    shown = Table(title="How each step ended")
    shown.add_column("step")
    outcomes = ("done", "refused", "unsupported", "fault")
    for outcome in outcomes:
        shown.add_column(outcome, justify="right")
    counts = collections.Counter((case.step, case.outcome) for case in cases)
    for step in sorted({case.step for case in cases}):
        shown.add_row(step, *(f"{counts[step, outcome]:,}" for outcome in outcomes))
    return shown


def markdown(models: int, total: int, cases: Sequence[Case], whole_s: float) -> str:
    """The page for docs."""
    outcomes = ("done", "refused", "unsupported", "fault")
    counts = collections.Counter((case.step, case.outcome) for case in cases)
    rows = [
        f"| {step} | {' | '.join(f'{counts[step, outcome]:,}' for outcome in outcomes)} |"
        for step in sorted({case.step for case in cases})
    ]
    return "\n".join(
        (
            "# Every model of the tests through every recipe and backend\n",
            f"`scripts/bench matrix`: {models} of {total} models that the tests make, {len(cases):,} commands, "
            f"{whole_s / 60:.0f} minutes. *refused*: the result is not better (exit code 1). *unsupported*: said in "
            "words (3 to 5). *fault*: a traceback, an exit code that means something else, a command that never "
            "ended, or a bundle whose own check fails.\n",
            f"| step | {' | '.join(outcomes)} |",
            "|---|---:|---:|---:|---:|",
            *rows,
            "",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench matrix", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="of .onnx files; by default those of the tests")
    parser.add_argument("--drawn", type=int, default=80, metavar="N", help="random topologies besides (80)")
    parser.add_argument("--minutes", type=float, default=60, help="start no other model after these (60)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), metavar="N", help="models at once (one per processor)"
    )
    parser.add_argument("--recipe", action="append", help="only these recipes; repeat it")
    parser.add_argument("--backend", action="append", help="only these backends; repeat it")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the table there")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory(prefix="edgedeploy-matrix-") as folder:
        models = options.models or Path(folder, "models")
        if not options.models:
            console.print("recording the models of the tests …")
            record(models)
            draw(models, options.drawn)
        found = by_what_is_new(sorted(models.glob("*.onnx")))
        recipes = options.recipe or [name for name in recipe_names() if name != "auto"]
        backends = options.backend or list(backend_names())
        begun = time.monotonic()
        cases: list[Case] = []
        done = 0
        with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("fork")) as pool:
            of_one = functools.partial(
                _cases_until, begun + 60 * options.minutes, recipes=recipes, backends=backends, folder=Path(folder)
            )
            for model, of_model in zip(found, pool.map(of_one, found), strict=True):
                done += bool(of_model)
                cases += of_model
                for case in of_model:
                    if case.outcome == "fault":
                        console.print(f"\n[bold]{case.step} {model.name} ({case.model}): {case.fault}[/bold]")
                        console.print(f"{case.command}\n{case.output}", markup=False, highlight=False)
                if of_model and done % 20 == 0:
                    console.print(f"{done} of {len(found)} models, {len(cases):,} commands")
        console.print(table(cases))
        if options.out:
            options.out.write_text(markdown(done, len(found), cases, time.monotonic() - begun), encoding="utf-8")
    sys.exit(any(case.outcome == "fault" for case in cases))


if __name__ == "__main__":
    main()
