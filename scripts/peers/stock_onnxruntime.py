"""What onnxruntime.quantization makes of a model as it comes.

Usage: python stock_onnxruntime.py dynamic|static MODEL CALIBRATION.npz EVALUATION.npz METRIC OUT

Its documentation advises to preprocess a model before static quantization; where that fails, the model is quantized as
it is, and a line on standard output says so.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import feeds
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration samples, one at a time."""

    def __init__(self, model: Path, data: Path) -> None:
        self._feeds = (feed for feed, _ in feeds.samples(model, data))

    def get_next(self) -> feeds.Feed | None:
        return next(self._feeds, None)


def main() -> None:
    way, model, calibration, _, _, out = sys.argv[1], *map(Path, sys.argv[2:])
    if way == "dynamic":
        quantize_dynamic(model, out)
        return
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        try:
            quant_pre_process(model, prepared)
        except Exception as error:
            print(f"not preprocessed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            prepared = model
        quantize_static(
            prepared,
            out,
            Reader(model, calibration),
            quant_format=QuantFormat.QDQ,
            calibrate_method=CalibrationMethod.MinMax,
            per_channel=True,
        )


if __name__ == "__main__":
    main()
