"""What NNCF makes of a model with its default settings.

Usage: python nncf_static.py MODEL CALIBRATION.npz EVALUATION.npz METRIC OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import feeds
import nncf  # type: ignore[import-not-found]
import onnx


def main() -> None:
    model, calibration, out = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[5])
    typical = [feed for feed, _ in feeds.samples(model, calibration)]
    onnx.save(nncf.quantize(onnx.load(model), nncf.Dataset(typical), subset_size=len(typical)), out)


if __name__ == "__main__":
    main()
