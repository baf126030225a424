"""Train a network that finds the nine points of a sheet of paper in a photograph.

DATA.npz: images uint8 (n, side, side, 3); points float32 (n, 9, 2): x, y as shares of the picture.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.loop import Residual, arguments, convolution, export, fit

_RESIDUAL_FROM = 48
"""Where there are so many channels, the picture is small enough."""


class Points(nn.Module):
    """Images in [0, 1], (batch, 3, side, side) → (batch, points, 2), shares of the picture."""

    def __init__(self, side: int, points: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for outside in (12, 24, 48, 64, 96):
            layers.append(convolution(inside, outside, 3, 2))
            if outside >= _RESIDUAL_FROM:
                layers.append(Residual(outside))
            inside = outside
        cells = side // 2**5
        self.features = nn.Sequential(*layers, convolution(inside, 32, 1), nn.Flatten())
        self.last = nn.Sequential(nn.Linear(32 * cells * cells, 128), nn.SiLU(), nn.Linear(128, 2 * points))
        self._points = points

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.last(self.features(images))
        return found.reshape(-1, self._points, 2) + 0.5


def main() -> None:
    data, out = arguments()
    torch.manual_seed(0)
    images, points = data["images"], torch.from_numpy(data["points"])
    model = Points(images.shape[1], points.shape[1])

    def loss(chosen: np.ndarray) -> Tensor:
        batch = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).float() / 255
        return functional.smooth_l1_loss(model(batch), points[chosen], beta=0.02)

    fit(model, loss, len(images), steps=1500, batch=32)
    export(model, torch.zeros(1, 3, *images.shape[1:3]), out, input_name="image", output_name="points")


if __name__ == "__main__":
    main()
