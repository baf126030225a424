"""What is read of models with text: the words they look for, and the locales they need."""

from __future__ import annotations

import onnx
import onnx.parser
import pytest
from onnx import helper

from edgedeploy.inference.locales import install_locale, is_locale, missing_locales
from edgedeploy.model.locale_needs import needed_locales
from edgedeploy.model.vocabulary import known_words


def parsed(body: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 19, "ai.onnx.ml" : 3]> {body}')


def test_words_are_found_behind_each_input() -> None:
    model = parsed("""
        m (string[N, 1] city, string[N, 1] colour, string[N, 1] kind, string[N, 1] free, float[1] x) => (string[M] y)
        {
            two = Reshape(city, shape)
            a = ai.onnx.ml.LabelEncoder <keys_strings = ["Bern", "Oslo"], values_int64s = [0, 1]> (two)
            b = ai.onnx.ml.OneHotEncoder <cats_strings = ["red", "blue"]> (colour)
            c = Equal(kind, vip)
            y = ai.onnx.ml.LabelEncoder <keys_int64s = [0], values_strings = ["answer"]> (a)
        }
    """)
    model.graph.initializer.append(helper.make_tensor("vip", onnx.TensorProto.STRING, [1], [b"vip"]))
    assert known_words(model) == {
        "city": ("Bern", "Oslo"),
        "colour": ("red", "blue"),
        "kind": ("vip",),
        "free": (),
    }


def normalizer(**attributes: object) -> onnx.ModelProto:
    node = helper.make_node("StringNormalizer", ["x"], ["y"], **attributes)
    value = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [value("x", 8, ["N"])], [value("y", 8, ["M"])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("attributes", "needed"),
    [
        ({"case_change_action": "LOWER"}, ("en_US.UTF-8",)),
        ({"case_change_action": "UPPER", "locale": "de_DE.UTF-8@euro"}, ("de_DE.UTF-8@euro",)),
        ({"stopwords": ["the"], "locale": "C.UTF-8"}, ("C.UTF-8",)),
        ({"stopwords": ["the"], "is_case_sensitive": 1}, ()),
        ({"is_case_sensitive": 0}, ()),
        ({"case_change_action": "NONE", "locale": "xx_XX.UTF-8"}, ()),
        ({"case_change_action": "LOWER", "locale": ""}, ()),
        ({"case_change_action": "LOWER", "locale": "$(reboot)"}, ()),
    ],
)
def test_a_normalizer_needs_a_locale_where_it_looks_at_case(
    attributes: dict[str, object], needed: tuple[str, ...]
) -> None:
    assert needed_locales(normalizer(**attributes)) == needed


def test_locales_are_compared_as_the_c_library_does() -> None:
    known = {"C", "C.utf8", "en_US.utf8", "de_DE.iso885915@euro"}
    wanted = ("C.UTF-8", "en_US.UTF-8", "de_DE.ISO-8859-15@euro", "POSIX", "fr_FR.UTF-8", "de_DE.UTF-8")
    assert missing_locales(wanted, known) == ("fr_FR.UTF-8", "de_DE.UTF-8")
    assert not any(map(is_locale, ("", "a b", "../x", "-a", "a;b", "x" * 99)))
    assert "echo 'fr_FR.UTF-8 UTF-8' >>/etc/locale.gen" in install_locale("fr_FR.UTF-8")
    assert "echo 'de_DE.ISO-8859-15@euro ISO-8859-15'" in install_locale("de_DE.ISO-8859-15@euro")
