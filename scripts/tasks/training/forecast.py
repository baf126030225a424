"""Train a network that forecasts a series from its last rows: convolutions over time, each looking further back.

DATA.npz: windows float32 (n, rows, columns); labels float32 (n,). What is learned is the change from the last row's
first column, all in the units of the data, scaled inside.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.loop import arguments, export, fit


class Forecast(nn.Module):
    """(batch, rows, columns) → (batch, 1)."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray, rows: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("deviation", torch.from_numpy(deviation))
        layers: list[nn.Module] = []
        inside = len(mean)
        for outside in (32, 64, 64):
            layers += [nn.Conv1d(inside, outside, 5, 2, 2), nn.BatchNorm1d(outside), nn.ReLU()]
            inside = outside
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.last = nn.Sequential(nn.Linear(inside * -(-rows // 8), 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, window: Tensor) -> Tensor:
        scaled = (window - self.mean) / self.deviation
        change: Tensor = self.last(self.features(scaled.transpose(1, 2)))
        return window[:, -1, :1] + change * self.deviation[0]


def main() -> None:
    data, out = arguments()
    torch.manual_seed(0)
    windows, labels = torch.from_numpy(data["windows"]), torch.from_numpy(data["labels"])
    flat = data["windows"].reshape(-1, data["windows"].shape[2])
    model = Forecast(flat.mean(axis=0), flat.std(axis=0) + np.float32(1e-6), windows.shape[1])

    def loss(chosen: np.ndarray) -> Tensor:
        return functional.mse_loss(model(windows[chosen])[:, 0], labels[chosen]) / model.deviation[0].square()

    fit(model, loss, len(windows), steps=3000, batch=64)
    export(model, windows[:1], out, input_name="window", output_name="forecast")


if __name__ == "__main__":
    main()
