"""A verdict as JUnit XML, which CI systems show as test results: one test case for each line of the contract.

There is no standard; this is the form that Apache Ant's task writes and that Jenkins, GitLab and GitHub's actions read
(https://github.com/windyroad/JUnit-Schema, https://docs.gitlab.com/ci/testing/unit_test_reports/).
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from edgedeploy.report.content.wording import OUTCOME_WORDS, limit_and_figure, limit_name, relation
from edgedeploy.values.contract import Outcome, Verdict, VerdictLine
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.shipment import Shipment

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not: https://www.w3.org/TR/xml/#charsets. Devices may say anything."""
_NO_DEVICE = "localhost"
"""What the schema asks for where no host is known."""
_NO_TIME = "1970-01-01T00:00:00"


def junit_xml(verdict: Verdict, measurement: Measurement | None = None) -> bytes:
    """The verdict as a UTF-8 document.

    A line that breaks is a failure. One that is not determined is skipped, so that a suite with nothing but such lines
    shows no success; the contract's own outcome is a test case as well.

    Args:
        measurement: what was held against the contract: gives device, time and conditions.
    """
    cases = [_case(verdict.contract, line) for line in verdict.lines]
    cases.append(_outcome(verdict))
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "skipped")}
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        id="0",
        package="edgedeploy",
        name=_text(f"{verdict.kind} {verdict.contract}"),
        # Without a zone, as the schema has it: it is UTC.
        timestamp=measurement.taken_at[:19] if measurement else _NO_TIME,
        hostname=_text(measurement.device) if measurement else _NO_DEVICE,
        tests=str(len(cases)),
        failures=str(counts["failure"]),
        errors="0",
        skipped=str(counts["skipped"]),
        time="0",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(measurement) if measurement else ():
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))
    suite.extend(cases)
    for stream in ("system-out", "system-err"):
        ElementTree.SubElement(suite, stream)
    ElementTree.indent(suites, " ")
    document: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def shipment_junit(shipment: Shipment) -> bytes:
    """The verdict of a shipment; where nothing was sent, a failure that says why."""
    if shipment.verdict is not None:
        return junit_xml(shipment.verdict, shipment.measurement)
    contract = shipment.contract
    refused = VerdictLine(
        key="optimization.recipe",
        limit=contract.recipe,
        figure="refused",
        unit="",
        outcome=Outcome.BREAKS,
        reason="; ".join(shipment.evidence.reasons),
    )
    return junit_xml(Verdict(contract=f"{contract.name} {contract.version}", lines=(refused,), outcome=Outcome.BREAKS))


def _case(contract: str, line: VerdictLine) -> ElementTree.Element:
    limit, figure = limit_and_figure(line)
    key = limit_name(line)
    case = ElementTree.Element("testcase", classname=_text(contract), name=_text(key), time="0")
    words = _text(f"{figure} where {relation(line)} {limit} is asked: {line.reason}")
    if line.outcome is Outcome.BREAKS:
        ElementTree.SubElement(case, "failure", type="breaks", message=words).text = words
    elif line.outcome is Outcome.NOT_DETERMINED:
        ElementTree.SubElement(case, "skipped", message=_text(f"{OUTCOME_WORDS[line.outcome]}: {line.reason}"))
    return case


def _outcome(verdict: Verdict) -> ElementTree.Element:
    """Whether it holds as a whole, which the lines alone do not say: it needs one that holds, or all."""
    case = ElementTree.Element(
        "testcase", classname=_text(verdict.contract), name=f"the {verdict.kind} holds", time="0"
    )
    if verdict.outcome is not Outcome.HOLDS:
        verb = "is " if verdict.outcome is Outcome.NOT_DETERMINED else ""
        words = f"the {verdict.kind} {verb}{OUTCOME_WORDS[verdict.outcome]}"
        ElementTree.SubElement(case, "failure", type=verdict.outcome.value, message=words).text = words
    return case


def _properties(measurement: Measurement) -> list[tuple[str, str]]:
    release, conditions = measurement.release, measurement.conditions
    return [
        ("release", release.id),
        ("target", release.target),
        ("model_sha256", release.model_sha256),
        ("cpu", conditions.cpu),
        ("system", f"{conditions.os}, {conditions.kernel}"),
        ("emulated", "yes" if conditions.emulated else "no"),
        *([("virtual_machine", conditions.virtual_machine)] if conditions.virtual_machine else ()),
    ]


def _text(words: str) -> str:
    return _NOT_XML.sub("\ufffd", words)
