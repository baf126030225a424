"""Run a TensorFlow Lite model on golden inputs in a separate process, and return its outputs.

A converted model may be one that ends the runtime: a shape that is wrong inside is not always noticed before memory is
written. Run as `python -m edgedeploy.compile.onnx_to_tflite.answers MODEL GOLDEN SAMPLES OUTPUT`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgedeploy.compile.golden import read_golden
from edgedeploy.datasets.npz import npz_bytes
from edgedeploy.foundation.errors import EdgedeployError, UnsupportedError
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.programs import end_with_parent, last_lines
from edgedeploy.inference.litert import TfliteSession

ARITHMETICS = {"plain": True, "XNNPACK": False}
"""How the model is run: by the runtime's own kernels alone, and as it is on a device."""

_REFUSED = 9


def ask(model: Path, golden: Path, samples: int, output: Path, *, limit_s: float) -> None:
    """Run the model on each golden sample, with and without XNNPACK.

    Args:
        model: a `.tflite` file whose inputs are called as the golden samples' are.
        golden: a folder of `NNNN.npz` with keys `input:NAME`.
        output: an `.npz` file to be written, with keys `ARITHMETIC:INDEX:NAME`.
        limit_s: after so many seconds the process is ended.

    Raises:
        UnsupportedError: the runtime refuses the model, or it fails while it runs, or takes longer.
    """
    argv = [sys.executable, "-m", __name__, str(model), str(golden), str(samples), str(output)]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=limit_s, check=False, preexec_fn=end_with_parent
        )
    except subprocess.TimeoutExpired:
        raise UnsupportedError(
            "the converted model does not come to an end", why=f"ended after {limit_s:g} s"
        ) from None
    if done.returncode == 0:
        return
    if done.returncode == _REFUSED:
        raise UnsupportedError("the converted model does not run", why=done.stdout.strip())
    if done.returncode < 0:
        raise UnsupportedError(
            "the converted model ends the runtime",
            why=f"ai-edge-litert died of {signal.Signals(-done.returncode).name}",
        )
    raise UnsupportedError("the converted model does not run", why=last_lines(done.stderr))


def _answers(model: Path, golden: Path, samples: int) -> Iterator[tuple[str, np.ndarray]]:
    for name, exact in ARITHMETICS.items():
        session = TfliteSession(model, exact=exact, threads=1)
        for index in range(samples):
            inputs = read_golden(golden, index).inputs
            outputs = session.run({taken: inputs[taken] for taken in session.input_names})
            for given, array in zip(session.output_names, outputs, strict=True):
                yield f"{name}:{index}:{given}", array


def main(model: str, golden: str, samples: str, output: str) -> int:
    try:
        write_bytes(Path(output), npz_bytes(dict(_answers(Path(model), Path(golden), int(samples)))))
    except EdgedeployError as error:
        print(error.why or error.what)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
