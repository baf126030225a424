"""Ultralytics YOLOv5 (and v6, v7 with its layer): (batch, anchors, 5 + classes), without NMS inside.

Center x, center y, width, height in pixels, objectness, and a score for each class, which objectness multiplies.
Options, masks and defaults as `yolov8`, but IoU 0.6 (`yolov5/val.py`).
"""

from __future__ import annotations

from edgedeploy.metrics.heads.decoder import HeadKind
from edgedeploy.metrics.heads.kinds.yolov8 import YoloDecoder


class Yolov5Decoder(YoloDecoder):
    reads = "one output (batch, anchors, 5 + classes), of segmentation also the prototypes (batch, 32, height, width)"
    objectness = 1
    iou_max = 0.6


HEAD = HeadKind(name="yolov5", reads=Yolov5Decoder.reads, task="detection", make=Yolov5Decoder)
