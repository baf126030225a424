"""Compare onnxruntime.quantization with edgedeploy's recipes on the demo's model and data.

Usage: scripts/bench stock_quantizer [FOLDER]     (of the demo's files: edgedeploy demo --only-files --out FOLDER)

Prints a table: size against the float file, top-1 in exact arithmetic (each QDQ pair evaluated in float) and with this
machine's integer kernels, and SQNR of the outputs in exact arithmetic. All in one run, on the demo's evaluation set.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from rich.console import Console
from rich.table import Table

from edgedeploy import api
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.inference.onnxruntime import HostSession, host_isa
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.metrics.registry import find_metric


class _NpzReader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, model: Path, data: Path) -> None:
        samples = open_dataset(str(data), api.inspect(model).inputs).samples()
        self._feeds = (dict(sample.feed) for sample in samples)

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._feeds, None)


def judge(model: Path, source: Path, evaluation: Path) -> tuple[float, float, float | None]:
    """Top-1 exact, top-1 on this machine's kernels, SQNR in dB against the float model (exact)."""
    dataset = open_dataset(str(evaluation), api.inspect(source).inputs)
    exact, host, reference = (
        HostSession(model, exact=True),
        HostSession(model, exact=False),
        HostSession(source, exact=True),
    )
    exact_score, host_score = find_metric("top1").start(), find_metric("top1").start()
    agreement = AgreementAccumulator()
    for sample in dataset.batches(32):
        outputs = exact.run(sample.feed)
        exact_score.add(outputs, sample.labels)
        host_score.add(host.run(sample.feed), sample.labels)
        agreement.add(outputs, reference.run(sample.feed))
    return exact_score.figure().value, host_score.figure().value, agreement.figure().sqnr_db


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench stock_quantizer", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("edgedeploy-demo"))
    folder = parser.parse_args().folder
    source, evaluation, calibration = (
        folder / name for name in ("text-direction.onnx", "evaluation.npz", "calibration.npz")
    )
    logging.disable(logging.WARNING)

    def recipe(name: str) -> Callable[[Path], object]:
        return lambda out: api.optimize(
            source,
            api.load_recipe(name),
            out,
            calibration=str(calibration),
            evaluation=str(evaluation),
            target=api.load_target("rpi4"),
        )

    ways: dict[str, Callable[[Path], object]] = {
        "float (as it came)": lambda out: out.write_bytes(source.read_bytes()),
        "onnxruntime quantize_dynamic": lambda out: quantize_dynamic(source, out),
        "onnxruntime quantize_static": lambda out: quantize_static(source, out, _NpzReader(source, calibration)),
        "onnxruntime quantize_static, per channel": lambda out: quantize_static(
            source, out, _NpzReader(source, calibration), per_channel=True
        ),
        "edgedeploy fold": recipe("fold"),
        "edgedeploy int8-dynamic": recipe("int8-dynamic"),
        "edgedeploy int8": recipe("int8"),
    }
    table = Table(title=f"{source.name}, {evaluation.name}; host {host_isa()}")
    for heading in ("made by", "size", "against float", "top-1 exact", "top-1 host", "SQNR dB"):
        table.add_column(heading, justify="left" if heading == "made by" else "right")
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, make) in enumerate(ways.items()):
            out = Path(scratch) / f"{number}.onnx"
            try:
                result = make(out)
                if not out.exists():
                    table.add_row(name, "refused", *["-"] * 4)
                    Console(stderr=True).print(name, getattr(result, "reasons", ""))
                    continue
                size = out.stat().st_size
                exact, host, sqnr = judge(out, source, evaluation)
            except (EdgedeployError, ValueError, RuntimeError) as error:
                table.add_row(name, f"fails: {str(error).splitlines()[0][:60]}", *["-"] * 4)
                continue
            change = f"{size / source.stat().st_size - 1:+.1%}"
            table.add_row(
                name,
                bytes_in_words(size),
                change,
                f"{exact:.2%}",
                f"{host:.2%}",
                "exact" if sqnr is None else f"{sqnr:.1f}",
            )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
