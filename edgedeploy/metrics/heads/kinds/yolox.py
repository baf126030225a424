"""YOLOX: (batch, anchors, 5 + classes), boxes relative to their cell, without NMS inside.

x, y are (raw + cell)·stride, width and height exp(raw)·stride; objectness and scores are behind their sigmoid already.
Defaults: strides 8, 16, 32; scores over 0.01, IoU 0.65 (`yolox/exp/yolox_base.py`, `demo_postprocess`). Options
`decoded = true` where the model was exported with its boxes in pixels.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.boxes import corners, grid
from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.values.labels import Detections

_STRIDES = (8, 16, 32)
_SCORE_MIN, _IOU_MAX, _MOST = 0.01, 0.65, 300


class YoloxDecoder(Decoder):
    reads = "one output (batch, anchors, 5 + classes), an anchor for each cell of strides 8, 16 and 32"

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        raw = outputs[0].astype(np.float64) if outputs[0].dtype.kind in "fiu" else outputs[0]
        if raw.ndim != 3 or raw.shape[2] < 6:
            raise self.mismatch(outputs)
        boxes = raw[..., :4]
        if not self.option("decoded", default=False):
            cells, strides = grid(self.needed_size(size), self.head.strides or _STRIDES)
            if len(cells) != raw.shape[1]:
                raise self.mismatch(outputs)
            with np.errstate(over="ignore"):
                boxes = np.concatenate(
                    (
                        (raw[..., :2] + cells) * strides[:, np.newaxis],
                        np.exp(raw[..., 2:4]) * strides[:, np.newaxis],
                    ),
                    axis=-1,
                )
        return [
            self.suppressed(
                corners(each),
                rows[:, 5:] * rows[:, 4:5],
                score_min=_SCORE_MIN,
                iou_max=_IOU_MAX,
                most=_MOST,
            )[0]
            for each, rows in zip(boxes, raw, strict=True)
        ]

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        every = slice(None)
        return {
            "boxes": (0, (every, every, slice(0, 4))),
            "objectness": (0, (every, every, slice(4, 5))),
            "classes": (0, (every, every, slice(5, shapes[0][-1]))),
        }


HEAD = HeadKind(name="yolox", reads=YoloxDecoder.reads, task="detection", make=YoloxDecoder)
