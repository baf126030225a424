"""Metrics of the corpus' models: `function(outputs, labels)` gives the score of each sample, shape (samples,), 0 … 1.

Named as `scripts.wild.metrics:FUNCTION` from the root of the checkout.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

_PADDING = -1


def character_accuracy(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """1 - character error rate of each line, at least 0. Spaces do not count, as usual for scene text.

    Args:
        outputs: scores (samples, steps, classes) first; class 0 is the CTC blank, the last one the space. Decoded
            by the best class of each step (Graves et al. 2006, https://doi.org/10.1145/1143844.1143891, section 3.2).
        labels: class numbers (samples, characters), -1 behind the last.
    """
    silent = (_PADDING, outputs[0].shape[-1] - 1)
    texts = [_without(silent, _best_path(row, blank=0)) for row in outputs[0].argmax(axis=-1)]
    wanted = [_without(silent, [int(label) for label in row]) for row in labels]
    errors = [_edits(text, right) / len(right) for text, right in zip(texts, wanted, strict=True)]
    scores: np.ndarray = np.maximum(0.0, 1.0 - np.array(errors))
    return scores


def exact_text(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """1 for each line whose every character is right; arguments as of `character_accuracy`."""
    scores: np.ndarray = (character_accuracy(outputs, labels) == 1.0).astype(np.float64)
    return scores


def captcha_characters(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """1 - character error rate of each captcha.

    Args:
        outputs: logits (steps, samples, 37) first. Class 36 is the blank; class 0 is never read out
            (captcha_whisperer 0.1.0, `decode`).
        labels: class numbers (samples, characters).
    """
    best = outputs[0][:, :, 1:].argmax(axis=-1).T + 1
    errors = [
        _edits(_best_path(row, blank=36), [int(label) for label in right]) / len(right)
        for row, right in zip(best, labels, strict=True)
    ]
    scores: np.ndarray = np.maximum(0.0, 1.0 - np.array(errors))
    return scores


def text_area_f1(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """F1 of each page's pixels that are taken for text: probability (samples, 1, height, width) over 0.3, as PP-OCR."""
    return _f1(outputs[0][:, 0] > 0.3, labels > 0)


def voice_accuracy(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Share of each sample's windows on whose voice the first output, a probability, decides rightly at 0.5.

    Args:
        outputs: a probability for each window first.
        labels: (samples,) or (samples, windows): 1 voice, 0 none, -1 left out.
    """
    decided = (outputs[0].reshape(labels.shape) > 0.5).reshape(len(labels), -1)
    wanted = labels.reshape(len(labels), -1)
    shares: np.ndarray = ((decided == (wanted > 0)) & (wanted >= 0)).sum(axis=1) / (wanted >= 0).sum(axis=1)
    return shares


def note_f1(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """F1 of each sound's active notes, frame by frame, at 0.3 (basic-pitch's own threshold of frames).

    Args:
        outputs: onsets, notes, contours in nmp.onnx's order; notes are the second, (samples, 172, 88).
        labels: uint8 (samples, 172, 88).
    """
    return _f1(outputs[1] > 0.3, labels > 0)


def box_f1(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """F1 of each picture's boxes at an intersection over union of 0.5.

    Args:
        outputs: YOLOX's raw predictions (samples, cells, 5 + classes): centre and size relative to the cell, object,
            classes (Ge et al. 2021, https://arxiv.org/abs/2107.08430), for a square input with strides 8, 16, 32.
        labels: boxes (samples, most, 4), left, top, right, bottom in pixels; rows of -1 are none.
    """
    return np.array([_boxes_f1(found, row[row[:, 2] > 0]) for found, row in zip(outputs[0], labels, strict=True)])


def letters_right(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Share of each word's letters whose class is right: scores (samples, letters, classes), labels (samples, letters),
    -1 behind the last letter."""
    right = (outputs[0].argmax(axis=-1) == labels) & (labels != _PADDING)
    shares: np.ndarray = right.sum(axis=1) / (labels != _PADDING).sum(axis=1)
    return shares


def spindle_f1(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """F1 of each recording's samples inside sleep spindles: segmentation logits (samples, time, 1) over 0."""
    return _f1(outputs[1][:, : labels.shape[1], 0] > 0.0, labels > 0)


def atoms_mapped(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Share of the product's atoms whose origin is right: of the reactants' atoms of its element, the one that it and
    that attend most to each other.

    Args:
        outputs: attention (tokens, tokens) of one reaction first.
        labels: (1, 3, tokens) as of `wild.reactions.reactions`.
    """
    elements, classes, wanted = labels[0]
    both = outputs[0] + outputs[0].T
    hits = []
    for atom in np.flatnonzero(wanted != _PADDING):
        rivals = np.flatnonzero((classes != _PADDING) & (elements == elements[atom]))
        hits.append(classes[rivals[both[atom, rivals].argmax()]] == wanted[atom])
    return np.array([np.mean(hits)])


def same_answer(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """1 for each sample whose largest element of the first output is the one at `labels` (samples,)."""
    same: np.ndarray = (outputs[0].reshape(len(labels), -1).argmax(axis=1) == labels).astype(np.float64)
    return same


def frames_right(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Share of each sample's frames whose best class is right: scores (frames, samples, classes) first, labels
    (samples, frames)."""
    shares: np.ndarray = (labels == outputs[0].argmax(axis=-1).T).mean(axis=1)
    return shares


def cosine_to_float(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Cosine of the angle between each sample's first output and that of the float model, `labels` (samples, elements);
    0.99 is where the error has about 2 % of the signal's power (17 dB)."""
    found = outputs[0].reshape(len(labels), -1).astype(np.float64)
    wanted = labels.astype(np.float64)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    cosines: np.ndarray = (found * wanted).sum(axis=1) / np.maximum(lengths, 1e-30)
    return np.where(np.isfinite(cosines), cosines, 0.0)


def _f1(found: np.ndarray, right: np.ndarray) -> np.ndarray:
    """2·hits / (found + right) of each sample; 1 where there is nothing to find and nothing was found."""
    axes = tuple(range(1, right.ndim))
    hits = (found & right).sum(axis=axes)
    total = found.sum(axis=axes) + right.sum(axis=axes)
    scores: np.ndarray = np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0)
    return scores


def _best_path(classes: np.ndarray, blank: int) -> list[int]:
    changes = [int(classes[0]), *(int(after) for before, after in pairwise(classes) if before != after)]
    return [label for label in changes if label != blank]


def _without(left_out: tuple[int, ...], text: list[int]) -> list[int]:
    return [character for character in text if character not in left_out]


def _edits(text: list[int], right: list[int]) -> int:
    """Levenshtein distance."""
    row = list(range(len(right) + 1))
    for index, character in enumerate(text, start=1):
        diagonal, row[0] = row[0], index
        for column, other in enumerate(right, start=1):
            best = min(row[column] + 1, row[column - 1] + 1, diagonal + (character != other))
            diagonal, row[column] = row[column], best
    return row[-1]


def _boxes_f1(raw: np.ndarray, right: np.ndarray) -> float:
    boxes, scores = _decoded(raw)
    kept = _suppressed(boxes[scores > 0.3], scores[scores > 0.3])
    hits = 0
    free = list(range(len(right)))
    for box in kept:
        overlaps = [_overlap(box, right[index]) for index in free]
        if overlaps and max(overlaps) >= 0.5:
            free.pop(int(np.argmax(overlaps)))
            hits += 1
    total = len(kept) + len(right)
    return 2 * hits / total if total else 1.0


def _decoded(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (cells, 4) as left, top, right, bottom, and scores (cells,)."""
    side = next(side for side in range(32, 4096, 32) if sum((side // s) ** 2 for s in (8, 16, 32)) == len(raw))
    cells, strides = [], []
    for stride in (8, 16, 32):
        across, down = np.meshgrid(np.arange(side // stride), np.arange(side // stride))
        cells.append(np.stack((across, down), axis=2).reshape(-1, 2))
        strides.append(np.full((len(cells[-1]), 1), stride))
    grid, stride_of = np.concatenate(cells), np.concatenate(strides)
    centre = (raw[:, :2].astype(np.float64) + grid) * stride_of
    # What a broken model puts out must not overflow: no box is larger than e^10 cells.
    size = np.exp(np.clip(raw[:, 2:4].astype(np.float64), -10, 10)) * stride_of
    return np.concatenate((centre - size / 2, centre + size / 2), axis=1), raw[:, 4] * raw[:, 5:].max(axis=1)


def _suppressed(boxes: np.ndarray, scores: np.ndarray, limit: float = 0.45) -> list[np.ndarray]:
    """Greedy non-maximum suppression; at most the 100 best boxes are looked at."""
    kept: list[np.ndarray] = []
    for index in np.argsort(-scores, kind="stable")[:100]:
        if all(_overlap(boxes[index], other) <= limit for other in kept):
            kept.append(boxes[index])
    return kept


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))
