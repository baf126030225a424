"""The picture of a confusion matrix: well-formed, within its box, and told in words."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.plots.confusion_matrix import confusion_matrix

SVG = "{*}"


@given(st.data(), st.integers(1, 13))
def test_any_counts_give_well_formed_svg_within_its_box(data: st.DataObject, size: int) -> None:
    names = data.draw(st.lists(st.text('ab<&"é ', min_size=1, max_size=30), min_size=size, max_size=size))
    row = st.lists(st.integers(0, 10**9), min_size=size, max_size=size)
    counts = data.draw(st.lists(row, min_size=size, max_size=size))
    root = ElementTree.fromstring(confusion_matrix(names, counts, "a <title>"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    cells = root.findall(f"{SVG}rect")
    assert len(cells) == sum(count > 0 for line in counts for count in line)
    for cell in cells:
        x, y, wide, high = (float(cell.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + wide <= width and y + high <= height
        assert wide > 0 and high > 0


def test_wrong_answers_are_told() -> None:
    root = ElementTree.fromstring(confusion_matrix(("cat", "dog"), ((9, 1), (0, 12_345)), "t"))
    assert root.findtext(f"{SVG}desc") == "cat answered dog: 1"
    assert [cell.attrib["class"] for cell in root.findall(f"{SVG}rect")] == ["cell right", "cell wrong", "cell right"]
    assert "12k" in [text.text for text in root.findall(f"{SVG}text")]
