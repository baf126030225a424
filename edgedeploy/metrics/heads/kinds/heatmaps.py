"""Keypoints as heat maps: (batch, points, h, w), one object in each picture.

A point is the place of its map's largest element, moved a quarter of a cell towards the larger neighbor on each axis
(Xiao et al. 2018, https://arxiv.org/abs/1804.06208, section 3); its score is that element. Options `layout = "nhwc"`.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.metrics.heads.points import one_object
from edgedeploy.values.labels import Detections

_QUARTER = 0.25


class HeatmapDecoder(Decoder):
    reads = "one output of heat maps (batch, points, h, w)"

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        raw = outputs[0]
        if raw.ndim != 4:
            raise self.mismatch(outputs)
        maps = np.nan_to_num((raw.transpose(0, 3, 1, 2) if self.option("layout", "nchw") == "nhwc" else raw), nan=-1e30)
        height, width = self.needed_size(size)
        cell = np.array([width / maps.shape[3], height / maps.shape[2]])
        found = []
        for each in maps.astype(np.float64):
            rows, columns = np.divmod(each.reshape(len(each), -1).argmax(axis=1), each.shape[2])
            points = np.empty((len(each), 3))
            for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
                heat = each[place]
                across = _towards(heat[row], column)
                down = _towards(heat[:, column], row)
                points[place] = [(column + across + 0.5) * cell[0], (row + down + 0.5) * cell[1], heat[row, column]]
            found.append(one_object(points))
        return found

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        return {"keypoints": (0, (slice(None),))}


def _towards(line: np.ndarray, place: int) -> float:
    if not 0 < place < len(line) - 1:
        return 0.0
    return _QUARTER * float(np.sign(line[place + 1] - line[place - 1]))


HEAD = HeadKind(name="heatmaps", reads=HeatmapDecoder.reads, task="keypoints", make=HeatmapDecoder)
