"""What every training has in common: steps of AdamW with a warm-up and a cosine, and the export to ONNX."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

OPSET = 18


def arguments() -> tuple[dict[str, np.ndarray], Path]:
    """Return the arrays of DATA.npz, and where the model goes."""
    data, out = map(Path, sys.argv[1:])
    with np.load(data) as file:
        return {name: file[name] for name in file.files}, out


def fit(
    model: nn.Module,
    loss: Callable[[np.ndarray], Tensor],
    samples: int,
    *,
    steps: int,
    batch: int,
    rate: float = 2e-3,
    decay: float = 0.02,
    seed: int = 0,
) -> nn.Module:
    """Train `model` in place and return it, ready to be exported.

    Args:
        loss: of the samples with these numbers.
        rate: the largest learning rate, reached after a twentieth of the steps.
    """
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    warm = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    model.train()
    began, order = time.monotonic(), np.empty(0, dtype=np.int64)
    for step in range(steps):
        if len(order) < batch:
            order = np.concatenate((order, rng.permutation(samples)))
        chosen, order = order[:batch], order[batch:]
        optimizer.zero_grad(set_to_none=True)
        value = loss(chosen)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step} of {steps}: loss {value.item():.4f}, {time.monotonic() - began:.0f} s", flush=True)
    return model.eval()


def export(model: nn.Module, example: Tensor, out: Path, *, input_name: str, output_name: str) -> None:
    """Write `model` as ONNX, as torch's own exporter does it, weights inside."""
    torch.onnx.export(
        model.eval(),
        (example,),
        str(out),
        input_names=[input_name],
        output_names=[output_name],
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def convolution(inside: int, outside: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalization, SiLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
        nn.SiLU(),
    )


class Residual(nn.Module):
    """Two convolutions beside a way past them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(convolution(channels, channels), convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.inside(x)
        return added
