"""The words that a model knows: what inputs of text can be made up from where there is no data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

_MOST_WORDS = 1000
_PASSING = frozenset(
    "ArrayFeatureExtractor Concat Expand Flatten Gather GatherElements GatherND Identity Reshape Slice Split Squeeze "
    "StringConcat StringNormalizer StringSplit Tile Transpose Unsqueeze Where".split()
)
"""Operators that give the text that they take, in another order or shape, or changed a little."""
_ANSWERS = ("classlabels_strings", "values_strings")
"""Attributes that hold what is answered, not what is looked for."""


def known_words(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Return for each input of text the words that the model looks for in it; none where it looks for none.

    That is what the operators that it comes to hold: the keys of a LabelEncoder, the categories of a OneHotEncoder or
    CategoryMapper, the pool of a TfIdfVectorizer, the constants that it is compared with. At most 1,000, in the order
    in which the model has them.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            constants.update((node.output[0], each.t) for each in node.attribute if each.HasField("t"))
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    return {
        value.name: tuple(dict.fromkeys(_words_behind(value.name, takers, constants)))[:_MOST_WORDS]
        for value in model.graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.STRING
    }


def _words_behind(
    start: str, takers: dict[str, list[onnx.NodeProto]], constants: dict[str, onnx.TensorProto]
) -> Iterator[str]:
    seen, names = {start}, [start]
    while names:
        for node in takers.get(names.pop(0), ()):
            if node.op_type in _PASSING:
                names += [name for name in node.output if name not in seen]
                seen.update(node.output)
                continue
            for attribute in node.attribute:
                if attribute.name not in _ANSWERS:
                    yield from _texts(attribute.strings)
                    yield from _texts(attribute.t.string_data if attribute.name.startswith("keys") else ())
            for name in node.input:
                if name in constants:
                    yield from _texts(constants[name].string_data)


def _texts(contents: Iterable[bytes]) -> Iterator[str]:
    for content in contents:
        try:
            word = content.decode()
        except UnicodeDecodeError:
            continue
        if not word.endswith("\0"):
            yield word
