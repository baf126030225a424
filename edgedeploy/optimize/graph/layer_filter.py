"""Which layers a quantizing pass is to take: the settings `keep_float` and `only`.

A layer is known by the name of its node's first output, which is unique; node names are not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx_ir as ir

from edgedeploy.optimize.graph.edit import all_nodes


class LayerFilter:
    """Answers whether a layer may be quantized."""

    def __init__(self, keep_float: Iterable[str], only: Iterable[str]) -> None:
        """
        Args:
            keep_float: layers that stay in float.
            only: the layers that may be quantized; empty stands for all.
        """
        self._keep_float = frozenset(keep_float)
        self._only = frozenset(only)

    def exclusion_reason(self, layers: Collection[str]) -> str | None:
        """Return why what these layers share is not to be quantized, or None."""
        if not self._keep_float.isdisjoint(layers):
            return "the settings keep it in float"
        if self._only and self._only.isdisjoint(layers):
            return "the settings name other layers only"
        return None

    def unknown(self, model: ir.Model) -> int:
        """Count the names that no node of the model has. An earlier pass may have removed the node."""
        names = {node.outputs[0].name for node in all_nodes(model) if node.outputs}
        return len((self._keep_float | self._only) - names)


ALL_LAYERS = LayerFilter((), ())
