"""What a person reads when `ship` ends."""

from __future__ import annotations

import io

import pytest
import sample_shipment as sample
from rich.console import Console

from edgedeploy.report.terminal_shipment import shipment_tables
from edgedeploy.report.wording import bytes_in_words, milliseconds, percent_change
from edgedeploy.values.shipment import Shipment


def printed(shipment: Shipment) -> str:
    console = Console(file=io.StringIO(), width=160)
    for part in shipment_tables(shipment):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_before_after_and_verdict_are_there() -> None:
    text = printed(sample.shipment())
    for words in ("586 kB", "191 kB", "−67.5%", "97.00%", "holds", "cannot be told", "A remark."):
        assert words in text
    assert text.index("586 kB") < text.index("contract sample 1.0")


def test_refusal_says_why() -> None:
    assert "refused: the result does not load" in printed(sample.refused())


def test_markup_from_elsewhere_is_text() -> None:
    assert "[bold]x[/bold]" in printed(sample.shipment(cpu="[bold]x[/bold]"))


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (585_532, "586 kB"), (999_999, "1 MB"), (2_500_000_000, "2.5 GB")]
)
def test_bytes(count: int, words: str) -> None:
    assert bytes_in_words(count) == words


@pytest.mark.parametrize(
    ("value", "words"), [(None, "–"), (0.12345, "0.123 ms"), (12.345, "12.3 ms"), (1234.4, "1234 ms")]
)
def test_milliseconds(value: float | None, words: str) -> None:
    assert milliseconds(value) == words


def test_percent_change() -> None:
    assert percent_change(100, 45) == "−55.0%"
    assert percent_change(100, 103) == "+3.0%"
    assert percent_change(0, 5) == ""
