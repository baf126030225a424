"""Masks of classes: scores (batch, classes, height, width), or with the classes last, or the classes themselves.

Answers are scores (classes, height, width), or whole numbers (height, width); the metric brings them to the size of the
labels, scores before the largest is taken. One channel is the score of class 1 against class 0: a logit, or with
options `scores = "probability"` a number in [0, 1]. Options `layout = "nhwc"` or `"nchw"` where the smaller axis does
not tell.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind


class SegmentationDecoder(Decoder):
    reads = (
        "one output: scores (batch, classes, height, width), classes first or last, or classes (batch, height, width)"
    )

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[np.ndarray]:
        raw = outputs[0]
        if raw.dtype.kind in "iu":
            if raw.ndim == 4 and 1 in (raw.shape[1], raw.shape[3]):
                raw = raw[:, 0] if raw.shape[1] == 1 else raw[..., 0]
            if raw.ndim != 3:
                raise self.mismatch(outputs)
            return list(raw.astype(np.int64))
        if raw.ndim != 4:
            raise self.mismatch(outputs)
        scores = (raw.transpose(0, 3, 1, 2) if self._are_classes_last(raw.shape) else raw).astype(np.float64)
        if scores.shape[1] == 1:
            middle = 0.5 if self.option("scores", "logit") == "probability" else 0.0
            scores = np.concatenate((np.full_like(scores, middle), scores), axis=1)
        return list(scores)

    def _are_classes_last(self, shape: tuple[int, ...]) -> bool:
        layout = self.option("layout", "")
        if layout:
            return bool(layout == "nhwc")
        if self.head.classes is not None and self.head.classes in (shape[1], shape[3]) and shape[1] != shape[3]:
            return shape[3] == self.head.classes
        return shape[3] < shape[1]

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        return {"classes": (0, (slice(None),))}


HEAD = HeadKind(name="segmentation", reads=SegmentationDecoder.reads, task="segmentation", make=SegmentationDecoder)
