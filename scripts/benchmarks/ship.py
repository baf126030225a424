"""Ship trained models to emulated boards through every backend, each held against a contract.

Usage: scripts/bench ship [--boards NAME,NAME] [--models NAME,NAME] [--backends NAME,NAME] …

Each row is one `edgedeploy ship` of a convolutional network, of magika and of a .tflite model to an emulated Pi 4, to
a 32-bit Pi 2, and to a board that has neither Python nor a C++ library. A run over all of it
writes docs/bench_ship.md. Exits 1 when a contract did not hold. Raw results stand in FOLDER/ships, one report.json for
each row; --show makes the table of those.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from wild.models import DEFAULT_FOLDER, models

from benchmarks import ROOT
from benchmarks.packages import lay_out_packages
from benchmarks.tflite import LOCK, SUBJECTS
from edgedeploy.device.emulator.board import emulated_board
from edgedeploy.foundation.files import sha256_file
from edgedeploy.foundation.progress import SILENT
from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.targets.backends import backend_names
from edgedeploy.values.contract import Outcome
from edgedeploy.values.shipment import Shipment

_DOCUMENT = ROOT / "docs" / "bench_ship.md"
_NOT_RUN = "not run"
_SAMPLES = 60
_TIMEOUT_S = 3600


class ShipBoard(Struct, frozen=True):
    """An emulated board and what can run there."""

    name: str
    target: str
    minimal: bool
    about: str
    backends: tuple[str, ...]


class ShipModel(Struct, frozen=True):
    """What is shipped. `backends` are those that run its format."""

    name: str
    about: str
    backends: tuple[str, ...]
    metric_min: float


_BOARDS = (
    ShipBoard("ship-rpi4", "rpi4", False, "Pi 4, 64 bits", backend_names()),
    ShipBoard("ship-rpi2", "rpi2", False, "Pi 2, 32 bits", ("tflite", "native")),
    ShipBoard("ship-minimal", "rpi4", True, "Pi 4 with busybox and sshd alone", ("native",)),
)
_MODELS = (
    ShipModel("text-direction", "MobileNetV3, ONNX", backend_names(), 0.9),
    ShipModel("magika", "convolution and dense layers, ONNX", backend_names(), 0.85),
    ShipModel("face-front", "BlazeFace, .tflite", ("tflite",), 0.9),
)
_SOURCES = {"text-direction": "ocr-direction", "magika": "magika"}
"""Of the ONNX models, their names in scripts/wild/models.py."""

# Quantized convolutions for runtimes with kernels for them; onnx2tf, which tflite needs, takes none that are quantized.
_RECIPES = {"text-direction": "int8", "magika": "weights-int8", "face-front": "weights-int8"}
_RECIPE_BEFORE_CONVERSION = "fold"

_CONTRACT = """\
schema = 1

[model]
name = "{name}"
version = "1"
framework = "as its package ships it"
file = "{file}"
sha256 = "{sha256}"

[data]
evaluation = "evaluation.npz"
calibration = "calibration.npz"
metric = "{metric}"

[optimization]
recipe = "{recipe}"
# Speed is judged against the float model in onnxruntime, and what is shown here are other runtimes as well.
allow = ["slower"]

[limits]
metric_min = {metric_min}
metric_max_drop = 0.02
agreement_top1_min = 0.95
"""


class ShipRow(Struct, frozen=True):
    """What came of one `ship`."""

    board: ShipBoard
    model: ShipModel
    backend: str
    shipment: Shipment | None
    failure: str = ""


def handed_over(model: ShipModel, backend: str, folder: Path, corpus: Path) -> Path:
    """The model, data and contract in a folder of their own. Returns the contract."""
    folder.mkdir(parents=True, exist_ok=True)
    if model.name in _SOURCES:
        (ready,) = models(corpus, [_SOURCES[model.name]])
        source, metric = ready.path, ready.metric
        parts = {"calibration": np.load(ready.calibration), "evaluation": np.load(ready.evaluation)}
        data = {part: {key: arrays[key] for key in arrays.files} for part, arrays in parts.items()}
    else:
        (subject,) = (one for one in SUBJECTS if one.name == model.name)
        packages = lay_out_packages(LOCK, ROOT / ".venv" / "tflite-models")
        source, metric = packages / subject.file, subject.metric
        seeds = {"calibration": 0, "evaluation": 1}
        data = {part: subject.make(packages, source, 200, seed) for part, seed in seeds.items()}
    for part, arrays in data.items():
        chosen = np.random.default_rng(1).permutation(len(next(iter(arrays.values()))))[:_SAMPLES]
        np.savez(folder / f"{part}.npz", **{key: array[np.sort(chosen)] for key, array in arrays.items()})
    file = folder / f"{model.name}{source.suffix}"
    file.write_bytes(source.read_bytes())
    converted = backend == "tflite" and source.suffix != ".tflite"
    contract = folder / "contract.toml"
    text = _CONTRACT.format(
        name=model.name,
        file=file.name,
        sha256=sha256_file(file),
        metric=metric,
        metric_min=model.metric_min,
        recipe=_RECIPE_BEFORE_CONVERSION if converted else _RECIPES[model.name],
    )
    contract.write_text(text, encoding="utf-8")
    return contract


def shipped(contract: Path, address: str, backend: str, place: Path) -> str:
    """Run `edgedeploy ship` as a user would. Returns what went wrong, or nothing; report.json is in `place`."""
    command: list[str | Path] = [Path(sys.executable).with_name("edgedeploy"), "ship", contract, "--to", address]
    command += ["--backend", backend, "--report", place, "--quiet"]
    # Metrics of these models are functions in scripts/.
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    return "" if done.returncode in (0, 1) else done.stderr.strip().replace("\n", " ")


def ship_all(boards: list[ShipBoard], chosen: list[ShipModel], backends: list[str], folder: Path) -> Iterator[ShipRow]:
    for board in boards:
        with emulated_board(
            board.name, target=board.target, minimal=board.minimal, delete=True, progress=SILENT
        ) as status:
            for model in chosen:
                for backend in (one for one in board.backends if one in model.backends and one in backends):
                    print(f"{board.about}: {model.name} on {backend} …", file=sys.stderr, flush=True)
                    place = _place(folder, board, model, backend)
                    contract = handed_over(model, backend, place, folder)
                    (place / "report.json").unlink(missing_ok=True)
                    failure = shipped(contract, status.address, backend, place)
                    (place / "failure").write_text(failure, encoding="utf-8")
                    yield left(folder, board, model, backend)


def left(folder: Path, board: ShipBoard, model: ShipModel, backend: str) -> ShipRow:
    """What an earlier run left."""
    place = _place(folder, board, model, backend)
    report, failure = place / "report.json", place / "failure"
    shipment = msgspec.json.decode(report.read_bytes(), type=Shipment) if report.exists() else None
    return ShipRow(
        board, model, backend, shipment, failure.read_text(encoding="utf-8") if failure.exists() else _NOT_RUN
    )


def _place(folder: Path, board: ShipBoard, model: ShipModel, backend: str) -> Path:
    return folder / "ships" / f"{board.name}.{model.name}.{backend}"


def holds(row: ShipRow) -> bool:
    shipped = row.shipment
    return shipped is not None and shipped.verdict is not None and shipped.verdict.outcome is Outcome.HOLDS


def cells(row: ShipRow) -> list[str]:
    """A row of the table."""
    head = [row.board.about, row.model.name, f"`{row.backend}`"]
    shipment = row.shipment
    if shipment is None or shipment.verdict is None or shipment.measurement is None or shipment.bundle is None:
        reason = row.failure or (shipment and "; ".join((*shipment.evidence.reasons, *shipment.remarks))) or "?"
        return [*head, "—", f"**no**: {reason[:200]}", "", "", "", ""]
    accuracy, release = shipment.measurement.accuracy, shipment.release
    assert accuracy is not None and release is not None
    lines = shipment.verdict.lines
    told = sum(one.outcome is Outcome.HOLDS for one in lines)
    kept = accuracy.agreement.top1_match
    return [
        *head,
        shipment.contract.recipe,
        f"{shipment.verdict.outcome.value}, {told} of {len(lines)} lines",
        f"{accuracy.metric.value:.4f}" if accuracy.metric is not None else "—",
        f"{kept:.1%}" if kept is not None else "—",
        bytes_in_words(shipment.bundle.size_bytes),
        bytes_in_words(release.sent_bytes),
    ]


_HEADINGS = (
    "board",
    "model",
    "backend",
    "recipe",
    "contract",
    "metric there",
    "answers as on the host",
    "bundle",
    "sent",
)


def document(rows: list[ShipRow]) -> str:
    lines = [
        "# Trained models shipped to boards",
        "",
        "Made by:",
        "",
        "    scripts/bench ship",
        "",
        f"Each row is one `edgedeploy ship` to an emulated board, with {_SAMPLES} labeled samples evaluated there.",
        "**contract** is its verdict. The contract requires the metric, a drop of at most two points against the",
        "float model on the host, and 95 % of the answers equal to those of the same model on the host. **sent**",
        "is the size, before compression, of the files that this board lacked.",
        "",
        *(f"- {model.name}: {model.about}" for model in _MODELS),
        "",
        f"onnx2tf does not convert quantized ONNX models, so `tflite` runs a float model (recipe "
        f"`{_RECIPE_BEFORE_CONVERSION}`).",
        "",
        "| " + " | ".join(_HEADINGS) + " |",
        "|" + "---|" * len(_HEADINGS),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in rows),
        "",
        f"**{sum(holds(row) for row in rows)} of {len(rows)} contracts hold.**",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench ship", description=(__doc__ or "").splitlines()[0])
    every = {
        "boards": [board.name for board in _BOARDS],
        "models": [model.name for model in _MODELS],
        "backends": list(backend_names()),
    }
    for key, names in every.items():
        parser.add_argument(f"--{key}", default=",".join(names), metavar="NAME,NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--show", action="store_true", help="ship nothing, only show what earlier runs left")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="for models, data and results")
    arguments = parser.parse_args()
    asked = {key: getattr(arguments, key).split(",") for key in every}
    boards = [one for one in _BOARDS if one.name in asked["boards"]]
    chosen = [one for one in _MODELS if one.name in asked["models"]]
    folder: Path = arguments.folder.resolve()
    if arguments.show:
        rows = [
            left(folder, board, model, backend)
            for board in boards
            for model in chosen
            for backend in board.backends
            if backend in model.backends and backend in asked["backends"]
        ]
    else:
        rows = []
        for row in ship_all(boards, chosen, asked["backends"], folder):
            print("    " + " · ".join(cells(row)[3:]), file=sys.stderr, flush=True)
            rows.append(row)
    text = document(rows)
    print(text)
    if asked == every and all(row.failure != _NOT_RUN for row in rows):
        _DOCUMENT.write_text(text, encoding="utf-8")
        print(_DOCUMENT, file=sys.stderr)
    return 0 if all(holds(row) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
