"""What a person reads when `ship` ends."""

from __future__ import annotations

import io

import pytest
from msgspec import structs
from rich.console import Console
from support import sample_shipment as sample

from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.report.content.comparison import comparison
from edgedeploy.report.content.wording import (
    limit_and_figure,
    metric_change,
    metric_in_words,
    percent_change,
    relation,
    sqnr_in_words,
)
from edgedeploy.report.terminal.evidence import evidence_table
from edgedeploy.report.terminal.shipment import shipment_tables
from edgedeploy.values.contract import Outcome, VerdictLine
from edgedeploy.values.quality import MetricFigure
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
    for words in ("586 kB", "191 kB", "−67.5%", "97.00%", "holds", "not determined", "A remark."):
        assert words in text
    assert text.index("586 kB") < text.index("contract sample 1.0")


def test_speed_and_search_are_there() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(evidence_table(sample.shipment().evidence))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0.66 of the float model's guest instructions (0.66 to 0.66; judged by board:rpi4" in text
    assert "4 trials in 1 min 23 s; objective balanced" in text
    assert "over the budget" in text and "there is no MatMul" in text and "conv2d_1.tmp_0 (Conv, 24 dB)" in text
    assert "-0.0117 … +0.0083" in text


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


@pytest.mark.parametrize(
    ("key", "limit", "figure", "unit", "words"),
    [
        ("limits.metric_min", 0.95, 0.97, "share", ("95.00%", "97.00%")),
        ("limits.metric_min", 0.95, 0.949996, "share", ("95.00%", "94.9996%")),
        ("limits.metric_min", -12.5, -12.75, "", ("-12.5", "-12.75")),
        ("limits.metric_max_drop", 0.01, 0.0033, "share", ("1.00 points", "0.33 points")),
        ("limits.metric_max_drop", 0.01, -0.0033, "share", ("1.00 points", "−0.33 points")),
        ("limits.metric_max_drop", 0.01, 0.97 - 0.96, "share", ("1.00 points", "1.00 points")),
        ("limits.metric_max_drop", 0.01, 0.010004, "share", ("1.00 points", "1.0004 points")),
        ("limits.metric_max_drop", 0.01, None, "share", ("1.00 points", "–")),
        ("limits.size_max_bytes", 150_000_000, 150_000_001, "bytes", ("150,000,000 bytes", "150,000,001 bytes")),
        ("limits.target.rpi4.latency_p90_max_ms", 50.0, 50.01, "ms", ("50 ms", "50.01 ms")),
        ("model.sha256", "ab", "cd", "", ("ab", "cd")),
        ("model.sha256", "ab", "ab", "", ("ab", "ab")),
    ],
)
def test_limit_and_figure_read_as_they_compare(
    key: str, limit: float | str, figure: float | str | None, unit: str, words: tuple[str, str]
) -> None:
    line = VerdictLine(key=key, limit=limit, figure=figure, unit=unit, outcome=Outcome.HOLDS, reason="")
    assert limit_and_figure(line) == words


@pytest.mark.parametrize(
    ("key", "sign"),
    [
        ("model.sha256", "="),
        ("model.expires", "≤"),
        ("limits.metric_min", "≥"),
        ("limits.target.rpi4.latency_p90_max_ms", "≤"),
        # Names that people choose say nothing of the limit.
        ("limits.target.board_min.load_max_ms", "≤"),
        ("net_min.rpi4.device.release", "="),
    ],
)
def test_the_limit_alone_says_how_a_figure_is_compared(key: str, sign: str) -> None:
    line = VerdictLine(key=key, limit=1, figure=2, unit="", outcome=Outcome.HOLDS, reason="")
    assert relation(line) == sign


def test_only_a_limit_on_a_drop_is_in_points() -> None:
    key = "limits.target.drop.agreement_top1_min"
    line = VerdictLine(key=key, limit=0.5, figure=0.75, unit="share", outcome=Outcome.HOLDS, reason="")
    assert limit_and_figure(line) == ("50.00%", "75.00%")


def test_metrics_of_the_users_own_are_no_percentages() -> None:
    before = MetricFigure(name="my.metrics:negative_error", value=-12.5, samples=10)
    after = structs.replace(before, value=-12.75)
    assert metric_in_words(before) == "−12.5"
    assert metric_change(before, after) == "−0.25"


def test_sqnr() -> None:
    found = [sqnr_in_words(structs.replace(sample.AGREEMENT, sqnr_db=value)) for value in (None, 27.44, -3.0, -300.0)]
    assert found == ["equal", "27.4 dB", "−3.0 dB", "none"]


@pytest.mark.parametrize("changes", [{"partial": True}, {"evaluation_sha256": "99" * 32}])
def test_no_drop_is_told_against_other_data(changes: dict[str, object]) -> None:
    whole = sample.shipment()
    assert whole.measurement and whole.measurement.accuracy
    assert comparison(whole)[-1].change == "+0.00 points"
    accuracy = structs.replace(whole.measurement.accuracy, **changes)
    other = structs.replace(whole, measurement=structs.replace(whole.measurement, accuracy=accuracy))
    assert (comparison(other)[-1].before, comparison(other)[-1].change) == ("–", "")
