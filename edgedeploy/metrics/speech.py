"""Error rates of transcripts, aligned by jiwer.

A rate is (substitutions + deletions + insertions) / words or characters of the labels, over all samples together.
Smaller is better; it may be over 1.

- `wer`: of words, between white space. `cer`: of characters, as they stand. `ctc-cer`: `cer` of a model whose head is
  `ctc`. (Levenshtein distance; Jurafsky and Martin, Speech and Language Processing, 3rd edition, section 16.5.)

Labels are texts. Without a head, the first output of text is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.inference.session import Feed
from edgedeploy.inference.text import is_text
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.libraries import library
from edgedeploy.metrics.metric import Metric, SampleMetric
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels


class _ErrorRate(SampleMetric):
    """Keeps of each sample its errors, and the words or characters of its label."""

    def __init__(self, name: str, head: Head | None, outputs: Sequence[str]) -> None:
        super().__init__(name)
        if name == "ctc-cer" and head is None:
            raise UnsupportedError(
                "the metric ctc-cer needs to know the model's alphabet",
                hint='state [head] kind = "ctc" and options = { alphabet = "…", blank = 0 }; --head FILE.toml takes it',
            )
        self._decoder = find_head(head, outputs) if head is not None else None

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        wanted = _texts(self.name, labels)
        found = self._answers(outputs, feed, len(wanted))
        rows = [self._of_sample(each, label) for each, label in zip(found, wanted, strict=True)]
        return np.array(rows, np.float64).reshape(len(wanted), 2)

    def _answers(self, outputs: list[np.ndarray], feed: Feed | None, samples: int) -> list[str]:
        if self._decoder is not None:
            return _texts(self.name, self._decoder.answers(outputs, feed, samples))
        for output in outputs:
            if is_text(output) and output.size == samples:
                return [str(text) for text in output.reshape(-1)]
        raise DatasetError(
            f"the metric {self.name} finds no output of text",
            hint='state the model\'s head: --head FILE.toml with kind = "ctc" or a function of your own',
        )

    def _of_sample(self, found: str, wanted: str) -> tuple[int, int]:
        jiwer = library("jiwer", "speech", self.name)
        if self.name == "wer":
            length = len(wanted.split())
            if not length or not found.split():
                return max(length, len(found.split())), length
            aligned = jiwer.process_words(wanted, found)
        else:
            length = len(wanted)
            if not length or not found:
                return max(length, len(found)), length
            as_they_stand = jiwer.Compose([jiwer.ReduceToListOfListOfChars()])
            aligned = jiwer.process_characters(
                wanted, found, reference_transform=as_they_stand, hypothesis_transform=as_they_stand
            )
        return aligned.substitutions + aligned.deletions + aligned.insertions, length

    def value(self, prepared: np.ndarray, weights: np.ndarray) -> float:
        length = float(weights @ prepared[:, 1])
        return float(weights @ prepared[:, 0]) / length if length else math.nan

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        """Return minus the errors of each sample."""
        errors: np.ndarray = -statistics[:, 0]
        return errors


def _texts(name: str, labels: Labels) -> list[str]:
    wrong = next((label for label in labels if not isinstance(label, str)), None)
    if wrong is not None:
        raise DatasetError(
            f"the metric {name} needs texts, and found {type(wrong).__name__}",
            hint="give transcripts as labels, and a head that gives texts",
        )
    return [str(label) for label in labels]


def _make(name: str, head: Head | None, outputs: Sequence[str]) -> Metric:
    return _ErrorRate(name, head, outputs)


BUILT_IN = dict.fromkeys(("wer", "cer", "ctc-cer"), _make)
"""How each of the metrics of this module is made, by its name."""
