"""What broke is told alike in the terminal, in Markdown and on the page; where nothing did, the terminal is silent."""

from __future__ import annotations

import io

import pytest
from msgspec import structs
from rich.console import Console, RenderableType
from support import sample_shipment as sample

from edgedeploy.report.content.regressions import breakages, broken_in_words, class_row
from edgedeploy.report.exports.html import render
from edgedeploy.report.exports.markdown import shipment_markdown
from edgedeploy.report.terminal.evidence import evidence_table
from edgedeploy.report.terminal.measurement import measurement_tables
from edgedeploy.report.terminal.regressions import breakage_parts
from edgedeploy.report.terminal.shipment import shipment_tables
from edgedeploy.values.quality import Broken, ClassFigure

SHIPMENT = sample.shipment()
PLACES = "31 samples, the first 20 of them: 3, 13, 23,"


def printed(*parts: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=400)
    for part in parts:
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Broken(count=0, first=()), "none"),
        (Broken(count=1, first=(4,)), "1 sample: 4"),
        (Broken(count=2, first=(4, 17)), "2 samples: 4, 17"),
        (Broken(count=4500, first=(5, 6)), "4,500 samples, the first 2 of them: 5, 6"),
    ],
)
def test_broken_samples_in_words(broken: Broken, words: str) -> None:
    assert broken_in_words(broken) == words


def test_a_class_that_gained_lost_less_than_nothing() -> None:
    assert class_row(ClassFigure(label=3, samples=1, reference_right=1, right=1, same=1, name="cat"))[0] == "3 cat"
    row = class_row(ClassFigure(label=31, samples=8, reference_right=7, right=8, same=6))
    assert row == ("31", "8", "7 (87.5%)", "8 (100.0%)", "−1", "6 (75.0%)")


def test_it_is_told_everywhere() -> None:
    for text in (
        printed(*shipment_tables(SHIPMENT)),
        printed(evidence_table(SHIPMENT.evidence)),
        shipment_markdown(SHIPMENT),
        render(SHIPMENT),
    ):
        assert PLACES in text
        assert "12 (100.0%)" in text and "9 (75.0%)" in text
        assert "62 classes" in text


def test_where_nothing_broke_the_terminal_and_markdown_are_silent() -> None:
    of_model, of_device = breakages(SHIPMENT)
    assert breakage_parts(of_model) and not breakage_parts(of_device)
    assert SHIPMENT.measurement
    assert "classes" not in printed(*measurement_tables(SHIPMENT.measurement))
    assert "to the device" not in shipment_markdown(SHIPMENT)
    assert "Worse answers from the host to the device: none." in render(SHIPMENT)


def test_without_labels_nothing_is_said() -> None:
    evidence = structs.replace(
        SHIPMENT.evidence,
        executions=tuple(structs.replace(one, classes=None, broken=None) for one in SHIPMENT.evidence.executions),
    )
    assert SHIPMENT.measurement and SHIPMENT.measurement.accuracy
    accuracy = structs.replace(SHIPMENT.measurement.accuracy, classes=None, broken=None)
    plain = structs.replace(
        SHIPMENT, evidence=evidence, measurement=structs.replace(SHIPMENT.measurement, accuracy=accuracy)
    )
    assert breakages(plain) == ()
    assert "Regressions" not in render(plain) + shipment_markdown(plain)
