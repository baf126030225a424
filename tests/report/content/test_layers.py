"""Where noise comes in: the same layers on the page, in the terminal and in Markdown."""

from __future__ import annotations

import io

from msgspec import structs
from rich.console import Console
from support import sample_shipment as sample

from edgedeploy.report.content.layers import noise_in_words, noise_plot, noisiest
from edgedeploy.report.exports.html import render
from edgedeploy.report.exports.markdown import shipment_markdown
from edgedeploy.report.terminal.evidence import evidence_table
from edgedeploy.values.evidence import LayerNoise


def layer(sqnr_db: float | None, before_db: float | None, name: str = "l") -> LayerNoise:
    return LayerNoise(layer=name, operator="Conv", sqnr_db=sqnr_db, before_db=before_db)


def test_the_worst_come_first_and_what_passes_through_is_left_out() -> None:
    layers = [layer(40, None), layer(20, 40), layer(20, 20), layer(10, 20), layer(None, None), *[layer(30, None)] * 5]
    found = noisiest(layers)
    assert [one.sqnr_db for one in found] == [10, 20, 30, 30, 30]
    assert noisiest([layer(None, None)]) == noisiest([]) == ()


def test_words() -> None:
    assert noise_in_words(layer(18.2, 33.6)) == "33.6 → 18.2 dB"
    assert noise_in_words(layer(41.0, None)) == "exact → 41.0 dB"
    assert noise_in_words(layer(None, 10.0)) == "10.0 → exact"
    assert noise_in_words(layer(-3.0, None)) == "exact → −3.0 dB"


def test_a_plot_holds_what_is_exact_and_what_has_no_signal_left() -> None:
    drawn = noise_plot([layer(None, None), layer(20, None), layer(-300, 20)])
    assert "From -20 to 120 dB, at 3 points" in drawn
    assert noise_plot([layer(20, None)]) == ""


def test_everywhere() -> None:
    shipment = sample.shipment()
    page = render(shipment)
    assert "Noise by layer" in page and "conv_&lt;2&gt;" in page and "38.4 → 21.7 dB" in page
    assert "<2>" not in page
    assert "conv\\_\\<2\\> (Conv, 38.4 → 21.7 dB)" in shipment_markdown(shipment)
    screen = Console(file=io.StringIO(), width=200)
    screen.print(evidence_table(shipment.evidence))
    assert isinstance(screen.file, io.StringIO)
    assert "conv_<2> (Conv, 38.4 → 21.7 dB), conv_1 (Conv, exact → 38.4 dB)" in screen.file.getvalue()
    without = structs.replace(shipment, evidence=structs.replace(shipment.evidence, layers=()))
    assert "Noise by layer" not in render(without) and "most noise" not in shipment_markdown(without)
