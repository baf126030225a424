"""Prune trained convolutional networks: accuracy against MACs removed.

Usage: scripts/bench prune [--folder FOLDER] [--models NAME,…] [--ratios 0.1,…] [--samples 300] [--output FILE.md]

Each network is prepared as the recipe `prune` prepares it, then pruned in three ways, to the same share of MACs: by
what follows from a channel on the calibration data, with what reads it fitted anew and without; and by the size of its
filters alone (L2, one ranking over all layers, nothing fitted anew). Accuracy is that on labelled data which shares
nothing with the calibration data, in float, before and after in one run. What has been measured of the same file is
kept in FOLDER/prune.json; the table is written after each network.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import logging
import time
from pathlib import Path
from typing import Any

import onnx_ir as ir
from msgspec import structs
from rich.console import Console
from rich.table import Table
from wild.models import DEFAULT_FOLDER, Ready, models

from benchmarks import ROOT
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.files import replacing_file
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.metrics.registry import find_metric
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.base import Context, Pass
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.prune.prune_channels import PruneChannels
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.optimize.recipes.recipe import load_recipe

MODELS = ("ocr-direction", "morphemes", "captcha", "page-orientation")
RATIOS = (0.1, 0.2, 0.3, 0.5)
WAYS = {
    "activations, fitted anew": PruneChannels(),
    "activations": PruneChannels(reconstruct=False),
    "magnitude": PruneChannels(importance="magnitude", reconstruct=False),
}
Figures = dict[str, Any]


def preparation() -> list[Pass]:
    """What the recipe does before it prunes."""
    return list(itertools.takewhile(lambda step: not isinstance(step, PruneChannels), load_recipe("prune").passes))


class Judge:
    """The metric of results, and how near their outputs are to the float model's."""

    def __init__(self, ready: Ready, source: bytes, limit: int) -> None:
        self._metric = ready.metric
        self._dataset = open_dataset(str(ready.evaluation), inspect_model(ready.path).inputs)
        self._limit = limit
        self._reference = HostSession(source, exact=False)

    def figures(self, result: bytes) -> Figures:
        session, score = HostSession(result, exact=False), find_metric(self._metric).start()
        agreement = AgreementAccumulator()
        seen = 0
        for sample in itertools.islice(self._dataset.samples(), self._limit):
            outputs = session.run(sample.feed)
            score.add(outputs, sample.labels)
            agreement.add(outputs, self._reference.run(sample.feed))
            seen += 1
        return {"metric": score.figure().value, "sqnr_db": agreement.figure().sqnr_db, "samples": seen}


class Store:
    """What has been measured, in a file that is written after each figure: a run that was stopped goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str) -> Figures | None:
        found: Figures | None = self._all().get(key)
        return found

    def put(self, key: str, row: Figures) -> None:
        with replacing_file(self._path) as file:
            file.write_text(json.dumps(self._all() | {key: row}), encoding="utf-8")

    def _all(self) -> dict[str, Figures]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}


def measure(ready: Ready, ratios: list[float], limit: int, store: Store, console: Console) -> list[Figures]:
    """One row for each way and ratio; what was measured before on the same file and settings is not measured again."""
    facts = inspect_model(ready.path)
    prepared, _ = run_passes(ir.load(ready.path), preparation(), Context())
    source = serialized(prepared)
    context = Context(calibration=open_dataset(str(ready.calibration), facts.inputs))
    judge: Judge | None = None
    rows: list[Figures] = []
    for way, ratio in [("float", 0.0), *itertools.product(WAYS, ratios)]:
        key = hashlib.sha256(
            f"{hashlib.sha256(source).hexdigest()} {way} {WAYS.get(way)} {ratio} {limit}".encode()
        ).hexdigest()
        row = store.get(key)
        if row is None:
            judge = judge or Judge(ready, source, limit)
            row = {"model": ready.name, "way": way, "ratio": ratio}
            begun_s = time.process_time()
            if way == "float":
                row |= judge.figures(source) | {"removed": 0.0, "parameters": 1.0}
            else:
                result, (done,) = run_passes(prepared, [structs.replace(WAYS[way], ratio=ratio)], context)
                if done.refused:
                    row["refused"] = done.refused
                else:
                    told = done.facts
                    row |= judge.figures(serialized(result)) | {
                        "removed": 1 - float(told["macs_after"]) / float(told["macs_before"]),
                        "parameters": float(told["parameters_after"]) / float(told["parameters_before"]),
                        "processor_s": time.process_time() - begun_s,
                    }
            store.put(key, row)
            console.print(f"{ready.name}: {way} {ratio:.0%}: {row.get('metric', row.get('refused'))}")
        rows.append(row)
    return rows


def table(rows: list[Figures]) -> tuple[list[str], list[list[str]]]:
    """Head and lines: a line for each model and ratio."""
    head = ["model", "MACs removed", "weights left", *WAYS, *(f"SQNR, {way}" for way in list(WAYS)[:1])]
    lines: list[list[str]] = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        (plain,) = (row for row in own if row["way"] == "float")
        lines.append([model, "0 %", "100 %", *(f"{plain['metric']:.3f}" for _ in WAYS), "–"])
        for ratio in dict.fromkeys(row["ratio"] for row in own if row["way"] != "float"):
            of = {row["way"]: row for row in own if row["ratio"] == ratio}
            best = next(iter(of.values()))
            cells = [_metric(of.get(way)) for way in WAYS]
            sqnr = best.get("sqnr_db")
            lines.append(
                [
                    model,
                    f"{best.get('removed', 0):.1%}".replace("%", " %"),
                    f"{best.get('parameters', 1):.0%}".replace("%", " %"),
                    *cells,
                    "–" if sqnr is None else f"{sqnr:.1f} dB",
                ]
            )
    return head, lines


def _metric(row: Figures | None) -> str:
    if row is None or "metric" not in row:
        return "refused"
    # Blocks of 8 channels make the shares differ a little.
    return f"{row['metric']:.3f}"


def write(path: Path, rows: list[Figures], ready: list[Ready], limit: int) -> None:
    """The page in docs."""
    head, lines = table(rows)
    text = ["# Pruning: accuracy against MACs removed", ""]
    text += ["Made by `scripts/bench prune`. The first line of each network is the float model.", ""]
    text += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    text += [f"| {' | '.join(line)} |" for line in lines]
    text += ["", "The methods:", ""]
    text += [
        "- *activations, fitted anew*: the pass `prune-channels` with the settings of the recipe `prune`. It",
        "  removes the channels whose loss changes least on the calibration data, in the layers that read them",
        "  and at the outputs, per MAC that is saved. The layers that read them are fitted again by least",
        "  squares. It needs no training and no labels.",
        "- *activations*: the same without fitting again.",
        "- *magnitude*: removes the channels with the smallest filters, in one ranking over all layers, without",
        "  fitting again.",
        "",
        "Each method removes at least the requested share of MACs (10, 20, 30 and 50 %), in blocks of 8 channels,",
        f"from the same graph, with up to {WAYS['activations'].samples} calibration samples. Each "
        f"result is judged on up to {limit} other,",
        "labeled samples.",
        "",
        "The networks, and their metrics:",
        "",
    ]
    text += [f"- {one.name}: {one.model.about} ({one.model.judged_by})" for one in ready]
    samples = {row["model"]: row["samples"] for row in rows if row["way"] == "float"}
    text += ["", "Samples judged: " + ", ".join(f"{name} {count}" for name, count in samples.items()) + ".", ""]
    spent = sum(row.get("processor_s", 0.0) for row in rows)
    text += [f"Total processor time of pruning and judging: {spent / 60:.0f} min."]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench prune", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--ratios", default=",".join(map(str, RATIOS)))
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "bench_prune.md")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    console = Console()
    store = Store(given.folder / "prune.json")
    rows: list[Figures] = []
    done: list[Ready] = []
    for ready in models(given.folder, given.models.split(",")):
        rows += measure(ready, [float(one) for one in given.ratios.split(",")], given.samples, store, console)
        done.append(ready)
        write(given.output, rows, done, given.samples)
    head, lines = table(rows)
    shown = Table(*head)
    for line in lines:
        shown.add_row(*line)
    console.print(shown)


if __name__ == "__main__":
    main()
