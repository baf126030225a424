"""SSD with anchors, without NMS inside: scores (batch, anchors, classes + 1) and offsets (batch, anchors, 4).

`strides` and `anchors` (for each stride width and height of its anchors in pixels, in turn) are needed: an anchor is in
the middle of each cell, all of a cell one after the other. A box is its anchor moved by 0.1·offset·size and scaled by
exp(0.2·offset) (Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.2, with the variances of its code).
Scores are logits (softmax; options `scores = "sigmoid"` or `"none"`), class 0 is the background (options
`background = -1`: there is none). Options `order = "yx"`: offsets are y, x, height, width, as TensorFlow has them.
Defaults: scores over 0.01, IoU 0.45, at most 200 (section 3.1 of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.metrics.heads.boxes import corners, grid, sigmoid, softmax
from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Detections

_SCORE_MIN, _IOU_MAX, _MOST = 0.01, 0.45, 200
_CENTER, _SIZE = 0.1, 0.2


class SsdDecoder(Decoder):
    reads = "two outputs, scores (batch, anchors, classes + 1) and offsets (batch, anchors, 4)"
    fewest = 2

    def __init__(self, head: Head, names: Sequence[str]) -> None:
        super().__init__(head, names)
        if not head.strides or len(head.anchors) != len(head.strides):
            raise UnsupportedError(
                "the head ssd needs its anchors",
                why=f"it has {len(head.strides)} strides and the anchors of {len(head.anchors)}",
                hint="state [head] strides = [16, 32] and anchors = [[w, h, w, h], [w, h]], in pixels of the input",
            )

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        raw, offsets = outputs[:2]
        anchors = self._anchors(self.needed_size(size))
        if raw.ndim != 3 or offsets.shape != (*raw.shape[:2], 4) or raw.shape[1] != len(anchors):
            raise self.mismatch(outputs)
        scores = {"softmax": softmax, "sigmoid": sigmoid}.get(str(self.option("scores", "softmax")), np.asarray)(raw)
        background = int(self.option("background", 0))
        if background >= 0:
            scores = np.delete(scores, background, axis=2)
        moved = offsets.astype(np.float64)
        if self.option("order", "xy") == "yx":
            moved = moved[..., [1, 0, 3, 2]]
        with np.errstate(over="ignore"):
            centers = moved[..., :2] * _CENTER * anchors[:, 2:] + anchors[:, :2]
            sizes = np.exp(moved[..., 2:] * _SIZE) * anchors[:, 2:]
        return [
            self.suppressed(
                corners(np.concatenate((center, extent), axis=1)),
                rows,
                score_min=_SCORE_MIN,
                iou_max=_IOU_MAX,
                most=_MOST,
            )[0]
            for center, extent, rows in zip(centers, sizes, scores, strict=True)
        ]

    def _anchors(self, size: tuple[int, int]) -> np.ndarray:
        """Return center x, center y, width, height of every anchor."""
        found = []
        for stride, sizes in zip(self.head.strides, self.head.anchors, strict=True):
            cells, _ = grid(size, (stride,), offset=0.5)
            extents = np.array(sizes, np.float64).reshape(-1, 2)
            found.append(
                np.concatenate(
                    (np.repeat(cells * stride, len(extents), axis=0), np.tile(extents, (len(cells), 1))), axis=1
                )
            )
        return np.concatenate(found)

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        return {"classes": (0, (slice(None),)), "boxes": (1, (slice(None),))}


HEAD = HeadKind(name="ssd", reads=SsdDecoder.reads, task="detection", make=SsdDecoder)
