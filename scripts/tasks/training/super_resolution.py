"""Train a network that doubles the size of a picture (Shi et al. 2016, ESPCN, https://arxiv.org/abs/1609.05158).

DATA.npz: small uint8 (n, side, side, 3); large uint8 (n, 2·side, 2·side, 3).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.loop import arguments, export, fit


class Doubled(nn.Module):
    """(batch, 3, height, width) in [0, 1] → twice as high and wide: what is missing to a bilinear enlargement is
    learned."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, small: Tensor) -> Tensor:
        enlarged = functional.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        learned: Tensor = self.layers(small)
        return enlarged + learned


def main() -> None:
    data, out = arguments()
    torch.manual_seed(0)
    model = Doubled()

    def pixels(name: str, chosen: np.ndarray) -> Tensor:
        # A quarter of each picture: as many different ones for less.
        part = data[name][chosen, : data[name].shape[1] // 2, : data[name].shape[2] // 2]
        return torch.from_numpy(part).permute(0, 3, 1, 2).float() / 255

    def loss(chosen: np.ndarray) -> Tensor:
        return functional.l1_loss(model(pixels("small", chosen)), pixels("large", chosen))

    fit(model, loss, len(data["small"]), steps=1500, batch=8, rate=1e-3)
    side = data["small"].shape[1]
    export(model, torch.zeros(1, 3, side, side), out, input_name="small", output_name="large")


if __name__ == "__main__":
    main()
