"""A gate as JUnit XML, Markdown and OpenMetrics: read back by other programs than those that wrote them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import junitparser
import pytest
import xmlschema
from markdown_it import MarkdownIt
from msgspec import structs
from rich.console import Console
from support.sample_shipment import shipment

from edgedeploy.report.exports.gate_junit import gate_junit
from edgedeploy.report.exports.gate_markdown import gate_markdown
from edgedeploy.report.exports.gate_metrics import gate_metrics
from edgedeploy.report.terminal.gate import gate_tables
from edgedeploy.values.contract import Outcome, Verdict, VerdictLine
from edgedeploy.values.gate import Gate, GateCell, GateProblem
from edgedeploy.values.quality import MetricFigure

JENKINS = xmlschema.XMLSchema(str(Path(__file__).with_name("junit-10.xsd")))
PROBLEM = GateProblem(
    exit_code=13, what="board gate-rpi2 ended while it booted", why="no | such <cpu>", hint="try again"
)


def line(key: str, outcome: Outcome) -> VerdictLine:
    return VerdictLine(key=key, limit=100.0, figure=101.0, unit="", outcome=outcome, reason="+1.00%; threshold: 0.50%")


def baseline(outcome: Outcome) -> Verdict:
    return Verdict(
        kind="baseline", contract="a", lines=(line("a.rpi4.counted.instructions_max", outcome),), outcome=outcome
    )


HOLDING = Verdict(contract="a 1", lines=(line("limits.metric_min", Outcome.HOLDS),), outcome=Outcome.HOLDS)


def cell(contract: str, target: str, **more: object) -> GateCell:
    name = contract.removesuffix(".toml")
    return GateCell(contract=contract, target=target, name=name, version="1", folder=f"{name}/{target}", **more)


@pytest.fixture
def gate() -> Gate:
    """Two contracts on two targets: one holds, one got slower, one has no board, one was not run."""
    return Gate(
        schema=1,
        edgedeploy="0.1.0",
        started_at="2026-01-01T00:00:00+00:00",
        seconds=83.2,
        holds=False,
        exit_code=1,
        folder="an out",
        baseline="baseline.json",
        cells=(
            cell(
                "a.toml",
                "rpi4",
                state="holds",
                started_at="2026-01-01T00:00:20+00:00",
                seconds=31.5,
                verdict=HOLDING,
                baseline=baseline(Outcome.HOLDS),
                instructions=12_062_976.0,
                model_size_bytes=193_913,
                metric=MetricFigure(name="top1", value=0.97, samples=600),
                backend="native",
                emulator="QEMU 7.2.22",
                warnings=("auto took native, because it could not take tflite: <b>no wheel</b>.",),
            ),
            cell("a.toml", "rpi2", state="error", problem=PROBLEM),
            cell(
                "b.toml", "rpi4", state="breaks", seconds=20.0, verdict=HOLDING, baseline=baseline(Outcome.BREAKS),
                instructions=2e6,
            ),
            cell("b.toml", "rpi2", state="error", problem=PROBLEM),
        ),
    )  # fmt: skip


def test_junit_has_a_suite_for_each_cell_with_its_time(gate: Gate) -> None:
    document = gate_junit(gate)
    JENKINS.validate(document.decode())
    suites = {suite.name: suite for suite in junitparser.JUnitXml.fromstring(document)}
    assert list(suites) == [
        *("gate a 1 on rpi4", "contract a 1 on rpi4", "baseline a 1 on rpi4", "gate a 1 on rpi2"),
        *("gate b 1 on rpi4", "contract b 1 on rpi4", "baseline b 1 on rpi4", "gate b 1 on rpi2"),
    ]
    assert (suites["gate a 1 on rpi4"].time, suites["gate a 1 on rpi4"].timestamp) == (31.5, "2026-01-01T00:00:20")
    assert {each.name: each.value for each in suites["gate a 1 on rpi4"].properties()}["emulator"] == "QEMU 7.2.22"
    assert suites["gate a 1 on rpi2"].errors == 1
    (case,) = suites["gate a 1 on rpi2"]
    assert case.result[0].type == "exit code 13" and "try again" in case.result[0].text
    assert (suites["gate b 1 on rpi4"].failures, suites["baseline b 1 on rpi4"].failures) == (1, 2)


def test_what_was_not_run_is_skipped_and_what_is_of_no_cell_has_a_suite(gate: Gate) -> None:
    stopped = structs.replace(
        gate, cells=(cell("a.toml", "rpi4"),), problems=(GateProblem(exit_code=143, what="stopped by SIGTERM"),)
    )
    document = gate_junit(stopped)
    JENKINS.validate(document.decode())
    first, last = junitparser.JUnitXml.fromstring(document)
    assert (first.skipped, first.failures, first.errors) == (1, 0, 0)
    assert (last.name, last.errors, last.time) == ("gate", 1, 83.2)


def test_markdown_begins_with_the_matrix(gate: Gate) -> None:
    text = gate_markdown(gate, {("a.toml", "rpi4"): shipment()})
    page = str(MarkdownIt("gfm-like", {"linkify": False}).render(text))
    rows = [re.sub("<[^>]+>", "", row).split("\n") for row in re.findall(r"<tr>\n(.*?)\n</tr>", page, re.DOTALL)[:3]]
    assert rows == [
        ["contract", "rpi4", "rpi2"],
        ["a 1", "✅ holds, 12,062,976 instructions", "⚠️ error"],
        ["b 1", "❌ breaks, 2,000,000 instructions", "⚠️ error"],
    ]
    # One board, one problem.
    assert page.count("ended while it booted") == 1 and "a 1 on rpi2, b 1 on rpi2" in page
    assert "&lt;b&gt;no wheel&lt;/b&gt;" in page and "<b>" not in page
    assert "edgedeploy baseline save baseline.json 'an out/b/rpi4/measurement.json'" in page
    assert shipment().contract.name in page


def test_a_baseline_that_was_made_is_said_in_one_word(gate: Gate) -> None:
    made = structs.replace(gate.cells[0], saved="made", warnings=())
    text = gate_markdown(structs.replace(gate, cells=(made,), holds=True, exit_code=0))
    assert text.startswith("## ✅ edgedeploy gate: holds")
    assert "Baseline baseline.json made: a 1 on rpi4. Commit it." in text
    assert "held against nothing" in gate_markdown(structs.replace(gate, baseline=None))


def test_metrics_are_openmetrics(gate: Gate) -> None:
    named = structs.replace(gate.cells[0], name='a"\\', target="rpi4")
    lines = gate_metrics(structs.replace(gate, cells=(named, *gate.cells[2:3]))).splitlines()
    assert lines[-1] == "# EOF"
    assert 'edgedeploy_instructions{model="a\\"\\\\",target="rpi4"} 12062976' in lines
    assert 'edgedeploy_holds{model="b",target="rpi4"} 0' in lines
    sample = re.compile(r'[a-z_]+\{model="(?:[^"\\\n]|\\.)*",target="[^"]*"\} [0-9.e+]+')
    assert all(each.startswith("# ") or sample.fullmatch(each) for each in lines)


def test_the_terminal_ends_with_the_answer(gate: Gate) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    for part in gate_tables(gate):
        console.print(part)
    shown = console.export_text().rstrip().splitlines()
    assert shown[-1].startswith("gate: breaks (83 s)")
    assert "a 1" in shown[-3] and "! error" in shown[-3]
