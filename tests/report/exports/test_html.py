"""The page: whole, self-contained, escaped, honest about emulation, for every shape of a shipment."""

from __future__ import annotations

import html.parser
import json
import re
import subprocess
from pathlib import Path
from statistics import NormalDist
from typing import Any

import html5lib
import msgspec
import numpy as np
import pytest
from msgspec import structs
from support import sample_shipment as sample

from edgedeploy.foundation.errors import HostError
from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.report.content.sample_preview import preview
from edgedeploy.report.exports.html import render, write_report
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
        self.handlers: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name == "aria-labelledby":
                self.labels.append(str(value))
            if name.startswith("on") or (name == "style" and tag not in ("i", "path")):
                self.handlers.add(name)
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
    # As the HTML standard has browsers parse it: what they would have to mend is an error.
    html5lib.HTMLParser(strict=True).parse(page)
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    return checker


def bimodal() -> list[float]:
    low, high = NormalDist(10, 0.3), NormalDist(14, 0.5)
    samples = [low.inv_cdf((index + 0.5) / 770) for index in range(770)]
    return samples + [high.inv_cdf((index + 0.5) / 330) for index in range(330)]


SHIPMENTS = {
    "whole": sample.shipment(),
    "emulated": sample.shipment([90.0, 101.0, 95.0], clock="emulated"),
    "refused": sample.refused(),
    "many samples": sample.shipment(bimodal()),
    "counted": sample.counted([20_250_432, 20_250_440, 20_251_000]),
    "counted once": sample.counted([20_250_432]),
    "one sample": sample.shipment([3.0]),
    "all the same": sample.shipment([3.0] * 100),
    "throttled": sample.throttled(),
    "previews": structs.replace(
        sample.shipment(),
        previews=(
            preview(3, "x", np.arange(3 * 48 * 192, dtype=np.float32).reshape(1, 3, 48, 192)),
            preview(4, "<b>audio</b>", np.sin(np.arange(1000.0))),
            preview(5, "text", np.array(["<script>alert(1)</script>"])),
        ),
    ),
    "nothing reported": sample.shipment(
        memory_total_bytes=None, temperature_c=None, governor=None, load_average_1min=None, cpu_features=()
    ),
}


@pytest.mark.parametrize("name", SHIPMENTS)
def test_page_is_well_formed_and_needs_nothing_else(name: str) -> None:
    page = render(SHIPMENTS[name])
    checker = check(page)
    pictures = ("data:image/svg+xml;", "data:image/png;base64,")
    assert {address for address in checker.addresses if not address.startswith(pictures)} <= {"report.json"}
    assert "script" not in checker.tags
    assert len(checker.ids) == len(set(checker.ids))
    assert set(checker.labels) <= set(checker.ids)
    assert checker.handlers == set()
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert len(page) < 100_000


@pytest.mark.parametrize("name", SHIPMENTS)
def test_page_is_valid_html(name: str) -> None:
    """By HTML Tidy, which knows elements, attributes and what may stand where, as html5lib does not."""
    done = subprocess.run(
        ["tidy", "-quiet", "-errors", "--drop-empty-elements", "no"],
        input=render(SHIPMENTS[name]).encode(),
        capture_output=True,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_emulated_timing_is_never_called_latency() -> None:
    text = " ".join(check(render(SHIPMENTS["emulated"])).text)
    assert "not a latency" in text
    assert "Latency on the device" not in text


def test_counted_instructions_are_work_and_never_a_latency() -> None:
    text = " ".join(check(render(SHIPMENTS["counted"])).text)
    assert "Work on the emulated board" in text and "20,250,440" in text
    assert "Latency on the device" not in text and "Timing under emulation" not in text


def test_samples_are_seen_beside_the_state_that_they_were_taken_in() -> None:
    assert "after the last one: 51 °C, governor ondemand" in render(SHIPMENTS["whole"])
    assert "after the last one" not in render(
        sample.shipment(memory_available_bytes=None, temperature_c=None, governor=None, load_average_1min=None)
    )


def test_a_measurement_that_is_none_says_so_and_shows_why() -> None:
    page = render(SHIPMENTS["throttled"])
    text = " ".join(check(page).text)
    for words in ("invalid", "throttled for 5 of 12 s", "let it cool", "Temperature meanwhile", "Clock meanwhile"):
        assert words in text
    # Five seconds, in each of the three plots that lie over one another, and nowhere else.
    assert page.count('<rect class="band"') == 15
    timed = page[page.index('id="timing"') :]
    axes = re.findall(r'<text class="below" x="([0-9.]+)"[^>]*>1</text>', timed)
    assert len(axes) == 3 and len(set(axes)) == 1
    assert "from disk" in text and "61.5 mJ" in text
    assert '<rect class="band"' not in render(SHIPMENTS["whole"]) and "meanwhile" not in render(SHIPMENTS["whole"])


def test_trials_of_a_search_are_told() -> None:
    text = " ".join(" ".join(check(render(SHIPMENTS["whole"])).text).split())
    for words in ("4 trials", "30% pruned, int8", "top1 fell from 0.9700", "there is no MatMul", "conv2d_1.tmp_0"):
        assert words in text
    assert "180.9 million instructions" in text and "−33.7%" in text
    assert "(−1.17 … +0.83)" in text


def test_a_shipment_without_a_search_has_no_word_of_one() -> None:
    whole = SHIPMENTS["whole"]
    plain = structs.replace(whole, evidence=structs.replace(whole.evidence, search=None, speed=None))
    page = render(plain)
    assert "trials" not in page and "instructions" not in page


def test_real_timing_is() -> None:
    assert "Latency on the device" in render(SHIPMENTS["many samples"])


def test_values_from_the_device_are_escaped() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    shipment = sample.shipment(cpu=hostile, os=hostile, governor=hostile, cpu_features=(hostile,))
    shipment = structs.replace(shipment, device=hostile, remarks=(hostile,))
    checker = check(render(shipment))
    assert "script" not in checker.tags
    assert hostile in " ".join(checker.text)


def test_every_text_is_escaped() -> None:
    hostile = "\"'><script>alert(1)</script>&"
    free = {"clock": "device", "format": "onnx", "outcome": "holds", "arithmetic": "host"}
    free |= {"objective": "size", "ended": "all tried", "currency": "host time", "unit": "ms", "kind": "contract"}

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            # The keys of structures are ours; those of mappings come from elsewhere too.
            mapping = key in ("facts", "tools", "packages", "runtime", "operators")
            return {hostile if mapping else name: poisoned(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [poisoned(item, key) for item in value]
        if (key, value) == ("unit", sample.PROFILE.unit):
            return value
        return free.get(key, hostile) if isinstance(value, str) else value

    document = poisoned(msgspec.json.decode(msgspec.json.encode(sample.shipment())))
    assert document["measurement"]["conditions"]["cpu"] == hostile
    checker = check(render(msgspec.convert(document, Shipment)))
    assert "script" not in checker.tags
    assert checker.handlers == set()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(scheme: str) -> None:
    """WCAG 2.2, success criterion 1.4.3, level AA: a contrast of at least 4.5 to 1."""
    page = render(sample.shipment())
    begin = page.index("@media screen and (prefers-color-scheme: dark)") if scheme == "dark" else 0
    rules = page[page.index(":root", begin) : page.index("}", page.index(":root", begin))]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", rules))
    assert {"ink", "soft", "accent", "good", "bad", "open", "paper", "panel"} <= set(colours)
    for text in ("ink", "soft", "accent", "good", "bad", "open"):
        for ground in ("paper", "panel"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_refusal_says_why_and_that_nothing_was_measured() -> None:
    text = " ".join(check(render(sample.refused())).text)
    assert "Refused" in text
    assert "the result does not load" in text
    assert "Transfer" not in text


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (Outcome.HOLDS, "The contract holds"),
        (Outcome.BREAKS, "The contract is broken"),
        (Outcome.NOT_DETERMINED, "Not determined whether the contract holds"),
    ],
)
def test_answer_comes_first(outcome: Outcome, answer: str) -> None:
    shipment = sample.shipment()
    shipment = structs.replace(shipment, verdict=structs.replace(shipment.verdict, outcome=outcome))
    page = render(shipment)
    assert answer in page[: page.index("</h1>")]


def test_answer_says_how_much_of_it_was_told() -> None:
    page = render(sample.shipment())
    assert "1 of 2 lines hold, 1 not determined" in page[: page.index("</header>")]


def test_sound_result_without_a_verdict_is_not_called_refused() -> None:
    shipment = structs.replace(sample.shipment(), verdict=None)
    title = " ".join(check(render(shipment)).text)
    assert "Not judged" in title
    assert "Refused" not in title


def test_data_without_labels_are_said_to_have_none() -> None:
    whole = sample.shipment()
    assert whole.measurement and whole.measurement.accuracy
    evidence = structs.replace(
        whole.evidence,
        source_metric=None,
        executions=tuple(structs.replace(execution, metric=None) for execution in whole.evidence.executions),
    )
    accuracy = structs.replace(whole.measurement.accuracy, metric=None, host_metric=None)
    shipment = structs.replace(
        whole, evidence=evidence, measurement=structs.replace(whole.measurement, accuracy=accuracy)
    )
    assert "the evaluation data have no labels" in render(shipment)
    assert "the evaluation data have no labels" not in render(whole)


def test_outputs_that_are_not_finite_stand_out() -> None:
    whole = sample.shipment()
    assert whole.measurement
    broken = structs.replace(sample.AGREEMENT, nonfinite_elements=1234, cosine=0.0, sqnr_db=-300.0)
    page = render(structs.replace(whole, measurement=structs.replace(whole.measurement, golden=broken)))
    assert "1,234 elements not finite" in page
    assert "300.0 dB" not in page


def test_commands_can_be_pasted() -> None:
    shipment = structs.replace(sample.shipment(), device="ssh://pi@host; rm -rf ~")
    text = "".join(check(render(shipment)).text)
    assert "edgedeploy rollback 'ssh://pi@host; rm -rf ~' --name sample" in text
    assert "edgedeploy rollback" not in render(sample.refused())


def test_a_long_run_makes_no_large_page(rng: np.random.Generator) -> None:
    assert len(render(sample.shipment(rng.lognormal(2, 0.5, 50_000).tolist()))) < 200_000


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


def test_where_it_goes() -> None:
    page = render(sample.shipment())
    assert "Cost by operator" in page and "conv2d_1.tmp_0_quant" in page and "QLinearConv (52) 88.7%" in page
    assert "not a latency" not in page.partition("Cost by operator")[2].partition("</section>")[0]
    counted = structs.replace(sample.PROFILE, unit="instructions")
    page = render(structs.replace(sample.shipment(), profile=counted))
    assert "not a latency" in page.partition("Cost by operator")[2].partition("</section>")[0]
    assert "Cost by operator" not in render(structs.replace(sample.shipment(), profile=None))


def test_counts_are_shown_as_work() -> None:
    shipped = sample.shipment()
    assert shipped.measurement is not None
    count = instruction_count(21_000_000, [9], [20_289_000, 20_290_000, 20_291_000], load=93_000_000)
    page = render(structs.replace(shipped, measurement=structs.replace(shipped.measurement, timing=None, count=count)))
    section = page.partition("Work on the emulated board")[2].partition("</section>")[0]
    assert "20,290,000" in section and "93,000,000" in section and "not a latency" in section
    assert "runtime import" not in section and "Latency on the device" not in page


def test_the_unit_of_a_profile_is_named_as_it_is() -> None:
    shipment = sample.shipment()
    assert shipment.profile is not None
    emulated = structs.replace(shipment, profile=structs.replace(shipment.profile, unit="emulated us"))
    text = " ".join(check(render(emulated)).text)
    assert "In µs of emulated wall-clock, not a latency." in text and "Ms of" not in text
