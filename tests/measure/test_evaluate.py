"""Whether the device answers as the host does, output by output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from edgedeploy.measure.evaluate import disagreements
from edgedeploy.measure.evaluate import test as run_test
from edgedeploy.values.measurement import Accuracy, Measurement
from edgedeploy.values.quality import AnswersKept, MetricFigure


def reasons(accuracy: Accuracy) -> tuple[str, ...]:
    return disagreements(accuracy, min_agreement=0.99, min_sqnr_db=20.0, max_drop=1.0)


def test_text_is_judged_by_how_much_of_it_is_the_same(measurement: Measurement) -> None:
    assert measurement.accuracy is not None
    scores = measurement.accuracy.agreement
    label = structs.replace(scores, top1_match=None, sqnr_db=None, text_match=0.75)
    assert reasons(structs.replace(measurement.accuracy, by_output={"scores": scores, "label": label})) == (
        "output 'label': 75.00% of the texts are the host's; 99.00% are needed",
    )
    same = structs.replace(label, text_match=1.0)
    assert reasons(structs.replace(measurement.accuracy, by_output={"scores": scores, "label": same})) == ()


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


def test_groups_of_channels_and_detections_are_judged_beside_the_outputs(measurement: Measurement) -> None:
    assert measurement.accuracy is not None
    fine = structs.replace(measurement.accuracy.agreement, top1_match=None, sqnr_db=40.0)
    quiet, noisy = structs.replace(fine, sqnr_db=12.0), structs.replace(fine, sqnr_db=-3.0)
    accuracy = structs.replace(measurement.accuracy, agreement=fine, by_group={"y[boxes]": fine, "y[classes]": quiet})
    assert reasons(accuracy) == ()
    assert reasons(structs.replace(accuracy, by_group={"y[boxes]": fine, "y[classes]": noisy})) == (
        "channels y[classes]: their SQNR is -3.0 dB; 10 dB are needed",
    )
    kept = AnswersKept(what="detections", count=100, kept=96, added=1)
    assert reasons(structs.replace(accuracy, kept=kept)) == ()
    assert reasons(structs.replace(accuracy, kept=structs.replace(kept, kept=80, added=0))) == (
        "80.00% of the detections are the host's; 95.00% are needed",
    )


@pytest.mark.slow
def test_outputs_have_answers_where_the_task_says_so(local, make_release, tmp_path: Path) -> None:
    """The model gives logits, which look like the columns of a detector."""
    release = make_release()
    np.savez(tmp_path / "inputs.npz", x=np.random.default_rng(1).standard_normal((8, 3)).astype(np.float32))
    np.savez(tmp_path / "labelled.npz", x=np.ones((3, 3), np.float32), labels=np.zeros(3, np.int64))
    for data, metric, match in (("inputs", None, None), ("inputs", "top1", 1.0), ("labelled", None, 1.0)):
        found = run_test(local, release, str(tmp_path / f"{data}.npz"), metric=metric)
        assert found.accuracy is not None
        assert found.accuracy.agreement.top1_match == match, (data, metric)


def test_figures_read_as_they_compare(measurement: Measurement) -> None:
    assert measurement.accuracy is not None
    nearly = structs.replace(measurement.accuracy.agreement, top1_match=0.98996)
    noisy = structs.replace(nearly, top1_match=None, sqnr_db=19.98)
    found = reasons(structs.replace(measurement.accuracy, by_output={"a": nearly, "b": noisy}))
    assert found == (
        "output 'a': 98.996% of the answers are the host's; 99.00% are needed",
        "output 'b': its SQNR is 19.98 dB; 20 dB are needed",
    )


def test_an_error_that_is_larger_than_the_hosts_is_worse(measurement: Measurement) -> None:
    assert measurement.accuracy is not None
    host, device = (MetricFigure(name="rmse", value=value, samples=600, larger_is_better=False) for value in (2.0, 2.1))
    accuracy = structs.replace(measurement.accuracy, metric=device, host_metric=host)

    def said(max_drop: float | str) -> tuple[str, ...]:
        return disagreements(accuracy, min_agreement=0.9, min_sqnr_db=20.0, max_drop=max_drop)

    assert said(0.2) == said("5%") == ()
    assert said("4%") == ("rmse is 0.1000 over the host's; 0.08 is allowed",)
    swapped = structs.replace(accuracy, metric=host, host_metric=device)
    assert disagreements(swapped, min_agreement=0.9, min_sqnr_db=20.0, max_drop=0.0) == ()
