"""A verdict as JUnit XML, which CI systems show as test results: one test case for each line of the contract.

There is no standard; this is the form that Apache Ant's task writes and that Jenkins, GitLab and GitHub's actions read
(https://github.com/windyroad/JUnit-Schema, https://docs.gitlab.com/ci/testing/unit_test_reports/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from edgedeploy.report.content.answer import answer_of
from edgedeploy.report.content.wording import OUTCOME_WORDS, limit_and_figure, limit_name, relation
from edgedeploy.values.contract import Outcome, Verdict, VerdictLine
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.shipment import Shipment

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not: https://www.w3.org/TR/xml/#charsets. Devices may say anything."""
NO_DEVICE = "localhost"
"""What the schema asks for where no host is known."""
NO_TIME = "1970-01-01T00:00:00"


def junit_xml(verdict: Verdict, measurement: Measurement | None = None) -> bytes:
    """The verdict as a UTF-8 document.

    A line that breaks is a failure. One that is not determined is skipped, so that a suite with nothing but such lines
    shows no success; the contract's own outcome is a test case as well.

    Args:
        measurement: what was held against the contract: gives device, time and conditions.
    """
    suite = verdict_suite(
        verdict,
        # Without a zone, as the schema has it: it is UTC.
        timestamp=measurement.taken_at[:19] if measurement else NO_TIME,
        hostname=measurement.device if measurement else NO_DEVICE,
        properties=_properties(measurement) if measurement else (),
    )
    return document([suite])


def verdicts_junit(verdicts: Iterable[Verdict]) -> bytes:
    """Several verdicts for which nothing was measured, a suite each."""
    return document(verdict_suite(verdict, timestamp=NO_TIME, hostname=NO_DEVICE) for verdict in verdicts)


def document(suites: Iterable[ElementTree.Element]) -> bytes:
    """Return suites as a UTF-8 document, which numbers them."""
    root = ElementTree.Element("testsuites")
    for number, suite in enumerate(suites):
        suite.set("id", str(number))
        root.append(suite)
    ElementTree.indent(root, " ")
    encoded: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return encoded + b"\n"


def verdict_suite(
    verdict: Verdict,
    *,
    timestamp: str,
    hostname: str,
    properties: Iterable[tuple[str, str]] = (),
    name: str = "",
) -> ElementTree.Element:
    """Return the suite of a verdict: a case for each line, and one for the whole.

    Args:
        timestamp: UTC, without a zone.
        name: of the suite and of its cases' class, if not the verdict's own.
    """
    classname = name or verdict.contract
    cases = [*(_case(classname, line) for line in verdict.lines), _outcome(classname, verdict)]
    return suite_of(
        cases,
        name=f"{verdict.kind} {classname}",
        timestamp=timestamp,
        hostname=hostname,
        properties=properties,
    )


def suite_of(
    cases: Sequence[ElementTree.Element],
    *,
    name: str,
    timestamp: str,
    hostname: str,
    properties: Iterable[tuple[str, str]] = (),
) -> ElementTree.Element:
    """Return a suite of these cases, with their counts and the sum of their times.

    Args:
        timestamp: UTC, without a zone.
    """
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")}
    seconds = sum(float(case.get("time", "0")) for case in cases)
    suite = ElementTree.Element(
        "testsuite",
        id="0",  # the document numbers it
        package="edgedeploy",
        name=text(name),
        timestamp=timestamp,
        hostname=text(hostname),
        tests=str(len(cases)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
        skipped=str(counts["skipped"]),
        time=f"{seconds:g}",
    )
    written = ElementTree.SubElement(suite, "properties")
    for key, value in properties:
        ElementTree.SubElement(written, "property", name=key, value=text(value))
    suite.extend(cases)
    for stream in ("system-out", "system-err"):
        ElementTree.SubElement(suite, stream)
    return suite


def shipment_junit(shipment: Shipment) -> bytes:
    """The verdict of a shipment; where nothing was sent, a failure that says why."""
    return junit_xml(answer_of(shipment), shipment.measurement)


def _case(classname: str, line: VerdictLine) -> ElementTree.Element:
    limit, figure = limit_and_figure(line)
    key = limit_name(line)
    case = ElementTree.Element("testcase", classname=text(classname), name=text(key), time="0")
    words = text(f"{figure} where {relation(line)} {limit} is asked: {line.reason}")
    if line.outcome is Outcome.BREAKS:
        ElementTree.SubElement(case, "failure", type="breaks", message=words).text = words
    elif line.outcome is Outcome.NOT_DETERMINED:
        ElementTree.SubElement(case, "skipped", message=text(f"{OUTCOME_WORDS[line.outcome]}: {line.reason}"))
    return case


def _outcome(classname: str, verdict: Verdict) -> ElementTree.Element:
    """Whether it holds as a whole, which the lines alone do not say: it needs one that holds, or all."""
    case = ElementTree.Element("testcase", classname=text(classname), name=f"the {verdict.kind} holds", time="0")
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


def text(words: str) -> str:
    """Return words that an XML document may hold."""
    return _NOT_XML.sub("\ufffd", words)
