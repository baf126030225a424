"""Convert real ONNX models to TensorFlow Lite as `compile --backend tflite` does, and compare their answers.

Usage: scripts/bench onnx_to_tflite [--models NAME,NAME] [--folder FOLDER]

The models are those of scripts/bench optimize, eight real samples of each are the golden ones. A run over all of them
writes docs/bench_onnx_to_tflite.md too. The first run makes onnx2tf's environment (some 540 MB in the cache folder).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from wild.catalogue import CATALOGUE
from wild.models import DEFAULT_FOLDER, Ready, models

from benchmarks import ROOT
from edgedeploy.compile.golden import write_golden
from edgedeploy.compile.onnx_to_tflite.conversion import FLOAT16, FLOAT32, to_tflite
from edgedeploy.compile.onnx_to_tflite.environment import converter
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.model.inspect import inspect_model

_DOCUMENT = ROOT / "docs" / "bench_onnx_to_tflite.md"
_SAMPLES = 8
_HEAD = f"""\
# Conversion of ONNX models to TensorFlow Lite

Made by `scripts/bench onnx_to_tflite`, which says how it measures. onnx2tf converts each model for inputs of one shape.
The result must give the same answers as the ONNX model in exact arithmetic. For each output of each of
{_SAMPLES} real samples, with ai-edge-litert's own kernels and with XNNPACK's, the Euclidean norm of the
difference may be {FLOAT32.relative:g} of that of the output
({FLOAT16.relative:g} if the model computes in float16). The table shows
the largest difference. Integers must be equal.
"""
_COLUMNS = "| model | ONNX | TensorFlow Lite | | largest difference | seconds |\n|---|--:|--:|--:|--:|--:|"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench onnx_to_tflite", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    arguments = parser.parse_args()
    names = arguments.models.split(",") if arguments.models else None
    corpus = models(arguments.folder, names)
    converter(SILENT)  # so that no model's seconds are its installation's
    rows: list[str] = []
    refused: list[str] = []
    for ready in corpus:
        row, is_through = _row(ready)
        print(row, file=sys.stderr, flush=True)
        (rows if is_through else refused).append(row)
    text = f"{_HEAD}\n{_COLUMNS}\n" + "\n".join(rows) + "\n"
    text += f"\n{len(rows)} of {len(corpus)} models passed."
    text += " The others, and the reasons:\n\n" + "\n".join(refused) + "\n" if refused else "\n"
    print(text)
    if len(corpus) == len(CATALOGUE):
        _DOCUMENT.write_text(text, encoding="utf-8")


def _row(ready: Ready) -> tuple[str, bool]:
    begun = time.monotonic()
    before = ready.path.stat().st_size
    with tempfile.TemporaryDirectory(prefix="bench-onnx-to-tflite-") as folder:
        golden = Path(folder)
        try:
            kept = write_golden(
                HostSession(ready.path, exact=True, threads=1),
                inspect_model(ready.path),
                golden,
                data=str(ready.calibration),
                samples=_SAMPLES,
                input_shapes={},
                progress=SILENT,
            )
            made = to_tflite(ready.path, golden, kept.samples, SILENT)
        except EdgedeployError as error:
            return f"- {ready.name}: {error.what}: {' '.join(error.why.split())[:300]}", False
    after = len(made.content)
    seconds = time.monotonic() - begun
    return (
        f"| {ready.name} | {before / 1e6:.2f} MB | {after / 1e6:.2f} MB | {after / before - 1:+.1%} "
        f"| {made.difference:.1e} | {seconds:.0f} |",
        True,
    )


if __name__ == "__main__":
    main()
