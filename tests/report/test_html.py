"""The page: whole, self-contained, escaped, honest about emulation, for every shape of a shipment."""

from __future__ import annotations

import html.parser
import json
import random
from pathlib import Path

import msgspec
import pytest
import sample_shipment as sample
from msgspec import structs

from edgedeploy.errors import HostError
from edgedeploy.report.html import render, write_report
from edgedeploy.values.contract import Outcome
from edgedeploy.values.shipment import Shipment

_VOID = {"meta", "link", "br", "wbr", "hr", "img", "input"}


class _Checker(html.parser.HTMLParser):
    """Every element is closed, in order; collects ids and addresses."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name == "aria-labelledby":
                self.labels.append(str(value))
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(str(value))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check(page: str) -> _Checker:
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    return checker


def bimodal() -> list[float]:
    chance = random.Random(1)
    return [chance.gauss(10, 0.3) if chance.random() < 0.7 else chance.gauss(14, 0.5) for _ in range(1100)]


SHIPMENTS = {
    "whole": sample.shipment(),
    "emulated": sample.shipment([90.0, 101.0, 95.0], clock="emulated"),
    "refused": sample.refused(),
    "many samples": sample.shipment(bimodal()),
    "one sample": sample.shipment([3.0]),
    "all the same": sample.shipment([3.0] * 100),
    "nothing reported": sample.shipment(
        memory_total_bytes=None, temperature_c=None, governor=None, load_average_1min=None, cpu_features=()
    ),
}


@pytest.mark.parametrize("name", SHIPMENTS)
def test_page_is_well_formed_and_needs_nothing_else(name: str) -> None:
    page = render(SHIPMENTS[name])
    checker = check(page)
    assert set(checker.addresses) <= {"report.json"}
    assert "script" not in checker.tags
    assert len(checker.ids) == len(set(checker.ids))
    assert set(checker.labels) <= set(checker.ids)
    assert "default-src 'none'" in page
    assert len(page) < 250_000


def test_emulated_timing_is_never_called_latency() -> None:
    text = " ".join(check(render(SHIPMENTS["emulated"])).text)
    assert "not a latency" in text
    assert "Latency on the device" not in text


def test_real_timing_is() -> None:
    assert "Latency on the device" in render(SHIPMENTS["many samples"])


def test_values_from_the_device_are_escaped() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    shipment = sample.shipment(cpu=hostile, os=hostile, governor=hostile, cpu_features=(hostile,))
    shipment = structs.replace(shipment, device=hostile, remarks=(hostile,))
    checker = check(render(shipment))
    assert "script" not in checker.tags
    assert hostile in " ".join(checker.text)


def test_refusal_says_why_and_that_nothing_was_measured() -> None:
    text = " ".join(check(render(sample.refused())).text)
    assert "Refused" in text
    assert "the result does not load" in text
    assert "What was sent" not in text


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (Outcome.HOLDS, "The contract holds"),
        (Outcome.BREAKS, "The contract is broken"),
        (Outcome.CANNOT_BE_TOLD, "Cannot be told"),
    ],
)
def test_answer_comes_first(outcome: Outcome, answer: str) -> None:
    shipment = sample.shipment()
    shipment = structs.replace(shipment, verdict=structs.replace(shipment.verdict, outcome=outcome))
    page = render(shipment)
    assert answer in page[: page.index("</h1>")]


def test_files_are_written_beside_others(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    page = write_report(tmp_path, sample.shipment())
    assert page == tmp_path / "index.html"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "index.html",
        "notes.txt",
        "report.json",
    ]
    content = (tmp_path / "report.json").read_bytes()
    assert msgspec.json.decode(content, type=Shipment) == sample.shipment()
    assert list(json.loads(content))[:4] == ["schema", "edgedeploy", "device", "contract"]


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    place = tmp_path / "report"
    place.write_text("mine")
    with pytest.raises(HostError, match="cannot be written"):
        write_report(place, sample.shipment())
    assert place.read_text() == "mine"
