"""Graphs in ONNX text syntax, and passes applied to them as the pipeline applies them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.base import Context, Pass
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.recipes.pipeline import run_passes
from edgedeploy.values.evidence import PassEvidence

Build = Callable[..., ir.Model]


def build_model(text: str, **weights: np.ndarray) -> ir.Model:
    """A model from its text, with these arrays as initializers."""
    proto = onnx.parser.parse_model(text)
    for name, array in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    onnx.checker.check_model(proto)
    return ir.from_proto(proto)


def apply_pass(
    step: Pass, model: ir.Model, *probes: dict[str, np.ndarray], context: Context | None = None
) -> tuple[ir.Model, PassEvidence]:
    """Run one pass through the pipeline, so that its promises are checked on the probes."""
    result, (evidence,) = run_passes(model, [step], context or Context(probes=probes))
    return result, evidence


def run_model(model: ir.Model, *, exact: bool = True, **feed: np.ndarray) -> list[Any]:
    """The model's outputs from onnxruntime."""
    return HostSession(serialized(model), exact=exact).run(feed)


def operator_types(model: ir.Model) -> list[str]:
    """Operators of the main graph, in order."""
    return [node.op_type for node in model.graph]


@pytest.fixture
def build() -> Build:
    return build_model


@pytest.fixture
def apply() -> Callable[..., tuple[ir.Model, PassEvidence]]:
    return apply_pass


@pytest.fixture
def run() -> Callable[..., list[Any]]:
    return run_model


@pytest.fixture
def operators() -> Callable[[ir.Model], list[str]]:
    return operator_types
