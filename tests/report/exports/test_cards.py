"""A row of a table that becomes a card has all its figures, each with its heading."""

from __future__ import annotations

import re

import html5lib
import pytest
from support import sample_shipment as sample

from edgedeploy.report.exports.cards import with_cards
from edgedeploy.report.exports.html import render
from edgedeploy.values.shipment import Shipment

SPACE = "{http://www.w3.org/1999/xhtml}"


@pytest.mark.parametrize("shipment", [sample.shipment(), sample.refused(), sample.counted([1, 2, 3])])
def test_each_figure_has_the_heading_of_its_column(shipment: Shipment) -> None:
    page = html5lib.parse(render(shipment))
    tables = list(page.iter(f"{SPACE}table"))
    assert tables
    for table in tables:
        headings = ["".join(each.itertext()).strip() for each in table.iter(f"{SPACE}th") if each.get("scope") == "col"]
        for row in table.find(f"{SPACE}tbody"):
            cells = list(row)
            assert len(cells) == len(headings)
            for cell, heading in zip(cells, headings, strict=True):
                if cell.tag == f"{SPACE}td":
                    assert cell.get("data-label", "") == heading
                    text = "".join(cell.itertext()).strip()
                    assert (cell.get("data-empty") is not None) == (text in ("", "–"))


def test_limit_allowed_found_and_why_are_in_one_card() -> None:
    page = render(sample.shipment())
    lines = page.partition('<h2 id="contract">')[2].partition("</table>")[0]
    cards = re.findall(r"<tr.*?</tr>", lines.partition("<tbody")[2], re.DOTALL)
    assert cards
    for card in cards:
        assert re.findall(r'data-label="([^"]+)"', card) == ["outcome", "allowed", "found", "why"]


def test_a_class_is_named_in_its_card() -> None:
    assert '<th role="rowheader" scope="row" data-label="class">7' in render(sample.shipment())


def test_words_from_elsewhere_are_not_taken_for_tags() -> None:
    page = (
        '<table><thead><tr><th scope="col">a &amp; "b"</th></tr></thead>'
        "<tbody><tr><td>&lt;td&gt;&lt;/table&gt;</td></tr></tbody></table>"
    )
    assert with_cards(page).endswith(
        '<td role="cell" data-label="a &amp; &quot;b&quot;">&lt;td&gt;&lt;/table&gt;</td></tr></tbody></table>'
    )
