"""Attention, embeddings and residual normalization as the kernels that onnxruntime has for them."""

from __future__ import annotations

import logging
import sys
from typing import ClassVar, Literal

import onnx
import onnx_ir as ir

from edgedeploy.foundation.sanitize import first_line
from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped, PostconditionError
from edgedeploy.optimize.graph.edit import ONNX_DOMAINS, all_nodes, opset
from edgedeploy.optimize.simplify.lift_constants import lift_constants
from edgedeploy.targets.backends import runs_onnxruntime_operators

_log = logging.getLogger(__name__)

_MICROSOFT = "com.microsoft"


class FuseTransformer(Pass, frozen=True):
    """Fuse attention, embeddings and normalization of transformers through `onnxruntime.transformers`.

    What comes out has operators of onnxruntime's own (Attention, SkipLayerNormalization, EmbedLayerNormalization,
    BiasGelu …), which no other runtime knows: https://onnxruntime.ai/docs/performance/transformers-optimization.html.
    Fused attention hides its matrices from quantizers; `attention = false` leaves these where they are.
    """

    tolerance: ClassVar[float | None] = 1e-4

    model_type: Literal["bert", "gpt2", "vit", "t5", "clip", "swin", "conformer", "bart"] = "bert"
    """The family whose patterns are looked for; encoders of most kinds are found as `bert`."""
    num_heads: int = 0
    """Of attention; 0 takes it from the graph."""
    hidden_size: int = 0
    """Extent of the embedding; 0 takes it from the graph."""
    attention: bool = True
    """Fuse attention as a whole."""

    def __post_init__(self) -> None:
        if self.num_heads < 0 or self.hidden_size < 0:
            raise ValueError("num_heads and hidden_size must not be negative")

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if context.target is not None and not runs_onnxruntime_operators(context.target):
            return f"target {context.target.name} prefers other runtimes than onnxruntime, whose operators these are"
        if opset(model) < 17:
            return f"the model's operator set is {opset(model)}, and it needs 17 (put upgrade-opset before it)"
        if not any(node.op_type == "Softmax" or "LayerNormalization" in node.op_type for node in all_nodes(model)):
            return "there is neither a softmax nor a layer normalization: it is no transformer"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        before = _own_operators(model)
        had_torch = "torch" in sys.modules
        fused = self._fused(ir.to_proto(model))
        if "torch" in sys.modules and not had_torch:
            raise PostconditionError("PyTorch was loaded, which takes seconds and half a gigabyte")
        result = ir.from_proto(fused)
        result.producer_name, result.producer_version = model.producer_name, model.producer_version
        result.metadata_props.update(model.metadata_props)
        result.opset_imports.setdefault(_MICROSOFT, 1)
        # It writes shapes that it reshapes to as Constant nodes.
        lift_constants(result)
        after = _own_operators(result)
        new = {name: after[name] - before.get(name, 0) for name in sorted(after) if after[name] > before.get(name, 0)}
        if not new:
            raise PassSkipped(f"onnxruntime's fusions for {self.model_type} found nothing to fuse")
        return result, {f"{name}_nodes": count for name, count in new.items()}

    def _fused(self, proto: onnx.ModelProto) -> onnx.ModelProto:
        # Imported here: a dozen modules that no other pass needs.
        from onnxruntime.transformers.fusion_options import FusionOptions
        from onnxruntime.transformers.optimizer import optimize_by_fusion

        options = FusionOptions(self.model_type)
        options.enable_attention = self.attention
        # The approximation by tanh moves results by more than rounding.
        options.enable_gelu_approximation = False
        # It says on standard error what it did not find; what matters of that is in the evidence.
        chatter = logging.getLogger("onnxruntime")
        level = chatter.level
        if not _log.isEnabledFor(logging.DEBUG):
            chatter.setLevel(logging.CRITICAL)
        try:
            optimizer = optimize_by_fusion(
                proto,
                self.model_type,
                num_heads=self.num_heads,
                hidden_size=self.hidden_size,
                optimization_options=options,
            )
        except Exception as error:
            # Its patterns take for granted what the exporters they are made for write, and end in anything.
            _log.debug("onnxruntime.transformers", exc_info=True)
            raise PassSkipped(f"onnxruntime's fusions gave up ({type(error).__name__}: {first_line(error)})") from error
        finally:
            chatter.setLevel(level)
        fused: onnx.ModelProto = optimizer.model
        return fused


def _own_operators(model: ir.Model) -> dict[str, int]:
    """How many nodes of each operator there are that only a transformer has, or only onnxruntime."""
    counts: dict[str, int] = {}
    for node in all_nodes(model):
        if node.domain == _MICROSOFT or (node.domain in ONNX_DOMAINS and node.op_type == "LayerNormalization"):
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
