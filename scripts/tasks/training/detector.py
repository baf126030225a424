"""Train a detector of digits: two strides, no anchors, outputs laid out as YOLOv8 has them.

DATA.npz: images uint8 (n, side, side, 3); boxes float32 (n, most, 4): x0, y0, x1, y1 in pixels; classes int64
(n, most), -1 behind the last. Cells whose middle lies inside a box near its middle learn it, of two boxes the smaller
one (Tian et al. 2019, FCOS, https://arxiv.org/abs/1904.01355, section 3.1 with center sampling); scores by focal loss
(Lin et al. 2017), boxes by generalized IoU (Rezatofighi et al. 2019).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.loop import Residual, arguments, convolution, export, fit

_CLASSES = 10
_STRIDES = (8, 16)
_LARGE = 30.0
"""Boxes with a longer side than this are learned at stride 16."""
_NEAR = 1.5
"""So many strides around the middle of a box, its cells learn it."""


class Detector(nn.Module):
    """Images in [0, 1], (batch, 3, side, side) → (batch, 4 + classes, cells): center, size in pixels, scores."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            convolution(3, 12, 3, 2), convolution(12, 24, 3, 2), convolution(24, 48, 3, 2), Residual(48)
        )
        self.deep = nn.Sequential(convolution(48, 96, 3, 2), Residual(96))
        self.up = convolution(96, 48, 1)
        self.join = convolution(96, 64, 1)
        self.boxes = nn.ModuleList(self._branch(channels, 4) for channels in (64, 96))
        self.scores = nn.ModuleList(self._branch(channels, _CLASSES) for channels in (64, 96))
        for branch in self.scores:
            nn.init.constant_(branch[-1].bias, -4.6)  # 1 % at first, as RetinaNet
        cells, strides = [], []
        for stride in _STRIDES:
            axis = (torch.arange(side // stride) + 0.5) * stride
            rows, columns = torch.meshgrid(axis, axis, indexing="ij")
            cells.append(torch.stack((columns.flatten(), rows.flatten())))
            strides.append(torch.full((rows.numel(),), float(stride)))
        self.register_buffer("cells", torch.cat(cells, dim=1))
        self.register_buffer("strides", torch.cat(strides))

    @staticmethod
    def _branch(channels: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(convolution(channels, 48), nn.Conv2d(48, outputs, 1))

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Distances to left, top, right, bottom in pixels (batch, 4, cells), and logits (batch, classes, cells)."""
        fine = self.stem(images)
        coarse = self.deep(fine)
        up = functional.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")
        levels = (self.join(torch.cat((fine, up), dim=1)), coarse)
        distances = torch.cat([branch(level).flatten(2) for branch, level in zip(self.boxes, levels, strict=True)], 2)
        logits = torch.cat([branch(level).flatten(2) for branch, level in zip(self.scores, levels, strict=True)], 2)
        return functional.softplus(distances) * self.strides, logits

    def forward(self, images: Tensor) -> Tensor:
        distances, logits = self.raw(images)
        first, last = self.cells - distances[:, :2], self.cells + distances[:, 2:]
        return torch.cat(((first + last) / 2, last - first, logits.sigmoid()), dim=1)


class Loss:
    """Of a batch, by the numbers of its samples."""

    def __init__(self, model: Detector, data: dict[str, np.ndarray]) -> None:
        self._model, self._images, self._rng = model, data["images"], np.random.default_rng(1)
        self._boxes, self._classes = torch.from_numpy(data["boxes"]), torch.from_numpy(data["classes"])

    def __call__(self, chosen: np.ndarray) -> Tensor:
        images = torch.from_numpy(self._images[chosen]).permute(0, 3, 1, 2).float() / 255
        if self._rng.random() < 0.5:
            images = (images * float(self._rng.uniform(0.6, 1.2))).clamp(0, 1)
        distances, logits = self._model.raw(images)
        owner = self._owners(self._boxes[chosen], self._classes[chosen])
        learned = owner >= 0
        targets = torch.zeros_like(logits)
        picture, cell = learned.nonzero(as_tuple=True)
        which = owner[picture, cell]
        targets[picture, self._classes[chosen][picture, which], cell] = 1.0
        score = _focal(logits, targets) / max(1, len(picture))
        first, last = self._model.cells - distances[:, :2], self._model.cells + distances[:, 2:]
        found = torch.cat((first, last), dim=1).permute(0, 2, 1)[picture, cell]
        return score + 1.5 * (1 - _generalized_iou(found, self._boxes[chosen][picture, which])).mean()

    def _owners(self, boxes: Tensor, classes: Tensor) -> Tensor:
        """The number of the box that each cell learns, -1 for none: (batch, cells)."""
        x, y = self._model.cells[0], self._model.cells[1]
        strides = self._model.strides
        inside = (x > boxes[..., 0:1]) & (x < boxes[..., 2:3]) & (y > boxes[..., 1:2]) & (y < boxes[..., 3:4])
        middle = (boxes[..., :2] + boxes[..., 2:]) / 2
        near = ((x - middle[..., 0:1]).abs() < _NEAR * strides) & ((y - middle[..., 1:2]).abs() < _NEAR * strides)
        longer = (boxes[..., 2:] - boxes[..., :2]).amax(dim=-1, keepdim=True)
        level = torch.where(longer > _LARGE, float(_STRIDES[1]), float(_STRIDES[0])) == strides
        fits = inside & near & level & (classes >= 0)[..., None]
        areas = torch.where(fits, longer.square(), torch.inf)
        smallest, owner = areas.min(dim=1)
        return torch.where(smallest.isfinite(), owner, -1)


def _focal(logits: Tensor, targets: Tensor) -> Tensor:
    probabilities = logits.sigmoid()
    right = torch.where(targets > 0, probabilities, 1 - probabilities)
    weight = torch.where(targets > 0, 0.25, 0.75) * (1 - right).square()
    return (weight * functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")).sum()


def _generalized_iou(left: Tensor, right: Tensor) -> Tensor:
    first, last = torch.maximum(left[:, :2], right[:, :2]), torch.minimum(left[:, 2:], right[:, 2:])
    common = (last - first).clamp(min=0).prod(dim=1)
    union = (left[:, 2:] - left[:, :2]).prod(dim=1) + (right[:, 2:] - right[:, :2]).prod(dim=1) - common
    around = (torch.maximum(left[:, 2:], right[:, 2:]) - torch.minimum(left[:, :2], right[:, :2])).prod(dim=1)
    return common / union - (around - union) / around


def main() -> None:
    data, out = arguments()
    torch.manual_seed(0)
    side = data["images"].shape[1]
    model = Detector(side)
    fit(model, Loss(model, data), len(data["images"]), steps=1000, batch=24, rate=3e-3)
    export(model, torch.zeros(1, 3, side, side), out, input_name="images", output_name="output0")


if __name__ == "__main__":
    main()
