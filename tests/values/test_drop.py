"""How much worse a metric may get: absolute or relative."""

from __future__ import annotations

import pytest

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.values.drop import Drop, drop_of
from edgedeploy.values.quality import MetricFigure


def test_a_percentage_is_of_what_the_metric_was():
    assert drop_of("2%") == Drop(0.02, relative=True)
    assert drop_of("2%").of(-5.0) == pytest.approx(0.1)
    assert drop_of(0.01).of(5.0) == drop_of("0.01").of(5.0) == 0.01
    assert str(drop_of("2.5 %")) == "2.5%"
    assert drop_of(str(drop_of("0.1%"))) == drop_of("0.1%")


@pytest.mark.parametrize("stated", ["", "%", "two", -1, "-1%", "nan", "inf", float("inf")])
def test_what_is_no_budget_is_refused(stated):
    with pytest.raises(UnsupportedError, match="percentage such as 2%"):
        drop_of(stated)


def test_worse_is_the_other_way_where_smaller_is_better():
    error = [MetricFigure(name="rmse", value=value, samples=1, larger_is_better=False) for value in (1.0, 1.5)]
    share = [MetricFigure(name="top1", value=value, samples=1) for value in (0.5, 0.75)]
    assert error[1].worsening(error[0]) == 0.5
    assert share[1].worsening(share[0]) == -0.25
