"""What share of a model's weights and work a pass took hold of, and why not more."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgedeploy.model.macs import macs_by_output
from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.graph.edit import all_nodes, constant, is_operator, serialized
from edgedeploy.values.evidence import PassEvidence, PassReach

_MOST_KINDS = 4
_SCALED = ("QuantizeLinear", "DequantizeLinear")
_LITTLE = 0.5
"""Of the bytes of weights: a recipe that reached less says so."""
_REASONS = ("left_in_float", "unprunable")
"""Facts in which passes say in words what they left as it was."""


def reach_of(step: Pass, before: ir.Model, after: ir.Model, facts: Facts, context: Context) -> PassReach | None:
    """Return what a pass reached; None where it is not one that changes weights by design.

    A weight counts as reached if the model has it no more in the same form: it is gone, narrower, of another type, or
    has other values. Weights are all constants of floating type with two elements or more, biases among them.
    """
    if step.reaches is None:
        return None
    weights = _weights(before)
    kept = {value.name: array for value, array in _weights(after).items()}
    reached = {value for value, array in weights.items() if not _same(array, kept.get(value.name))}
    sizes = {value: array.nbytes for value, array in weights.items()}
    macs, macs_total = _work(before, reached, context) if step.reaches == "work" else (None, None)
    return PassReach(
        weight_bytes=sum(sizes[value] for value in reached),
        weight_bytes_total=sum(sizes.values()),
        macs=macs,
        macs_total=macs_total,
        left=_left(step, facts, {value: size for value, size in sizes.items() if value not in reached}),
    )


def reach_notes(passes: tuple[PassEvidence, ...]) -> Iterator[str]:
    """Yield what to know of a recipe that did little: how far its passes reached, and why not further."""
    # How much is to be pruned is a setting, which is held against the outcome below.
    reaches = [done.reach for done in passes if done.reach is not None and "objective_wanted" not in done.facts]
    if reaches:
        total = max(reach.weight_bytes_total for reach in reaches)
        # What one pass has stored in few bits is no float weight to the next, so that they add up.
        reached = min(total, sum(reach.weight_bytes for reach in reaches))
        left = reaches[-1].left
        if total and reached < _LITTLE * total:
            work = next(
                (f" and {_share(each.macs, each.macs_total)} of the MACs" for each in reaches if each.macs_total), ""
            )
            yield (
                f"the recipe reached only {_share(reached, total)} of the bytes of weights ({reached:,} of "
                f"{total:,}){work}" + (f"; left as it was: {left}" if left else "")
            )
    for done in passes:
        wanted, removed = done.facts.get("objective_wanted"), done.facts.get("objective_removed")
        if isinstance(wanted, float) and isinstance(removed, float) and removed < wanted:
            why = f": {done.facts['unprunable']}" if done.facts.get("unprunable") else ""
            yield f"{done.name} removed {removed:.2%} of what it counts by, and {wanted:.0%} was asked for{why}"


def _weights(model: ir.Model) -> dict[ir.Value, np.ndarray]:
    found: dict[ir.Value, np.ndarray] = {}
    for node in all_nodes(model):
        # What those read in float are scales.
        for value in () if is_operator(node, *_SCALED) else node.inputs:
            array = constant(value)
            if value is not None and array is not None and array.size >= 2 and np.issubdtype(array.dtype, np.floating):
                found[value] = array
    return found


def _same(array: np.ndarray, other: np.ndarray | None) -> bool:
    if other is None or array.dtype != other.dtype or array.shape != other.shape:
        return False
    return array.tobytes() == other.tobytes()


def _work(before: ir.Model, reached: set[ir.Value], context: Context) -> tuple[int | None, int | None]:
    if not context.probes:
        return None, None
    # A search begins many trials with the same model.
    key = ("macs-by-output", hashlib.sha256(serialized(before)).hexdigest())
    if key not in context.memo:
        shapes = {name: array.shape for name, array in context.probes[0].items()}
        context.memo[key] = macs_by_output(ir.to_proto(before), shapes)
    macs: dict[str, int] | None = context.memo[key]
    if macs is None:
        return None, None
    nodes = [node for node in all_nodes(before) if any(value in reached for value in node.inputs)]
    return sum(macs.get(node.outputs[0].name or "", 0) for node in nodes), sum(macs.values())


def _left(step: Pass, facts: Facts, left: dict[ir.Value, int]) -> str:
    """Return what was not reached, with the pass's own reasons, and kinds of operators that it does not take."""
    reasons = [str(facts[key]) for key in _REASONS if facts.get(key)]
    if facts.get("nodes_fenced"):
        reasons.append(f"{facts['nodes_fenced']} operators kept apart in float, for want of an 8-bit kernel")
    taken = getattr(step, "operators", ())
    if taken:
        others: Counter[str] = Counter()
        for value, size_bytes in left.items():
            others.update({use.node.op_type: size_bytes for use in list(value.uses())[:1]})
        named = [f"{kind} ({size:,} bytes)" for kind, size in others.most_common(_MOST_KINDS) if kind not in taken]
        if named:
            reasons.append(f"{', '.join(named)}: it takes {', '.join(taken)} only")
    elif left and not reasons:
        reasons.append(f"{len(left)} weights, {sum(left.values()):,} bytes: small, or of layers that it does not take")
    return "; ".join(reasons)


def _share(part: int | None, whole: int | None) -> str:
    return f"{(part or 0) / whole:.1%}" if whole else "none"
