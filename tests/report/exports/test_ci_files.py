"""JUnit XML, Markdown and CSV: read back by other programs than those that wrote them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import junitparser
import pytest
import xmlschema
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec import structs
from support.sample_shipment import shipment

from edgedeploy.cli.main import cli
from edgedeploy.measure.files import save_measurement
from edgedeploy.report.exports.junit import junit_xml, shipment_junit
from edgedeploy.report.exports.markdown import shipment_markdown, verdict_markdown
from edgedeploy.report.exports.samples_csv import HEAD, samples_csv
from edgedeploy.values.contract import Outcome, Verdict, VerdictLine
from edgedeploy.values.measurement import InstructionCount


def line(key: str, outcome: Outcome, reason: str = "because") -> VerdictLine:
    return VerdictLine(key=key, limit=0.95, figure=0.9, unit="share", outcome=outcome, reason=reason)


EACH = Verdict(
    contract="text-direction 2.0",
    lines=tuple(line(f"limits.{outcome.name.lower()}_min", outcome) for outcome in Outcome),
    outcome=Outcome.BREAKS,
)


# Of Jenkins' xUnit plugin, which pytest holds its own reports to as well.
JENKINS = xmlschema.XMLSchema(str(Path(__file__).with_name("junit-10.xsd")))


def parsed(document: bytes) -> junitparser.TestSuite:
    JENKINS.validate(document.decode())
    (suite,) = junitparser.JUnitXml.fromstring(document)
    return suite


def rendered(text: str) -> str:
    return str(MarkdownIt("gfm-like", {"linkify": False}).render(text))


def test_each_line_is_a_test_case() -> None:
    suite = parsed(junit_xml(EACH, shipment().measurement))
    found = {case.name: [type(result).__name__ for result in case.result] for case in suite}
    assert found == {
        "holds_min": [],
        "breaks_min": ["Failure"],
        "not_determined_min": ["Skipped"],
        "the contract holds": ["Failure"],
    }
    assert (suite.tests, suite.failures, suite.skipped, suite.errors) == (4, 2, 1, 0)
    assert suite.hostname == shipment().device
    assert {each.name for each in suite.properties()} >= {"release", "cpu", "emulated"}


def test_a_contract_of_which_nothing_can_be_told_is_no_success() -> None:
    untold = Verdict(contract="a 1", lines=(line("x", Outcome.NOT_DETERMINED),), outcome=Outcome.NOT_DETERMINED)
    assert parsed(junit_xml(untold)).failures == 1


def test_a_model_that_was_refused_is_a_failure_with_the_reason() -> None:
    made = shipment()
    evidence = structs.replace(made.evidence, accepted=False, reasons=("it grew",))
    refused = structs.replace(made, evidence=evidence, verdict=None, measurement=None, release=None, bundle=None)
    suite = parsed(shipment_junit(refused))
    assert suite.failures == 2 and "it grew" in next(iter(suite)).result[0].message
    assert "was refused" in shipment_markdown(refused) and "it grew" in shipment_markdown(refused)


@pytest.mark.slow
@given(st.text(), st.text())
def test_whatever_a_device_says_is_text(key: str, reason: str) -> None:
    hostile = structs.replace(EACH, lines=(line(key, Outcome.BREAKS, reason),), contract=f"{reason} 1")
    assert parsed(junit_xml(hostile)).tests == 2
    page = rendered(verdict_markdown(hostile))
    assert page.count("<tr>") == 2 and page.count("<td") == 5
    assert not any(tag in page for tag in ("<a ", "<img", "<script", "<em", "<strong", "<code", "<del"))


def test_markdown_says_what_the_table_in_the_terminal_says() -> None:
    page = rendered(shipment_markdown(shipment()))
    assert page.startswith("<h3>") and page.count("<table>") == 3
    for words in ("586 kB", "metric_min", "holds", "Release"):
        assert words in page, words


def test_raw_samples() -> None:
    measurement = shipment((10.0, 11.25)).measurement
    assert measurement is not None
    rows = list(csv.reader(io.StringIO(samples_csv(measurement))))
    assert tuple(rows[0]) == HEAD
    assert [row for row in rows if row[0] == "steady"] == [
        ["steady", "0", "10.0", "ms", "device"],
        ["steady", "1", "11.25", "ms", "device"],
    ]
    count = InstructionCount(
        n=2, per_inference=5.5, least=5, most=6, mad=0.5, first_inference=9, warmup=(7,), samples=(5, 6)
    )
    counted = structs.replace(measurement, timing=None, count=count)
    rows = list(csv.reader(io.StringIO(samples_csv(counted))))[1:]
    assert [row[:3] for row in rows] == [
        ["first", "0", "9"],
        ["warmup", "0", "7"],
        ["steady", "0", "5"],
        ["steady", "1", "6"],
    ]
    assert {row[4] for row in rows} == {"instructions"}
    assert len(samples_csv(structs.replace(measurement, timing=None)).splitlines()) == 1


@pytest.mark.parametrize("floor", [0.0, 2.0])
def test_check_writes_both_whatever_the_answer(tmp_path: Path, floor: float) -> None:
    measurement = shipment().measurement
    assert measurement is not None
    save_measurement(measurement, tmp_path / "m.json")
    (tmp_path / "contract.toml").write_text(
        f"""schema = 1
[model]
name = "{measurement.release.name}"
version = "{measurement.release.version}"
framework = "x"
file = "m.onnx"
sha256 = "{"0" * 64}"
[data]
evaluation = "e.npz"
[limits]
size_max_bytes = {int(1e9 * floor)}
""",
        encoding="utf-8",
    )
    words = ["check", str(tmp_path / "m.json"), "--contract", str(tmp_path / "contract.toml")]
    words += ["--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "s.md")]
    told = CliRunner().invoke(cli, words, standalone_mode=False)
    assert told.return_value == 1, told.output
    suite = parsed((tmp_path / "j.xml").read_bytes())
    assert (suite.failures > 1) or floor
    assert (tmp_path / "s.md").read_text(encoding="utf-8").startswith("### ")
