"""A verdict or a shipment as GitHub-flavoured Markdown: the summary of a CI job, or a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgedeploy.foundation.sanitize import one_line
from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.report.content.comparison import comparison
from edgedeploy.report.content.layers import noisiest_in_words
from edgedeploy.report.content.preprocessing import preprocessing_in_words
from edgedeploy.report.content.regressions import (
    HEAD,
    Breakage,
    breakages,
    changed_classes,
    class_row,
    classes_in_words,
    worse_in_words,
)
from edgedeploy.report.content.wording import (
    OUTCOME_WORDS,
    limit_and_figure,
    limit_name,
    relation,
    sent_in_words,
    verdict_counts,
)
from edgedeploy.values.contract import Outcome, Verdict
from edgedeploy.values.shipment import Shipment

MARKS = {Outcome.HOLDS: "✅", Outcome.BREAKS: "❌", Outcome.NOT_DETERMINED: "❔"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@])")
"""What has a meaning within a line (https://github.github.com/gfm/#backslash-escapes). A device may say anything."""


def verdict_markdown(verdict: Verdict) -> str:
    """A heading with the answer, and a table with a row for each limit."""
    rows = []
    for line in verdict.lines:
        limit, figure = limit_and_figure(line)
        what = f"{relation(line)} {limit}"
        rows.append((limit_name(line), what, figure, line.outcome, line.reason))
    rows_shown = table(
        ("limit", "", "figure", "outcome", "why"),
        [
            (plain(key), plain(limit), plain(figure), f"{MARKS[outcome]} {OUTCOME_WORDS[outcome]}", plain(why))
            for key, limit, figure, outcome, why in rows
        ],
    )
    mark, outcome = MARKS[verdict.outcome], OUTCOME_WORDS[verdict.outcome]
    head = f"### {mark} {verdict.kind.capitalize()} {plain(verdict.contract)}: {outcome}"
    owner = [f"Owner of the contract: {plain(verdict.owner)}.", ""] if verdict.owner else []
    return "\n".join([head, "", verdict_counts(verdict), "", *owner, *rows_shown]) + "\n"


def shipment_markdown(shipment: Shipment) -> str:
    """The verdict, or why nothing was sent, and the model before and after."""
    contract, evidence = shipment.contract, shipment.evidence
    parts: list[str] = []
    if shipment.verdict is not None:
        parts += [verdict_markdown(shipment.verdict)]
    else:
        parts += [f"### ❌ {plain(contract.name)} {plain(contract.version)}: the optimized model was refused", ""]
    parts += [*(f"- {plain(reason)}" for reason in (*evidence.reasons, *shipment.remarks)), ""]
    changed = [(row.what, row.before, row.after, row.change) for row in comparison(shipment)]
    parts += table(
        (f"{contract.name} {contract.version}", "before", f"after ({contract.recipe})", "change"),
        [tuple(map(plain, row)) for row in changed],
    )
    if noisy := noisiest_in_words(evidence.layers):
        parts += ["", plain(noisy)]
    for breakage in breakages(shipment):
        parts += _breakage(breakage)
    if shipment.bundle is not None and shipment.release is not None:
        bundle, release = bytes_in_words(shipment.bundle.size_bytes), shipment.release
        words = f"Release {release.id} on {shipment.device}: bundle {bundle}, sent {sent_in_words(release)}."
        parts += ["", plain(words)]
        if prepared := preprocessing_in_words(shipment.bundle.preprocessing, shipment.bundle.embedded):
            parts += ["", plain(f"Preprocessing: {prepared}.")]
    return "\n".join(parts) + "\n"


def _breakage(breakage: Breakage) -> list[str]:
    """Folded away: it is long, and the answer is above it. Nothing where nothing broke."""
    changed = changed_classes(breakage.classes)
    if not breakage.broken.count and not changed:
        return []
    parts = ["", f"<details><summary>Regressions {plain(breakage.between)}</summary>", ""]
    parts += [f"{plain(worse_in_words(breakage))}.", ""]
    if breakage.classes is not None and changed:
        parts += [f"{plain(classes_in_words(breakage.classes))}:", ""]
        parts += [*table(HEAD, [tuple(map(plain, class_row(figure))) for figure in changed]), ""]
    return [*parts, "</details>"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose cells are Markdown; those of its head are plain words."""
    return [
        "| " + " | ".join(map(plain, head)) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def plain(words: str) -> str:
    """Words that are shown as they are: on one line, with nothing that Markdown or HTML takes for its own."""
    return _SPECIAL.sub(r"\\\1", one_line(words))
