"""How much of what a model answers is left, through its head: detections, pixels, text.

Numbers beside numbers (SQNR, cosine, the largest of each anchor's scores) say little of a detector: what counts is
which objects it finds. No labels are needed.

- Detections: those of the reference with a score of `SCORE_MIN` at least, matched one to one, the best first, with
  detections of the same class whose boxes overlap by an IoU of `IOU_MIN`. One that matches may have half of that score:
  else each that lies near the limit would count. What the other finds and the reference does not counts against it.
- Pixels: of masks of classes, those that have the reference's class.
- Text: characters, less the insertions, deletions and substitutions that make one text of the other (Levenshtein;
  Wagner and Fischer 1974, https://doi.org/10.1145/321796.321811).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import structs

from edgedeploy.inference.session import Feed
from edgedeploy.metrics.agreement import samples_in
from edgedeploy.metrics.heads.boxes import overlaps
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.metrics.heads.own import OwnDecoder
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.values.labels import Detections, Labels
from edgedeploy.values.quality import AnswersKept

SCORE_MIN = 0.25
"""What ultralytics shows by default (`conf`, https://docs.ultralytics.com/modes/predict/#inference-arguments). A head
that states a higher `score_min` is read with that."""
LEAST_KEPT_SHARE = 0.95
"""Without labels. Of 115 detections on 64 pictures an INT8 YOLOv8n lost none at 10.7 dB of its scores, 4 % at 7.1 dB
and 23 % at 5.4 dB."""
IOU_MIN = 0.5
"""The overlap from which on two boxes show the same object, as in Pascal VOC and in `map50`."""


class AnswerReader:
    """Reads answers through a head, as far as they can be compared."""

    def __init__(self, decoder: Decoder) -> None:
        stated = decoder.head.score_min or 0.0
        self.score_min = max(SCORE_MIN, stated)
        if isinstance(decoder, OwnDecoder):
            self._decoder: Decoder = decoder
        else:
            head = structs.replace(decoder.head, score_min=max(self.score_min / 2, stated))
            self._decoder = find_head(head, decoder.names)

    def read(self, outputs: Sequence[np.ndarray], feed: Feed, labels: Labels | None) -> tuple[Any, ...]:
        """Return the answer for each sample of a batch.

        Raises:
            DatasetError: the outputs do not have the shapes of the head.
        """
        samples = samples_in(list(feed.values())) if labels is None else len(labels)
        if labels is None and samples != samples_in(outputs):
            samples = 1
        return self._decoder.answers(outputs, feed, samples)


class KeptTally:
    """Counts what of the reference's answers is left."""

    def __init__(self, score_min: float) -> None:
        """
        Args:
            score_min: of detections that count.
        """
        self._score_min = score_min
        self._what: str | None = None
        self._count = self._kept = self._added = 0

    def add(self, answers: Sequence[Any], reference_answers: Sequence[Any]) -> None:
        """Count the answers of a batch, as `AnswerReader.read` returns them. What is of no known kind is left out."""
        for answer, reference in zip(answers, reference_answers, strict=True):
            if isinstance(reference, Detections) and isinstance(answer, Detections):
                self._what = "detections"
                kept, wanted = _matches(reference, answer, self._score_min)
                known, found = _matches(answer, reference, self._score_min)
                self._count, self._kept, self._added = (
                    self._count + wanted,
                    self._kept + kept,
                    self._added + found - known,
                )
            elif isinstance(reference, str) and isinstance(answer, str):
                self._what = "characters"
                self._count += len(reference)
                edits = edit_distance(answer, reference)
                self._kept += max(0, len(reference) - edits)
                self._added += max(0, edits - len(reference))
            elif _is_class_mask(reference) and np.shape(answer) == reference.shape:
                self._what = "pixels"
                self._count += reference.size
                self._kept += int(np.count_nonzero(answer == reference))

    def figure(self) -> AnswersKept | None:
        """Return the share over all that was added; None where there is nothing that could be kept."""
        if self._what is None or not self._count + self._added:
            return None
        return AnswersKept(
            what=self._what,
            count=self._count,
            kept=self._kept,
            added=self._added,
            score_min=self._score_min if self._what == "detections" else None,
        )


def edit_distance(text: str, wanted: str) -> int:
    """Return how many insertions, deletions and substitutions of characters make one text of the other."""
    row = list(range(len(wanted) + 1))
    for place, character in enumerate(text, 1):
        before, row[0] = row[0], place
        for column, other in enumerate(wanted, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (character != other))
    return row[-1]


def _matches(these: Detections, others: Detections, score_min: float) -> tuple[int, int]:
    """Return how many of these detections the others have too, and how many there are, of a score that counts."""
    scores, other_scores = _scores(these), _scores(others)
    counted = np.flatnonzero(scores >= score_min)
    possible = np.flatnonzero(other_scores >= score_min / 2)
    if not counted.size or not possible.size:
        return 0, counted.size
    overlap = overlaps(these.boxes[counted], others.boxes[possible])
    overlap[these.classes[counted][:, np.newaxis] != others.classes[possible]] = 0.0
    found = 0
    for row in np.argsort(-scores[counted], kind="stable"):
        best = int(overlap[row].argmax())
        if overlap[row, best] >= IOU_MIN:
            overlap[:, best] = 0.0
            found += 1
    return found, counted.size


def _scores(detections: Detections) -> np.ndarray:
    return np.ones(len(detections.boxes)) if detections.scores is None else detections.scores


def _is_class_mask(answer: Any) -> bool:
    return isinstance(answer, np.ndarray) and answer.ndim == 2 and answer.dtype.kind in "iub"
