"""Whether the device answers as the host does, output by output."""

from __future__ import annotations

from msgspec import structs

from edgedeploy.measure.evaluate import disagreements
from edgedeploy.values.measurement import Accuracy, Measurement


def reasons(accuracy: Accuracy) -> tuple[str, ...]:
    return disagreements(accuracy, min_agreement=0.99, min_sqnr_db=20.0, max_drop=1.0)


def test_every_output_is_judged_by_itself(measurement: Measurement) -> None:
    assert measurement.accuracy is not None
    scores = measurement.accuracy.agreement
    fine = structs.replace(scores, top1_match=None, sqnr_db=40.0)
    ruined = structs.replace(fine, sqnr_db=0.5)
    other = structs.replace(scores, top1_match=0.5)
    assert reasons(structs.replace(measurement.accuracy, by_output={"scores": scores, "mask": fine})) == ()
    assert reasons(structs.replace(measurement.accuracy, by_output={"scores": scores, "mask": ruined})) == (
        "output 'mask': its SQNR is 0.5 dB; 20 dB are needed",
    )
    assert reasons(structs.replace(measurement.accuracy, by_output={"scores": scores, "second": other})) == (
        "output 'second': 50.00% of the answers are the host's; 99.00% are needed",
    )
