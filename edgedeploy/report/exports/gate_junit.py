"""A gate as JUnit XML: a suite for each contract on each target, and one for what is of none of them."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from edgedeploy.report.content.gate import STATE_WORDS, place_in_words
from edgedeploy.report.exports.junit import NO_DEVICE, document, suite_of, text, verdict_suite
from edgedeploy.values.gate import Gate, GateCell, GateProblem


def gate_junit(gate: Gate) -> bytes:
    """The gate as a UTF-8 document.

    Each cell has a suite with one case that says whether the gate is passed, and how many seconds it took, and a suite
    for each verdict. What has no verdict is an error, what was not run is skipped.
    """
    suites = [suite for cell in gate.cells for suite in _suites(gate, cell)]
    if gate.problems:
        cases = [_problem(problem, "there is an answer", _OF_NO_CELL, gate.seconds) for problem in gate.problems]
        suites.append(suite_of(cases, name=_OF_NO_CELL, timestamp=gate.started_at[:19], hostname=NO_DEVICE))
    return document(suites)


_OF_NO_CELL = "gate"


def _suites(gate: Gate, cell: GateCell) -> Iterator[ElementTree.Element]:
    name = place_in_words(cell)
    timestamp = (cell.started_at or gate.started_at)[:19]
    yield suite_of(
        [_whole(cell, name)], name=f"gate {name}", timestamp=timestamp, hostname=NO_DEVICE, properties=_properties(cell)
    )
    for verdict in (cell.verdict, cell.baseline):
        if verdict is not None:
            yield verdict_suite(verdict, timestamp=timestamp, hostname=NO_DEVICE, name=name)


def _whole(cell: GateCell, name: str) -> ElementTree.Element:
    what = "the gate is passed"
    if cell.problem is not None:
        return _problem(cell.problem, what, name, cell.seconds)
    case = ElementTree.Element("testcase", classname=text(name), name=what, time=f"{cell.seconds:g}")
    words = f"{name}: {STATE_WORDS[cell.state]}"
    if cell.state == "not run":
        ElementTree.SubElement(case, "skipped", message=text(words))
    elif cell.state != "holds":
        ElementTree.SubElement(case, "failure", type=cell.state, message=text(words)).text = text(words)
    return case


def _problem(problem: GateProblem, what: str, classname: str, seconds: float) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=text(classname), name=what, time=f"{seconds:g}")
    parts = (problem.what, problem.why and f"why: {problem.why}", problem.hint and f"fix: {problem.hint}")
    error = ElementTree.SubElement(case, "error", type=f"exit code {problem.exit_code}", message=text(problem.what))
    error.text = text("\n".join(part for part in parts if part))
    return case


def _properties(cell: GateCell) -> Iterator[tuple[str, str]]:
    yield "contract", cell.contract
    yield "target", cell.target
    if cell.backend:
        yield "backend", cell.backend
    if cell.emulator:
        yield "emulator", cell.emulator
    for warning in cell.warnings:
        yield "warning", warning
