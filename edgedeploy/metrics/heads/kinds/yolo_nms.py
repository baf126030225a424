"""Detections behind the model's own NMS: (batch, detections, 6): x0, y0, x1, y1 in pixels, score, class.

As ultralytics exports with `nms=True`, and YOLOv10 and YOLO26 have by design; rows of zeros fill up. Options
`normalized = true` where coordinates are a share of the picture. More columns are keypoints, 3 for each.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.values.labels import Detections

_COLUMNS = 6
_SCORE_MIN = 0.0


class YoloNmsDecoder(Decoder):
    reads = "one output (batch, detections, 6): x0, y0, x1, y1, score, class"
    ranked = True

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        raw = outputs[0]
        if raw.ndim != 3 or raw.shape[2] < _COLUMNS:
            raise self.mismatch(outputs)
        scale = np.ones(4)
        if self.option("normalized", default=False):
            height, width = self.needed_size(size)
            scale = np.array([width, height, width, height], np.float64)
        return [self._of_picture(rows, scale) for rows in raw.astype(np.float64)]

    def _of_picture(self, rows: np.ndarray, scale: np.ndarray) -> Detections:
        least = _SCORE_MIN if self.head.score_min is None else self.head.score_min
        kept = rows[(rows[:, 4] > least) & np.isfinite(rows).all(axis=1)]
        kept = kept[np.argsort(-kept[:, 4], kind="stable")][: self.head.most or len(kept)]
        points = None
        if self.head.keypoints:
            points = kept[:, _COLUMNS:].reshape(len(kept), self.head.keypoints, 3) * [scale[0], scale[1], 1.0]
        return Detections(
            boxes=kept[:, :4] * scale, classes=kept[:, 5].astype(np.int64), scores=kept[:, 4], keypoints=points
        )

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        every = slice(None)
        columns = {"boxes": (0, 4), "scores": (4, 5), "classes": (5, 6), "keypoints": (6, shapes[0][-1])}
        return {name: (0, (every, every, slice(*ends))) for name, ends in columns.items() if ends[1] > ends[0]}


HEAD = HeadKind(name="yolo-nms", reads=YoloNmsDecoder.reads, task="detection", make=YoloNmsDecoder)
