"""Let a classifier of scikit-learn answer its table of scores instead of a list of dictionaries made of it.

skl2onnx ends classifiers with a `ZipMap` by default. It computes nothing: it gives each row of a table of scores as a
map with the classes as keys (https://onnx.ai/onnx/operators/onnx_aionnxml_ZipMap.html). Devices answer tensors.
"""

from __future__ import annotations

import onnx

_DOMAIN = "ai.onnx.ml"
_NAMED_CLASSES = 5
"""More of them are counted, not listed."""


def answer_tables(model: onnx.ModelProto) -> tuple[str, ...]:
    """Put an `Identity` in place of each `ZipMap` whose maps are an output of `model`, which is changed.

    The output keeps its name; it is float32 of shape (N, classes), its columns in the order of the map's keys.

    Returns:
        What was changed, a sentence for each output.
    """
    outputs = {value.name: value for value in model.graph.output}
    taken = {name for node in model.graph.node for name in node.input}
    notes = []
    for node in model.graph.node:
        if node.op_type != "ZipMap" or node.domain != _DOMAIN or len(node.input) != 1 or len(node.output) != 1:
            continue
        name = node.output[0]
        if name not in outputs or name in taken:
            continue
        classes = _classes(node)
        node.CopyFrom(onnx.helper.make_node("Identity", [node.input[0]], [name], name=node.name))
        shape = ("N", len(classes)) if classes else None
        outputs[name].CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
        notes.append(
            f"output {name!r} is a table of scores here, and not the maps that ZipMap makes of it; "
            f"its columns are {_in_words(classes)}"
        )
    return tuple(notes)


def _classes(node: onnx.NodeProto) -> list[str]:
    """Return the keys of a `ZipMap`, in their order."""
    found = {attribute.name: attribute for attribute in node.attribute}
    if "classlabels_strings" in found:
        return [label.decode("utf-8", "replace") for label in found["classlabels_strings"].strings]
    if "classlabels_int64s" in found:
        return [str(label) for label in found["classlabels_int64s"].ints]
    return []


def _in_words(classes: list[str]) -> str:
    if len(classes) > _NAMED_CLASSES:
        return f"its {len(classes)} classes in order, {classes[0]} to {classes[-1]}"
    return "the classes " + ", ".join(classes) if classes else "the classes in order"
