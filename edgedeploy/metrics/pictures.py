"""Metrics of models that give pictures: means over pictures.

- `psnr`: 10·log10(L² / mean of squared errors), in dB; 100 where there is no error.
- `ssim`: structural similarity with a Gaussian window of 11 × 11 and σ 1.5, K1 = 0.01, K2 = 0.03, over the pixels whose
  window lies in the picture, the mean of the channels (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861,
  section III.B; as scikit-image's `structural_similarity` with `gaussian_weights=True, use_sample_covariance=False`).

L, the range of values, is 1 where no label is over 1, else 255.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.metric import Metric, ScoreMetric
from edgedeploy.metrics.regression import finite_errors, pairs
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels

_MOST_DB = 100.0
_SIGMA = 1.5
_RADIUS = 5
_K1, _K2 = 0.01, 0.03


class _PictureMetric(ScoreMetric):
    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        compared = pairs(self.name, outputs, labels)
        figure = _psnr if self.name == "psnr" else _ssim
        return np.array([figure(found, wanted) for found, wanted in compared], np.float64)


def _range(wanted: np.ndarray) -> float:
    return 1.0 if float(wanted.max(initial=0.0)) <= 1.0 else 255.0


def _psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    squared = float(np.square(finite_errors(found, wanted)).mean()) if wanted.size else 0.0
    if not squared:
        return _MOST_DB
    return min(_MOST_DB, 20.0 * math.log10(_range(wanted)) - 10.0 * math.log10(squared))


def _ssim(found: np.ndarray, wanted: np.ndarray) -> float:
    channels = _channels_first(found), _channels_first(wanted)
    if min(channels[1].shape[1:]) <= 2 * _RADIUS:
        raise DatasetError(
            f"ssim needs pictures of at least {2 * _RADIUS + 1} pixels, and found shape {wanted.shape}",
            hint="choose psnr",
        )
    scale = _range(wanted)
    if not np.isfinite(found).all():
        return -1.0
    return float(np.mean([_ssim_of_channel(x, y, scale) for x, y in zip(*channels, strict=True)]))


def _ssim_of_channel(x: np.ndarray, y: np.ndarray, scale: float) -> float:
    c1, c2 = (_K1 * scale) ** 2, (_K2 * scale) ** 2
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def _blurred(channel: np.ndarray) -> np.ndarray:
    """Return the weighted mean of each window that lies in the picture."""
    line = np.exp(-0.5 * np.square(np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA))
    line /= line.sum()
    view = np.lib.stride_tricks.sliding_window_view
    found: np.ndarray = view(view(channel, len(line), axis=0) @ line, len(line), axis=1) @ line
    return found


def _channels_first(picture: np.ndarray) -> np.ndarray:
    """Return a picture as (channels, height, width); of rank 2 it has one channel."""
    if picture.ndim == 2:
        return picture[np.newaxis]
    if picture.ndim != 3:
        raise DatasetError(f"ssim needs pictures, and found labels of shape {picture.shape}")
    return picture.transpose(2, 0, 1) if picture.shape[2] in (1, 3, 4) and picture.shape[0] > 4 else picture


def _make(name: str, head: Head | None, outputs: Sequence[str]) -> Metric:
    return _PictureMetric(name)


BUILT_IN = dict.fromkeys(("psnr", "ssim"), _make)
"""How each of the metrics of this module is made, by its name."""
