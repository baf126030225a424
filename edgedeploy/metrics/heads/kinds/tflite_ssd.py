"""The four outputs of TensorFlow Lite's operator `TFLite_Detection_PostProcess`, NMS inside.

Boxes (1, detections, 4): y0, x0, y1, x1 as a share of the picture; classes (1, detections), from 0; scores (1,
detections); how many there are (1,). Name them in this order with `[head] outputs` where the model has another
(https://www.tensorflow.org/lite/examples/object_detection/overview#output_signature).
"""

from __future__ import annotations

import numpy as np

from edgedeploy.metrics.heads.decoder import Decoder, Group, HeadKind
from edgedeploy.values.labels import Detections


class TfliteSsdDecoder(Decoder):
    reads = "four outputs: boxes (1, detections, 4), classes (1, detections), scores (1, detections), count (1,)"
    fewest = 4
    ranked = True

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> list[Detections]:
        boxes, classes, scores, counts = outputs[:4]
        if boxes.ndim != 3 or boxes.shape[2] != 4 or classes.shape != boxes.shape[:2] or scores.shape != classes.shape:
            raise self.mismatch(outputs)
        height, width = self.needed_size(size)
        found = []
        for place, count in enumerate(counts.reshape(-1)[: len(boxes)]):
            kept = np.arange(max(0, min(int(count) if np.isfinite(count) else 0, boxes.shape[1])))
            usable = np.isfinite(scores[place, kept]) & np.isfinite(boxes[place, kept]).all(axis=1)
            kept = kept[usable & (scores[place, kept] > (self.head.score_min or 0.0))]
            found.append(
                Detections(
                    boxes=boxes[place, kept][:, [1, 0, 3, 2]].astype(np.float64) * [width, height, width, height],
                    classes=classes[place, kept].astype(np.int64),
                    scores=scores[place, kept].astype(np.float64),
                )
            )
        return found

    def _groups(self, shapes: list[tuple[int, ...]]) -> dict[str, Group]:
        every = (slice(None),)
        return {"boxes": (0, every), "classes": (1, every), "scores": (2, every), "count": (3, every)}


HEAD = HeadKind(name="tflite-ssd", reads=TfliteSsdDecoder.reads, task="detection", make=TfliteSsdDecoder)
