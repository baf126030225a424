"""A verdict or a shipment as GitHub-flavoured Markdown: the summary of a CI job, or a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgedeploy.foundation.sanitize import one_line
from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.report.content.comparison import comparison
from edgedeploy.report.content.layers import noisiest_in_words
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

_MARKS = {Outcome.HOLDS: "✅", Outcome.BREAKS: "❌", Outcome.NOT_DETERMINED: "❔"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@])")
"""What has a meaning within a line (https://github.github.com/gfm/#backslash-escapes). A device may say anything."""


def verdict_markdown(verdict: Verdict) -> str:
    """A heading with the answer, and a table with a row for each limit."""
    rows = []
    for line in verdict.lines:
        limit, figure = limit_and_figure(line)
        what = f"{relation(line)} {limit}"
        rows.append((limit_name(line), what, figure, line.outcome, line.reason))
    table = _table(
        ("limit", "", "figure", "outcome", "why"),
        [
            (_plain(key), _plain(limit), _plain(figure), f"{_MARKS[outcome]} {OUTCOME_WORDS[outcome]}", _plain(why))
            for key, limit, figure, outcome, why in rows
        ],
    )
    mark, outcome = _MARKS[verdict.outcome], OUTCOME_WORDS[verdict.outcome]
    head = f"### {mark} {verdict.kind.capitalize()} {_plain(verdict.contract)}: {outcome}"
    owner = [f"Owner of the contract: {_plain(verdict.owner)}.", ""] if verdict.owner else []
    return "\n".join([head, "", verdict_counts(verdict), "", *owner, *table]) + "\n"


def shipment_markdown(shipment: Shipment) -> str:
    """The verdict, or why nothing was sent, and the model before and after."""
    contract, evidence = shipment.contract, shipment.evidence
    parts: list[str] = []
    if shipment.verdict is not None:
        parts += [verdict_markdown(shipment.verdict)]
    else:
        parts += [f"### ❌ {_plain(contract.name)} {_plain(contract.version)}: the optimized model was refused", ""]
    parts += [*(f"- {_plain(reason)}" for reason in (*evidence.reasons, *shipment.remarks)), ""]
    changed = [(row.what, row.before, row.after, row.change) for row in comparison(shipment)]
    parts += _table(
        (f"{contract.name} {contract.version}", "before", f"after ({contract.recipe})", "change"),
        [tuple(map(_plain, row)) for row in changed],
    )
    if noisy := noisiest_in_words(evidence.layers):
        parts += ["", _plain(noisy)]
    for breakage in breakages(shipment):
        parts += _breakage(breakage)
    if shipment.bundle is not None and shipment.release is not None:
        bundle, release = bytes_in_words(shipment.bundle.size_bytes), shipment.release
        words = f"Release {release.id} on {shipment.device}: bundle {bundle}, sent {sent_in_words(release)}."
        parts += ["", _plain(words)]
    return "\n".join(parts) + "\n"


def _breakage(breakage: Breakage) -> list[str]:
    """Folded away: it is long, and the answer is above it. Nothing where nothing broke."""
    changed = changed_classes(breakage.classes)
    if not breakage.broken.count and not changed:
        return []
    parts = ["", f"<details><summary>Regressions {_plain(breakage.between)}</summary>", ""]
    parts += [f"{_plain(worse_in_words(breakage))}.", ""]
    if breakage.classes is not None and changed:
        parts += [f"{_plain(classes_in_words(breakage.classes))}:", ""]
        parts += [*_table(HEAD, [tuple(map(_plain, class_row(figure))) for figure in changed]), ""]
    return [*parts, "</details>"]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(map(_plain, head)) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _plain(words: str) -> str:
    """Words that are shown as they are: on one line, with nothing that Markdown or HTML takes for its own."""
    return _SPECIAL.sub(r"\\\1", one_line(words))
