"""Train a classifier of short texts: an embedding of tokens, convolutions over them, the largest answer of each.

DATA.npz: tokens int64 (n, length), 0 behind the end; labels int64 (n,); tokens_count, classes: int64 scalars. The
network is that of Kim 2014, https://arxiv.org/abs/1408.5882.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.loop import arguments, export, fit


class TextClasses(nn.Module):
    """Token numbers int64 (batch, length) → scores (batch, classes)."""

    def __init__(self, tokens: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, 64, padding_idx=0)
        self.branches = nn.ModuleList(nn.Conv1d(64, 96, width, padding=width // 2) for width in (1, 3, 5))
        self.last = nn.Linear(3 * 96, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        embedded = self.embedding(tokens).transpose(1, 2)
        found = torch.cat([torch.relu(branch(embedded)).amax(dim=2) for branch in self.branches], dim=1)
        if self.training:
            found = functional.dropout(found, 0.3)
        scores: Tensor = self.last(found)
        return scores


def main() -> None:
    data, out = arguments()
    torch.manual_seed(0)
    tokens, labels = torch.from_numpy(data["tokens"]), torch.from_numpy(data["labels"])
    model = TextClasses(int(data["tokens_count"]), int(data["classes"]))

    def loss(chosen: np.ndarray) -> Tensor:
        return functional.cross_entropy(model(tokens[chosen]), labels[chosen])

    fit(model, loss, len(tokens), steps=2500, batch=64)
    export(model, tokens[:1], out, input_name="input_ids", output_name="scores")


if __name__ == "__main__":
    main()
