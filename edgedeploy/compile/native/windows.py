"""The windows of convolutions and pooling: extents, strides, dilations and padding, as the kernels take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgedeploy.compile.native.graph import Node


@dataclass(frozen=True)
class Window:
    """`struct window` of kernels/rows.h, with the padding at the far ends. Pairs are rows and columns."""

    image: tuple[int, int]
    out: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]

    def c(self) -> str:
        """Write it as a C value."""
        pairs = (self.image, self.out, self.kernel, self.strides, self.dilations, self.before)
        return "(const struct window){" + ", ".join(str(number) for pair in pairs for number in pair) + "}"

    @property
    def is_point(self) -> bool:
        """Whether each pixel of the result depends on the one at the same place alone."""
        return (
            self.kernel == (1, 1)
            and self.strides == (1, 1)
            and self.before == (0, 0)
            and self.after == (0, 0)
            and self.image == self.out
        )


def pair(extents: Sequence[int], default: int) -> tuple[int, int]:
    """Take one or two extents as rows and columns: one dimension is an image of one row, which gets `default`."""
    return (default, int(extents[0])) if len(extents) == 1 else (int(extents[0]), int(extents[1]))


def window_of(node: Node, kernel: Sequence[int]) -> Window:
    """Read the window of a convolution or pooling over one or two dimensions.

    Raises:
        UnsupportedError: there are more than two dimensions.
    """
    image, out = node.needed(0).shape[2:], node.output.shape[2:]
    rank = len(image)
    if rank not in (1, 2):
        raise node.refused(f"it goes over {rank} dimensions, and there are kernels for one and two")
    strides = list(node.get("strides", None) or [1] * rank)
    dilations = list(node.get("dilations", None) or [1] * rank)
    pads = list(node.get("pads", None) or [0] * (2 * rank))
    auto = node.get("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = [0] * (2 * rank)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max(0, (out[a] - 1) * strides[a] + (kernel[a] - 1) * dilations[a] + 1 - image[a]) for a in range(rank)
        ]
        small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
        pads = small + large if auto == "SAME_UPPER" else large + small
    return Window(
        image=pair(image, 1),
        out=pair(out, 1),
        kernel=pair(kernel, 1),
        strides=pair(strides, 1),
        dilations=pair(dilations, 1),
        before=pair(pads[:rank], 0),
        after=pair(pads[rank:], 0),
    )


def transposed_window(node: Node) -> Window:
    """Read the window of the convolution that a ConvTranspose is the transpose of: from its result to its source."""
    source, weights, result = node.needed(0), node.needed(1), node.output
    rank = len(source.shape) - 2
    return Window(
        image=pair(result.shape[2:], 1),
        out=pair(source.shape[2:], 1),
        kernel=pair(weights.shape[2:], 1),
        strides=pair(node.get("strides", None) or [1] * rank, 1),
        dilations=pair(node.get("dilations", None) or [1] * rank, 1),
        before=pair(_transposed_pads(node, rank), 0),
        after=(0, 0),
    )


def _transposed_pads(node: Node, rank: int) -> list[int]:
    """Return what is cut off at the beginning of each dimension."""
    image, out = node.needed(0).shape[2:], node.output.shape[2:]
    auto = node.get("auto_pad", "NOTSET")
    if not node.get("output_shape", None) and auto in ("NOTSET", "VALID"):
        return list(node.get("pads", None) or [0] * (2 * rank))[:rank] if auto == "NOTSET" else [0] * rank
    strides = node.get("strides", None) or [1] * rank
    dilations = node.get("dilations", None) or [1] * rank
    extra = node.get("output_padding", None) or [0] * rank
    kernel = node.needed(1).shape[2:]
    totals = [strides[a] * (image[a] - 1) + extra[a] + (kernel[a] - 1) * dilations[a] + 1 - out[a] for a in range(rank)]
    return [total // 2 if auto == "SAME_UPPER" else total - total // 2 for total in totals]
