"""Finds the rule for an operator."""

from __future__ import annotations

import onnx_ir as ir

from edgedeploy.optimize.graph.edit import ONNX_DOMAINS
from edgedeploy.optimize.prune.channels.rules import (
    convolutions,
    elementwise,
    matrices,
    normalizations,
    parts,
    reductions,
    shapes,
    spatial,
)
from edgedeploy.optimize.prune.channels.rules.rule import RuleTable
from edgedeploy.optimize.prune.channels.walk import Walk

_RULES: RuleTable = (
    convolutions.RULES
    | matrices.RULES
    | normalizations.RULES
    | elementwise.RULES
    | spatial.RULES
    | parts.RULES
    | reductions.RULES
    | shapes.RULES
)


def apply_rule(walk: Walk, node: ir.Node) -> None:
    """Follow channels through one node. An operator without a rule keeps what comes in."""
    known = node.domain in ONNX_DOMAINS or node.op_type in elementwise.CONTRIBUTED
    rule = _RULES.get(node.op_type) if known else None
    if rule is not None:
        rule(walk, node)
    elif any(walk.channels(value) is not None for value in node.inputs):
        walk.keep(node, f"{node.op_type} takes them")
