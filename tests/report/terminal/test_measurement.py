from __future__ import annotations

import io

from msgspec import structs
from rich.console import Console
from support.sample_measurement import AGREEMENT

from edgedeploy.report.content.wording import sqnr_in_words
from edgedeploy.report.exports.page_sections import conditions
from edgedeploy.report.terminal.measurement import agreement_in_words, measurement_tables
from edgedeploy.values.measurement import Measurement


def test_text_has_a_share_and_no_error() -> None:
    text = structs.replace(AGREEMENT, top1_match=None, sqnr_db=None, cosine=1.0, max_abs_error=0.0, text_match=0.975)
    assert agreement_in_words(text) == "text match 97.50% (600 samples)"
    assert sqnr_in_words(text) == "97.50% of the texts"
    assert sqnr_in_words(structs.replace(text, text_match=1.0)) == "equal"
    both = structs.replace(AGREEMENT, text_match=1.0)
    assert "text match 100.00%, SQNR 30.0 dB, cosine" in agreement_in_words(both)


def test_a_virtual_machine_is_named_beside_its_latency(measurement: Measurement) -> None:
    plain = measurement.conditions
    virtual = structs.replace(measurement, conditions=structs.replace(plain, virtual_machine="Amazon EC2"))
    for each, is_named in ((measurement, False), (virtual, True)):
        console = Console(file=io.StringIO(), width=200)
        console.print(*measurement_tables(each))
        assert ("a virtual machine (Amazon EC2)" in console.file.getvalue()) is is_named  # type: ignore[attr-defined]
        assert ("Amazon EC2" in str(conditions(each))) is is_named
