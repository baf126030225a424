"""Ultralytics YOLOv8, v9, v11: no anchors, no objectness; detection, segmentation and pose, without NMS inside.

The first output is (batch, 4 + classes + rest, anchors), or with the last two axes swapped: center x, center y, width,
height in pixels (options `normalized = true`: as a share of the picture, as TensorFlow Lite exports have them), then a
score for each class; then 32 coefficients of masks, if there is a second output of prototypes (batch, 32, height,
width); or 3 numbers for each of `keypoints` points. Defaults as `ultralytics val`: scores over 0.001, IoU 0.7, at most
300 (https://docs.ultralytics.com/usage/cfg/#validation-settings, ultralytics/utils/nms.py).
"""

from __future__ import annotations

import numpy as np
from msgspec import structs

from edgedeploy.metrics.heads.boxes import corners
from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.metrics.heads.masks import masks_of
from edgedeploy.values.labels import Detections

_SCORE_MIN, _IOU_MAX, _MOST = 0.001, 0.7, 300
_BOX = 4
_POINT = 3
_PROTOTYPES = 32


class YoloDecoder(Decoder):
    """What the heads of ultralytics have in common; here without objectness."""

    reads = "one output (batch, 4 + classes, anchors), of segmentation also the prototypes (batch, 32, height, width)"
    objectness = 0
    iou_max = _IOU_MAX

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        raw, protos = outputs[0], self._protos(outputs)
        if raw.ndim != 3:
            raise self.mismatch(outputs)
        extra = self._extra(protos)
        if self._channel_axis(raw.shape, extra) == 1:
            raw = raw.transpose(0, 2, 1)
        classes = self.head.classes or raw.shape[2] - _BOX - self.objectness - extra
        if classes < 1 or raw.shape[2] != _BOX + self.objectness + classes + extra:
            raise self.mismatch(outputs)
        scale = np.ones(4)
        if self.option("normalized", default=False):
            height, width = self.needed_size(size)
            scale = np.array([width, height, width, height], np.float64)
        return [
            self._of_picture(rows, classes, scale, None if protos is None else protos[place], size)
            for place, rows in enumerate(raw.astype(np.float64))
        ]

    def _of_picture(
        self,
        rows: np.ndarray,
        classes: int,
        scale: np.ndarray,
        protos: np.ndarray | None,
        size: tuple[int, int] | None,
    ) -> Detections:
        first = _BOX + self.objectness
        scores = rows[:, first : first + classes]
        if self.objectness:
            scores = scores * rows[:, _BOX : _BOX + 1]
        found, anchors = self.suppressed(
            corners(rows[:, :_BOX] * scale),
            scores,
            score_min=_SCORE_MIN,
            iou_max=self.iou_max,
            most=_MOST,
        )
        rest = rows[anchors, first + classes :]
        if self.head.keypoints:
            points = rest.reshape(len(anchors), self.head.keypoints, _POINT) * [scale[0], scale[1], 1.0]
            return structs.replace(found, keypoints=points)
        if protos is not None:
            masks = masks_of(rest, protos.astype(np.float64), found.boxes, self.needed_size(size))
            return structs.replace(found, masks=masks)
        return found

    def _protos(self, outputs: list[np.ndarray]) -> np.ndarray | None:
        """Return the prototypes of masks, channels first."""
        if len(outputs) < 2 or self.head.keypoints or outputs[1].ndim != 4:
            return None
        protos = outputs[1]
        return protos if _prototype_axis(protos.shape) == 1 else protos.transpose(0, 3, 1, 2)

    def _extra(self, protos: np.ndarray | None) -> int:
        if self.head.keypoints:
            return _POINT * self.head.keypoints
        return 0 if protos is None else protos.shape[1]

    def _channel_axis(self, shape: tuple[int, ...], extra: int) -> int:
        if self.head.classes is not None:
            channels = _BOX + self.objectness + self.head.classes + extra
            if channels in shape[1:] and shape[1] != shape[2]:
                return shape.index(channels, 1)
        # There are more anchors than channels, but of pictures that are very small.
        return 1 if shape[1] < shape[2] else 2

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        if len(shapes[0]) != 3:
            return {}
        protos = shapes[1] if len(shapes) > 1 and len(shapes[1]) == 4 and not self.head.keypoints else None
        extra = protos[_prototype_axis(protos)] if protos else _POINT * (self.head.keypoints or 0)
        axis = self._channel_axis(shapes[0], extra)
        first = _BOX + self.objectness
        last = shapes[0][axis] - extra
        bounds = {"boxes": (0, _BOX), "objectness": (_BOX, first), "classes": (first, last)}
        bounds["keypoints" if self.head.keypoints else "masks"] = (last, last + extra)
        found: dict[str, Group] = {
            name: (0, (*[slice(None)] * axis, slice(begin, end)))
            for name, (begin, end) in bounds.items()
            if end > begin
        }
        if protos:
            found["prototypes"] = (1, (slice(None),))
        return found


def _prototype_axis(shape: tuple[int, ...]) -> int:
    """Return which axis of the masks' prototypes counts them: that of 32, or the shorter one."""
    if _PROTOTYPES in (shape[1], shape[3]):
        return 1 if shape[1] == _PROTOTYPES else 3
    return 1 if shape[1] < shape[3] else 3


HEAD = HeadKind(name="yolov8", reads=YoloDecoder.reads, task="detection", make=YoloDecoder)
