"""What share of the weights of a TensorFlow Lite model a pass stored in fewer bits."""

from __future__ import annotations

from collections import Counter

from edgedeploy.model.tflite_file import constant, operator_name, read_tflite, type_name
from edgedeploy.values.evidence import PassReach

_MOST_KINDS = 4


def tflite_reach(before: bytes, after: bytes) -> PassReach:
    """Return the bytes of float32 weights that became something else. Work is not counted here.

    Weights are all constants of type float32 with two elements or more; tensors get other names on the way, so what is
    left is told by the bytes that are left, by the operators that read them.
    """
    had, has = _float_bytes(before), _float_bytes(after)
    kinds = [f"{kind} ({size:,} bytes)" for kind, size in has.most_common(_MOST_KINDS)]
    return PassReach(
        weight_bytes=max(0, had.total() - has.total()),
        weight_bytes_total=had.total(),
        left=f"float weights of {', '.join(kinds)}" if kinds else "",
    )


def _float_bytes(content: bytes) -> Counter[str]:
    """Return the bytes of float32 constants, by the operator that reads them first."""
    model = read_tflite(content)
    found: Counter[str] = Counter()
    for graph in model.subgraphs:
        seen: set[int] = set()
        for operator in graph.operators:
            for index in operator.inputs:
                if index < 0 or index in seen or type_name(graph.tensors[index]) != "FLOAT32":
                    continue
                array = constant(model, graph.tensors[index])
                if array is not None and array.size >= 2:
                    seen.add(index)
                    found[operator_name(model, operator)] += array.nbytes
    return found
