"""Keypoints as numbers, one object in each picture: (batch, points, 2 or 3), axes of length 1 aside.

x, y and a score, in pixels; options `normalized = true`: as a share of the picture; `order = "yx"`: y before x. MoveNet
has both.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.metrics.heads.points import one_object
from edgedeploy.values.labels import Detections


class KeypointDecoder(Decoder):
    reads = "one output of points (batch, points, 2) or (batch, points, 3)"

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        raw = outputs[0].astype(np.float64)
        if self.head.keypoints and raw.ndim >= 2 and raw[0].size % self.head.keypoints == 0:
            raw = raw.reshape(len(raw), self.head.keypoints, -1)
        elif raw.ndim > 3:
            raw = raw.reshape(len(raw), *[extent for extent in raw.shape[1:-1] if extent != 1], raw.shape[-1])
        if raw.ndim != 3 or raw.shape[2] not in (2, 3):
            raise self.mismatch(outputs)
        if raw.shape[2] == 2:
            raw = np.concatenate((raw, np.ones((*raw.shape[:2], 1))), axis=2)
        if self.option("order", "xy") == "yx":
            raw = raw[..., [1, 0, 2]]
        if self.option("normalized", default=False):
            height, width = self.needed_size(size)
            raw = raw * [width, height, 1.0]
        return [one_object(points) for points in raw]

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        return {"keypoints": (0, (slice(None),))}


HEAD = HeadKind(name="keypoints", reads=KeypointDecoder.reads, task="keypoints", make=KeypointDecoder)
