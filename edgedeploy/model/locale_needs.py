"""The locales that a model cannot be loaded without."""

from __future__ import annotations

import onnx

from edgedeploy.inference.locales import DEFAULT_LOCALE, is_locale
from edgedeploy.model.graphs import nodes


def needed_locales(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the locales that onnxruntime opens for a model, in name order.

    A StringNormalizer needs one where it changes the case of letters, or compares stop words without regard to it.
    """
    found = {_locale(node) for node in nodes(model) if node.op_type == "StringNormalizer" and _looks_at_case(node)}
    return tuple(sorted(name for name in found if is_locale(name)))


def _looks_at_case(node: onnx.NodeProto) -> bool:
    given = {attribute.name: attribute for attribute in node.attribute}
    changes = "case_change_action" in given and given["case_change_action"].s not in (b"NONE", b"")
    sensitive = "is_case_sensitive" in given and given["is_case_sensitive"].i != 0
    stopwords = "stopwords" in given and len(given["stopwords"].strings) > 0
    return changes or (stopwords and not sensitive)


def _locale(node: onnx.NodeProto) -> str:
    for attribute in node.attribute:
        if attribute.name == "locale":
            return str(attribute.s.decode(errors="replace"))
    return DEFAULT_LOCALE
