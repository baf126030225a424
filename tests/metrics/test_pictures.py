"""Metrics of pictures, against their definitions written out."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.metrics.registry import find_metric


def computed(name, found, label):
    metric = find_metric(name).start()
    metric.add([found[np.newaxis]], label[np.newaxis])
    return metric.figure().value


def ssim_written_out(x, y, scale):
    """Equation 13 of Wang et al. 2004, window by window."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, np.newaxis] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * scale) ** 2, (0.03 * scale) ** 2
    found = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (each[row : row + 11, column : column + 11] for each in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            both = (window * (a - mean_a) * (b - mean_b)).sum()
            found.append(
                (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    return np.mean(found)


def test_psnr():
    assert computed("psnr", np.full((3, 4, 4), 0.6), np.full((3, 4, 4), 0.5)) == pytest.approx(20.0)
    assert computed("psnr", np.full((3, 4, 4), 110.0), np.full((3, 4, 4), 100.0)) == pytest.approx(28.1308, abs=1e-4)
    assert computed("psnr", np.ones((3, 4, 4)), np.ones((3, 4, 4))) == 100.0
    assert computed("psnr", np.full((3, 4, 4), np.nan), np.ones((3, 4, 4))) < -1000


def test_ssim_is_the_formula_window_by_window(rng):
    label = rng.random((3, 14, 17))
    found = label + rng.normal(0, 0.1, label.shape)
    expected = np.mean([ssim_written_out(found[channel], label[channel], 1.0) for channel in range(3)])
    assert computed("ssim", found, label) == pytest.approx(expected)
    assert computed("ssim", found.transpose(1, 2, 0), label.transpose(1, 2, 0)) == pytest.approx(expected)
    assert computed("ssim", label, label) == pytest.approx(1.0)
    assert computed("ssim", label * np.nan, label) == -1.0


def test_pictures_that_are_too_small_for_a_window():
    with pytest.raises(DatasetError, match="at least 11 pixels"):
        computed("ssim", np.ones((3, 8, 8)), np.ones((3, 8, 8)))
