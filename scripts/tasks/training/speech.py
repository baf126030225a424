"""Train a recognizer of spoken digits: convolutions over time with separate depth and width, and CTC on letters.

DATA.npz: features float32 (n, bands, frames), silence behind the end; texts int64 (n, letters), 0 behind the last;
symbols: int64 scalar. Laid out as QuartzNet (Kriman et al. 2020, https://arxiv.org/abs/1910.10261); CTC by Graves et
al. 2006.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.loop import arguments, export, fit


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(inside, inside, width, stride, width // 2, groups=inside, bias=False),
            nn.Conv1d(inside, outside, 1, bias=False),
            nn.BatchNorm1d(outside),
            nn.ReLU(),
        )
        self._past = inside == outside and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found + x if self._past else found


class Recognizer(nn.Module):
    """Features (batch, bands, frames) → log probabilities (batch, frames / 2, symbols), the blank first."""

    def __init__(self, bands: int, symbols: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _Block(bands, 128, 11, 2),
            _Block(128, 128, 11),
            _Block(128, 128, 13),
            _Block(128, 160, 15),
            _Block(160, 160, 17),
            nn.Conv1d(160, symbols, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.layers(features)
        return functional.log_softmax(scores.transpose(1, 2), dim=2)


def main() -> None:
    data, out = arguments()
    torch.manual_seed(0)
    features, texts = torch.from_numpy(data["features"]), torch.from_numpy(data["texts"])
    model = Recognizer(features.shape[1], int(data["symbols"]))

    def loss(chosen: np.ndarray) -> Tensor:
        answers = model(features[chosen]).transpose(0, 1)
        steps = torch.full((len(chosen),), answers.shape[0], dtype=torch.int64)
        letters = (texts[chosen] > 0).sum(dim=1)
        return functional.ctc_loss(answers, texts[chosen], steps, letters)

    fit(model, loss, len(features), steps=2000, batch=32)
    export(model, features[:1], out, input_name="features", output_name="log_probabilities")


if __name__ == "__main__":
    main()
