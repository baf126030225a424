"""CenterNet: heat map (batch, classes, h, w), sizes (batch, 2, h, w), offsets (batch, 2, h, w).

A peak is a cell that is the largest of its 3 × 3 neighbors; its box has its center at the cell plus its offset, all in
cells of the stride (Zhou et al. 2019, https://arxiv.org/abs/1904.07850, section 4). The best 100 are kept. The heat map
is behind no sigmoid; options `sigmoid = false` where it is.
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.boxes import corners, sigmoid
from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.values.labels import Detections

_MOST = 100
_NO_SUPPRESSION = 1.0


class CenternetDecoder(Decoder):
    reads = "three outputs, heat map (batch, classes, h, w), sizes (batch, 2, h, w), offsets (batch, 2, h, w)"
    fewest = 3

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        raw, sizes, offsets = outputs[:3]
        if raw.ndim != 4 or sizes.shape != (raw.shape[0], 2, *raw.shape[2:]) or offsets.shape != sizes.shape:
            raise self.mismatch(outputs)
        heat = sigmoid(raw) if self.option("sigmoid", default=True) else raw.astype(np.float64)
        height, width = self.needed_size(size)
        cell = np.array([width / raw.shape[3], height / raw.shape[2]])
        peaks = np.where(heat == _largest_around(heat), heat, 0.0)
        rows, columns = np.mgrid[: raw.shape[2], : raw.shape[3]]
        cells = np.stack((columns, rows), axis=-1).reshape(-1, 2)
        found = []
        for place in range(len(raw)):
            offset = offsets[place].reshape(2, -1).T.astype(np.float64)
            extent = sizes[place].reshape(2, -1).T.astype(np.float64)
            boxes = corners(np.concatenate(((cells + offset) * cell, extent * cell), axis=1))
            scores = peaks[place].reshape(raw.shape[1], -1).T
            found.append(self.suppressed(boxes, scores, score_min=0.0, iou_max=_NO_SUPPRESSION, most=_MOST)[0])
        return found

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        every = (slice(None),)
        return {"classes": (0, every), "boxes": (1, every), "offsets": (2, every)}


def _largest_around(heat: np.ndarray) -> np.ndarray:
    """Return for each cell the largest of its 3 × 3 neighbors; axes 2 and 3 are the cells."""
    padded = np.pad(heat, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    found: np.ndarray = windows.max(axis=(-2, -1))
    return found


HEAD = HeadKind(name="centernet", reads=CenternetDecoder.reads, task="detection", make=CenternetDecoder)
