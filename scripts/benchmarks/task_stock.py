"""What the usual quantizer of a format makes of a model as it comes, calibrated with data as people have it.

Usage: python -m benchmarks.task_stock dynamic|static MODEL DATA OUT

Of ONNX: onnxruntime.quantization, with the preprocessing that its documentation advises for static quantization; where
that fails, the model is quantized as it is, and a line on standard output says so. Of TensorFlow Lite:
ai-edge-quantizer by its own recipes `dynamic_wi8_afp32` and `static_wi8_ai8`.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.model.inspect import inspect_model

_SAMPLES = 100


def feeds(model: Path, data: Path) -> Iterator[dict[str, np.ndarray]]:
    """The first 100 samples, as the model takes them."""
    dataset = open_dataset(str(data), inspect_model(model).inputs)
    for sample in itertools.islice(dataset.samples(), _SAMPLES):
        yield dict(sample.feed)


def of_onnx(way: str, model: Path, data: Path, out: Path) -> None:
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if way == "dynamic":
        quantization.quantize_dynamic(model, out)
        return

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Calibration samples, one at a time."""

        def __init__(self) -> None:
            self._feeds = feeds(model, data)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        try:
            quant_pre_process(model, prepared)
        except Exception as error:
            print(f"not preprocessed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            prepared = model
        quantization.quantize_static(
            prepared,
            out,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            per_channel=True,
        )


def of_tflite(way: str, model: Path, data: Path, out: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    made = recipe.static_wi8_ai8() if way == "static" else recipe.dynamic_wi8_afp32()
    work = quantizer.Quantizer(str(model), made)
    ranges = None
    if work.need_calibration:
        runner = Interpreter(model_path=str(model)).get_signature_runner()
        names = [facts.name for facts in inspect_model(model).inputs]
        own = dict(zip(names, runner.get_input_details(), strict=True))
        given = [{own[name]: array for name, array in feed.items()} for feed in feeds(model, data)]
        ranges = work.calibrate({runner._signature_key: given})
    out.write_bytes(bytes(work.quantize(ranges).quantized_model))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.task_stock", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("way", choices=("dynamic", "static"))
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    quantize = of_tflite if arguments.model.suffix == ".tflite" else of_onnx
    quantize(arguments.way, arguments.model, arguments.data, arguments.out)


if __name__ == "__main__":
    main()
