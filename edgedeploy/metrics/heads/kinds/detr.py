"""DETR and RT-DETR: logits (batch, queries, classes) and boxes (batch, queries, 4), no NMS.

Boxes are center x, center y, width, height as a share of the picture. DETR has a softmax over its classes and a last
one for «no object» (Carion et al. 2020, https://arxiv.org/abs/2005.12872); with options `scores = "sigmoid"`, as
RT-DETR and Deformable DETR have it, each class has a score of its own and there is no such class.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.boxes import corners, sigmoid, softmax
from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.values.labels import Detections

_MOST = 300
_NO_SUPPRESSION = 1.0


class DetrDecoder(Decoder):
    reads = "two outputs, logits (batch, queries, classes + 1) and boxes (batch, queries, 4)"
    fewest = 2

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        logits, boxes = outputs[:2]
        if logits.ndim != 3 or boxes.shape != (*logits.shape[:2], 4):
            raise self.mismatch(outputs)
        height, width = self.needed_size(size)
        if self.option("scores", "softmax") == "sigmoid":
            scores = sigmoid(logits)
        else:
            scores = softmax(logits)[..., :-1]
            # Of each query its best class, as in `PostProcess` of DETR.
            scores = np.where(scores == scores.max(axis=-1, keepdims=True), scores, 0.0)
        scaled = boxes.astype(np.float64) * [width, height, width, height]
        return [
            self.suppressed(corners(each), rows, score_min=0.0, iou_max=_NO_SUPPRESSION, most=_MOST)[0]
            for each, rows in zip(scaled, scores, strict=True)
        ]

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        return {"classes": (0, (slice(None),)), "boxes": (1, (slice(None),))}


HEAD = HeadKind(name="detr", reads=DetrDecoder.reads, task="detection", make=DetrDecoder)
