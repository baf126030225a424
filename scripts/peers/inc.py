"""What Intel Neural Compressor makes of a model, tuning by accuracy as it offers it.

Usage: python inc.py MODEL CALIBRATION.npz EVALUATION.npz METRIC OUT

Post-training static quantization with its default settings; when the metric falls by more than 0.01 it tries others, at
most ten or for five minutes. What it offers when none holds is no model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feeds
from neural_compressor import PostTrainingQuantConfig, quantization  # type: ignore[import-not-found]
from neural_compressor.config import AccuracyCriterion, TuningCriterion  # type: ignore[import-not-found]


class Loader:
    """Calibration samples as Neural Compressor takes them: pairs of a feed and a label."""

    batch_size = 1

    def __init__(self, model: Path, data: Path) -> None:
        self._model, self._data = model, data

    def __iter__(self) -> Iterator[tuple[feeds.Feed, int]]:
        for feed, _ in feeds.samples(self._model, self._data):
            yield feed, 0


def main() -> None:
    model, calibration, evaluation = map(Path, sys.argv[1:4])
    metric, out = sys.argv[4], Path(sys.argv[5])

    def judge(candidate: Any) -> float:
        proto = getattr(candidate, "model", candidate)
        return feeds.score(proto.SerializeToString(), model, evaluation, metric)

    found = quantization.fit(
        model=str(model),
        conf=PostTrainingQuantConfig(
            approach="static",
            calibration_sampling_size=[100],
            accuracy_criterion=AccuracyCriterion(criterion="absolute", tolerable_loss=0.01),
            tuning_criterion=TuningCriterion(timeout=300, max_trials=10),
        ),
        calib_dataloader=Loader(model, calibration),
        eval_func=judge,
    )
    if found is None:
        sys.exit("found nothing that keeps the accuracy")
    found.save(str(out))


if __name__ == "__main__":
    main()
