"""Hold a trained detector that was ruined in ten ways against the guard, under metrics that see it and that do not.

Usage: scripts/bench blind [--pictures 24] [--folder FOLDER] [--out FILE.md]

The detector is NudeNet's 320n (YOLOv8n, 18 classes, 12 MB), the pictures are crops of those in packages of the registry
(`blind-models.lock`), and what it finds there with a score of 0.5 at least is what it is to find. Each ruin is an edit
of its graph (`benchmarks.blind_ruins`). Then the results of `int8` and of onnxruntime's own static quantization.

Exits 1 when something that is ruined was accepted, or the float model or `int8` was not.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from msgspec import structs
from onnxruntime.quantization import CalibrationDataReader, quantize_static

from benchmarks import ROOT
from benchmarks.blind_ruins import RUINS, Detector, always_right, cosine_of_all, held
from benchmarks.packages import lay_out_packages
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.inference.onnxruntime import HostSession, host_isa
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.metric import MeanMetric, Metric
from edgedeploy.metrics.registry import find_metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.base import Context
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.guard.result import GuardResult
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Detections, Labels

SIDE = 320
HEAD = Head(kind="yolov8", classes=18)
PICTURES = (
    "insightface/data/images/t1.jpg",
    "insightface/data/images/mask_white.jpg",
    "insightface/data/images/mask_blue.jpg",
    "insightface/data/images/Tom_Hanks_54745.png",
    "ultralytics/assets/bus.jpg",
    "ultralytics/assets/zidane.jpg",
)
Way = tuple[Sequence[Labels] | None, Metric | None, Decoder | None]
"""Labels, metric and head."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench blind", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv" / "blind-models")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "bench_blind.md")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    packages = lay_out_packages(Path(__file__).with_name("blind-models.lock"), arguments.folder)
    path = packages / "nudenet/320n.onnx"
    calibration = crops(packages, arguments.pictures, seed=1)
    detector = answered(path.read_bytes(), crops(packages, arguments.pictures, seed=2))
    ways = judged_by(detector)
    rows, wrong = [], []
    for name, ruin in RUINS.items():
        results = [held(detector, ruin(detector), *way) for way in ways.values()]
        wrong += [f"{name}, {way}" for way, result in zip(ways, results, strict=True) if result.accepted]
        rows.append([name, *map(outcome, results)])
        print(rows[-1], file=sys.stderr)
    made = []
    for name, content in results_of_quantizers(path, calibration):
        results = [held(detector, content, *way) for way in ways.values()]
        if name.startswith("edgedeploy"):
            wrong += [f"{name}, {way}" for way, result in zip(ways, results, strict=True) if not result.accepted]
        made.append([name, *figures(content, results), *map(outcome, results)])
        print(made[-1], file=sys.stderr)
    text = page(list(ways), rows, made, labels_off_by_one(detector, ways), len(detector.feeds), wrong)
    arguments.out.write_text(text, encoding="utf-8")
    sys.exit(1 if wrong else 0)


def crops(packages: Path, count: int, seed: int) -> np.ndarray:
    """Return crops of the pictures, some mirrored, lighter or darker: float32, shape (count, 3, side, side), 0 … 1."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    pictures = [Image.open(packages / name).convert("RGB") for name in PICTURES]
    found = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        side = int(min(picture.size) * rng.uniform(0.55, 1.0))
        left, top = (int(rng.integers(extent - side + 1)) for extent in picture.size)
        crop = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        if rng.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        found.append(np.clip(np.asarray(crop, np.float32) * rng.uniform(0.7, 1.2) / 255, 0, 1).transpose(2, 0, 1))
    return np.stack(found).astype(np.float32)


def answered(model: bytes, pictures: np.ndarray) -> Detector:
    """Return the detector with its answers."""
    session = HostSession(model, exact=True)
    feeds = tuple({session.input_names[0]: picture[np.newaxis]} for picture in pictures)
    return Detector(model=model, feeds=feeds, answers=tuple(session.run(feed)[0] for feed in feeds))


def labels_of(detector: Detector) -> list[Labels]:
    """Return what the detector finds, as labels."""
    sure = find_head(structs.replace(HEAD, score_min=0.5), ["output0"])
    found = [sure.answers([answer], feed, 1) for answer, feed in zip(detector.answers, detector.feeds, strict=True)]
    return [(Detections(boxes=each.boxes, classes=each.classes),) for (each,) in found]


def judged_by(detector: Detector) -> dict[str, Way]:
    """Return the ways of judging."""
    decoder, numbers = find_head(HEAD, ["output0"]), list(detector.answers)
    return {
        "map50": (labels_of(detector), find_metric("map50", HEAD, ["output0"]), decoder),
        "own cosine": (numbers, MeanMetric("cosine_of_all", cosine_of_all), None),
        "own, always 1": (numbers, MeanMetric("always_right", always_right), None),
        "no labels, head": (None, None, decoder),
        "no labels, no head": (None, None, None),
    }


def labels_off_by_one(detector: Detector, ways: dict[str, Way]) -> str:
    """Return what is said where the labels are wrong and the result is the float model."""
    labels, metric, decoder = ways["map50"]
    assert labels is not None
    moved = [(Detections(boxes=each.boxes, classes=each.classes + 1),) for (each,) in labels]
    result = held(detector, detector.model, moved, metric, decoder)
    return "; ".join(note for note in result.notes if note.startswith("check metric"))


def results_of_quantizers(path: Path, pictures: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield the float model, and what each quantizer makes of it."""
    yield "float", path.read_bytes()
    with tempfile.TemporaryDirectory(prefix="bench-blind-") as scratch:
        data, stock = Path(scratch) / "calibration.npz", Path(scratch) / "stock.onnx"
        np.savez(data, images=pictures)
        context = Context(calibration=open_dataset(str(data), inspect_model(path).inputs))
        made, _ = run_passes(ir.from_proto(onnx.load(path)), load_recipe("int8").passes, context)
        yield "edgedeploy int8", serialized(made)
        for name, options in (("", {}), (", per channel", {"per_channel": True})):
            quantize_static(path, stock, _Reader(pictures), **options)
            yield f"onnxruntime quantize_static{name}", stock.read_bytes()


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pictures: np.ndarray) -> None:
        self._feeds = iter([{"images": picture[np.newaxis]} for picture in pictures])

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._feeds, None)


def outcome(result: GuardResult) -> str:
    """What the guard said, in a word or two."""
    kinds = dict.fromkeys(violation.kind.value for violation in result.violations)
    return ", ".join(kinds) if kinds else "accepted"


def figures(content: bytes, results: Sequence[GuardResult]) -> list[str]:
    """Size, SQNR of boxes and of scores, detections kept, average precision."""
    judged = results[0].executions[0]
    noise = [judged.by_group[f"output0[{group}]"].sqnr_db for group in ("boxes", "classes")]
    kept, metric = judged.kept, judged.metric
    return [
        f"{len(content):,}",
        *("same" if db is None else f"{db:.1f} dB" for db in noise),
        f"{kept.kept} of {kept.count}, {kept.added} new" if kept else "—",
        f"{metric.value:.3f}" if metric else "—",
    ]


def page(
    ways: list[str], rows: list[list[str]], made: list[list[str]], off_by_one: str, pictures: int, wrong: list[str]
) -> str:
    """The page, as Markdown."""
    parts = [
        "# Ways to be blind",
        "",
        "Made by `scripts/bench blind`, which says how it measures. A trained detector (NudeNet 320n, a YOLOv8n) is",
        f"ruined in ten ways, and each is held against the guard under five ways of judging, on {pictures} pictures.",
        "A cell names the guard's objections (`ViolationKind`); `accepted` would be a ruined model that ships.",
        "`own cosine` is the cosine of all numbers with the float model's own, and `own, always 1` looks at nothing:",
        "both are metrics that a user may bring, and both are blind.",
        "",
        *_table(["ruined", *ways], rows),
        "",
        "Labels whose class numbers are one too high, with the float model itself as the result, are told by a note:",
        "",
        f"> {off_by_one}",
        "",
        "## Quantized",
        "",
        "The same under the same ways of judging. Calibrated on other crops of the same pictures.",
        "",
        *_table(["made by", "bytes", "boxes", "scores", "detections kept", "map50", *ways], made),
        "",
        f"Host: {host_isa()}, exact arithmetic.",
        "",
        "All that is ruined was refused, and the float model and int8 were accepted."
        if not wrong
        else f"Not as it should be: {'; '.join(wrong)}.",
    ]
    return "\n".join(parts) + "\n"


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    return [" | ".join(["", *row, ""]).strip() for row in (headings, ["---"] * len(headings), *rows)]


if __name__ == "__main__":
    main()
