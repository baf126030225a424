"""FCOS: logits (batch, points, classes), distances (batch, points, 4), centerness (batch, points, 1), no NMS inside.

Points are the middles of the cells of strides 8 to 128, all strides in turn; distances are left, top, right, bottom in
units of the stride. The score is √(sigmoid(logit)·sigmoid(centerness)) (Tian et al. 2019,
https://arxiv.org/abs/1904.01355, with torchvision's `fcos.py`). Defaults: scores over 0.05, IoU 0.6, at most 100.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.boxes import grid, sigmoid
from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.values.labels import Detections

_STRIDES = (8, 16, 32, 64, 128)
_SCORE_MIN, _IOU_MAX, _MOST = 0.05, 0.6, 100


class FcosDecoder(Decoder):
    reads = (
        "three outputs, logits (batch, points, classes), distances (batch, points, 4), centerness (batch, points, 1)"
    )
    fewest = 3

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        logits, distances, centerness = outputs[:3]
        cells, strides = grid(self.needed_size(size), self.head.strides or _STRIDES, offset=0.5)
        if logits.ndim != 3 or distances.shape != (*logits.shape[:2], 4) or logits.shape[1] != len(cells):
            raise self.mismatch(outputs)
        points = cells * strides[:, np.newaxis]
        reach = distances.astype(np.float64) * strides[:, np.newaxis]
        boxes = np.concatenate((points - reach[..., :2], points + reach[..., 2:]), axis=-1)
        scores = np.sqrt(sigmoid(logits) * sigmoid(centerness.reshape(*logits.shape[:2], 1)))
        return [
            self.suppressed(
                each,
                rows,
                score_min=_SCORE_MIN,
                iou_max=_IOU_MAX,
                most=_MOST,
            )[0]
            for each, rows in zip(boxes, scores, strict=True)
        ]

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        every = (slice(None),)
        return {"classes": (0, every), "boxes": (1, every), "objectness": (2, every)}


HEAD = HeadKind(name="fcos", reads=FcosDecoder.reads, task="detection", make=FcosDecoder)
