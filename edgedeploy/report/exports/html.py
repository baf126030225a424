"""The report: one page that needs nothing else, and the same figures as JSON beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.report.content.layers import costliest_in_words, noise_in_words
from edgedeploy.report.content.preprocessing import preprocessing_in_words
from edgedeploy.report.content.regressions import HEAD, class_row, worse_in_words
from edgedeploy.report.content.wording import (
    limit_and_figure,
    limit_name,
    outcome_in_words,
    pass_outcome,
    reach_in_words,
    relation,
    sent_in_words,
    sqnr_in_words,
)
from edgedeploy.report.exports.cards import with_cards
from edgedeploy.report.exports.page_sections import (
    TONES,
    before_and_after,
    conditions,
    confusion,
    headline,
    latency,
    noise,
    operators,
    reproduction,
    work,
)
from edgedeploy.report.exports.page_text import breakable, time_in_words
from edgedeploy.report.exports.templates import page_environment
from edgedeploy.values.shipment import Shipment

if TYPE_CHECKING:
    import jinja2


def write_report(folder: Path, shipment: Shipment) -> Path:
    """Write `index.html` and `report.json` into `folder`, each whole or not at all; other files there stay.

    Returns:
        The page.

    Raises:
        HostError: the folder cannot be written.
    """
    write_bytes(folder / "report.json", msgspec.json.format(msgspec.json.encode(shipment), indent=2) + b"\n")
    page = folder / "index.html"
    write_bytes(page, render(shipment).encode())
    return page


def render(shipment: Shipment) -> str:
    """Return the page as text. What comes from devices and files is escaped, all of it."""
    measurement = shipment.measurement
    return with_cards(
        _environment()
        .get_template("page.html.jinja")
        .render(
            shipment=shipment,
            contract=shipment.contract,
            evidence=shipment.evidence,
            measurement=measurement,
            **headline(shipment),
            **before_and_after(shipment),
            **noise(shipment.evidence),
            **latency(measurement),
            **work(measurement),
            **operators(shipment.profile),
            **conditions(measurement),
            **reproduction(shipment),
        )
    )


def _environment() -> jinja2.Environment:
    """Return the template's environment, with the names that it uses."""
    environment = page_environment()
    environment.globals.update(
        breakable=breakable,
        bytes=bytes_in_words,
        class_head=HEAD,
        class_row=class_row,
        confusion=confusion,
        costliest_in_words=costliest_in_words,
        limit_and_figure=limit_and_figure,
        limit_name=limit_name,
        ms=milliseconds,
        noise_in_words=noise_in_words,
        outcome_in_words=outcome_in_words,
        pass_outcome=pass_outcome,
        reach_in_words=reach_in_words,
        relation=relation,
        prepared=preprocessing_in_words,
        sent_in_words=sent_in_words,
        sqnr=sqnr_in_words,
        time=time_in_words,
        tones=TONES,
        worse_in_words=worse_in_words,
    )
    return environment
