from __future__ import annotations

import datetime

import pytest
from msgspec import structs

from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.stats.latency import summary
from edgedeploy.values.contract import (
    LIMIT_RULES,
    Contract,
    ContractData,
    ContractModel,
    Limits,
    Outcome,
    TargetLimits,
)
from edgedeploy.values.measurement import MeasurementWarning, Validity
from edgedeploy.values.quality import MetricFigure
from edgedeploy.verdict.check import check

MODEL_SHA256, DATA_SHA256 = "a" * 64, "d" * 64
HOLDS, BREAKS, UNTOLD = Outcome.HOLDS, Outcome.BREAKS, Outcome.NOT_DETERMINED


def contract(*, parameters=None, evaluation_sha256=None, metric="top1", target=None, sha256=MODEL_SHA256, **limits):
    """`target`: limits of rpi4."""
    return Contract(
        schema=1,
        model=ContractModel(
            name="model", version="1", framework="f", file="m.onnx", sha256=sha256, parameters=parameters
        ),
        data=ContractData(evaluation="e.npz", evaluation_sha256=evaluation_sha256, metric=metric),
        limits=Limits(**limits, target={"rpi4": TargetLimits(**target)} if target else {}),
    )


def line(contract, measurement, key):
    lines = {line.key: line for line in check(contract, measurement).lines}
    return lines[key]


# -- each limit: holds at it, breaks beyond it


@pytest.mark.parametrize(
    ("name", "held", "broken", "figure"),
    [
        ("metric_min", 0.96, 0.961, 0.96),
        ("metric_max_drop", 0.01, 0.009, pytest.approx(0.01)),
        ("agreement_top1_min", 0.995, 0.996, 0.995),
        ("size_max_bytes", 400_000, 399_999, 400_000),
        ("size_reduction_min", 0.6, 0.61, pytest.approx(0.6)),
        ("parameters_max", 99_000, 98_999, 99_000),
    ],
)
def test_limits(measurement, name, held, broken, figure):
    found = line(contract(**{name: held}), measurement, f"limits.{name}")
    assert (found.outcome, found.figure, found.limit) == (HOLDS, figure, held)
    assert line(contract(**{name: broken}), measurement, f"limits.{name}").outcome is BREAKS


@pytest.mark.parametrize(
    ("name", "held", "broken"),
    [
        ("peak_memory_max_bytes", 66_000_000, 65_999_999),
        ("latency_p50_max_ms", 14.0, 13.99),
        ("latency_p90_max_ms", 18.0, 17.99),
        ("latency_p95_max_ms", 19.0, 17.0),
        ("latency_p99_max_ms", 19.0, 18.99),
    ],
)
def test_limits_of_a_target(measurement, name, held, broken):
    key = f"limits.target.rpi4.{name}"
    assert line(contract(target={name: held}), measurement, key).outcome is HOLDS
    assert line(contract(target={name: broken}), measurement, key).outcome is BREAKS
    other = structs.replace(measurement, release=structs.replace(measurement.release, target="jetson"))
    found = line(contract(target={name: held}), other, key)
    assert (found.outcome, found.figure) == (UNTOLD, None)
    assert "jetson" in found.reason


def test_every_limit_has_a_line_with_its_unit(measurement):
    general = dict.fromkeys((name for name in Limits.__struct_fields__ if name in LIMIT_RULES), 1)
    target = dict.fromkeys(TargetLimits.__struct_fields__, 1)
    units = {
        name: line(contract(**general, target=target), measurement, f"limits.{table}{name}").unit
        for table, names in (("", general), ("target.rpi4.", target))
        for name in names
    }
    assert units == {
        "metric_min": "share",
        "metric_max": "share",
        "metric_max_drop": "share",
        "metric_max_drop_relative": "share",
        "agreement_top1_min": "share",
        "size_max_bytes": "bytes",
        "size_reduction_min": "share",
        "parameters_max": "",
        "peak_memory_max_bytes": "bytes",
        "latency_p50_max_ms": "ms",
        "latency_p90_max_ms": "ms",
        "latency_p95_max_ms": "ms",
        "latency_p99_max_ms": "ms",
        "load_max_ms": "ms",
        "instructions_max": "",
    }
    own = contract(metric="mine:score", metric_min=1)
    assert line(own, measurement, "limits.metric_min").unit == ""


def test_rounding_breaks_nothing(measurement):
    """0.97 - 0.96 is 0.010000000000000009."""
    assert line(contract(metric_max_drop=0.01), measurement, "limits.metric_max_drop").outcome is HOLDS


# -- what cannot be told, and why


def test_wall_clock_of_an_emulated_board_is_no_latency_but_its_memory_is(measurement):
    limits = contract(
        target={"latency_p50_max_ms": 1e9, "latency_p99_max_ms": 0.0, "peak_memory_max_bytes": 66_000_000}
    )
    for emulated in (
        structs.replace(measurement, conditions=structs.replace(measurement.conditions, emulated=True)),
        structs.replace(measurement, timing=structs.replace(measurement.timing, clock="emulated")),
    ):
        for name in ("latency_p50_max_ms", "latency_p99_max_ms"):
            found = line(limits, emulated, f"limits.target.rpi4.{name}")
            assert (found.outcome, found.figure) == (UNTOLD, None)
            assert "not a latency" in found.reason
        assert line(limits, emulated, "limits.target.rpi4.peak_memory_max_bytes").outcome is HOLDS
        assert check(limits, emulated).outcome is HOLDS


def test_instructions_are_no_latency(measurement):
    counted = structs.replace(measurement, timing=None, count=instruction_count(9, [], [8, 8]))
    found = line(contract(target={"latency_p50_max_ms": 1e9}), counted, "limits.target.rpi4.latency_p50_max_ms")
    assert (found.outcome, found.figure) == (UNTOLD, None)
    assert "not time" in found.reason


def test_instructions_hold_or_break_where_they_are_counted(measurement):
    counted = structs.replace(measurement, timing=None, count=instruction_count(9, [], [800, 800, 900]))
    key = "limits.target.rpi4.instructions_max"
    found = line(contract(target={"instructions_max": 800}), counted, key)
    assert (found.outcome, found.figure) == (HOLDS, 800)
    assert "not time" in found.reason
    assert line(contract(target={"instructions_max": 799}), counted, key).outcome is BREAKS
    other = structs.replace(counted, release=structs.replace(counted.release, target="rpi5"))
    assert line(contract(target={"instructions_max": 800}), other, key).outcome is UNTOLD
    uncounted = line(contract(target={"instructions_max": 800}), measurement, key)
    assert (uncounted.outcome, uncounted.figure) == (UNTOLD, None)
    assert "board up --count" in uncounted.reason


def test_load_time_is_of_runtime_and_model_and_of_a_real_clock(measurement):
    key = "limits.target.rpi4.load_max_ms"
    imported = structs.replace(measurement, timing=structs.replace(measurement.timing, import_ms=180.0))
    assert line(contract(target={"load_max_ms": 20.0}), measurement, key).outcome is HOLDS
    assert line(contract(target={"load_max_ms": 199.0}), imported, key).outcome is BREAKS
    found = line(contract(target={"load_max_ms": 200.0}), imported, key)
    assert (found.outcome, found.figure) == (HOLDS, 200.0)
    emulated = structs.replace(imported, timing=structs.replace(imported.timing, clock="emulated"))
    assert line(contract(target={"load_max_ms": 200.0}), emulated, key).outcome is UNTOLD
    counted = structs.replace(measurement, timing=None, count=instruction_count(9, [], [8, 8]))
    assert line(contract(target={"load_max_ms": 200.0}), counted, key).outcome is UNTOLD


@pytest.mark.parametrize(
    ("taken_at", "outcome"),
    [
        ("2026-01-31T23:59:59+00:00", HOLDS),
        ("2026-02-01T00:00:00+00:00", BREAKS),
        ("yesterday", UNTOLD),
    ],
)
def test_a_contract_expires(measurement, taken_at, outcome):
    held = contract(metric_min=0.9)
    model = structs.replace(held.model, expires=datetime.date(2026, 1, 31), owner="A. Person <a@example.org>")
    expiring = structs.replace(held, model=model)
    taken = structs.replace(measurement, taken_at=taken_at)
    assert line(expiring, taken, "model.expires").outcome is outcome
    verdict = check(expiring, taken)
    assert (verdict.outcome is BREAKS) == (outcome is BREAKS)
    assert verdict.owner == "A. Person <a@example.org>"


def test_a_percentile_needs_its_samples(measurement):
    few = structs.replace(measurement.timing, summary=summary([10.0] * 100))
    limits = contract(target={"latency_p90_max_ms": 50.0, "latency_p99_max_ms": 50.0})
    measured = structs.replace(measurement, timing=few)
    assert line(limits, measured, "limits.target.rpi4.latency_p90_max_ms").outcome is HOLDS
    found = line(limits, measured, "limits.target.rpi4.latency_p99_max_ms")
    assert (found.outcome, found.reason) == (UNTOLD, "p99 needs 662 samples; there are 100")


LIMITS = {"metric_min": 0.9, "metric_max_drop": 0.1, "agreement_top1_min": 0.9}


def untold(limits, measurement) -> dict[str, str]:
    lines = check(limits, measurement).lines
    return {line.key.removeprefix("limits."): line.reason for line in lines if line.outcome is UNTOLD}


def test_without_a_test_there_is_no_accuracy(measurement):
    assert untold(contract(**LIMITS), structs.replace(measurement, accuracy=None)) == dict.fromkeys(
        LIMITS, "nothing was tested"
    )


def test_a_part_of_the_data_is_not_the_data(measurement):
    part = structs.replace(measurement, accuracy=structs.replace(measurement.accuracy, partial=True, samples=20))
    assert untold(contract(**LIMITS), part) == dict.fromkeys(LIMITS, "only the first 20 samples were tested")


def test_other_data_is_not_the_contracts(measurement):
    limits = contract(**LIMITS, evaluation_sha256="e" * 64)
    assert set(untold(limits, measurement)) == set(LIMITS)
    assert line(limits, measurement, "data.evaluation_sha256").outcome is BREAKS
    same = contract(**LIMITS, evaluation_sha256=DATA_SHA256)
    assert check(same, measurement).outcome is HOLDS and not untold(same, measurement)
    assert untold(same, structs.replace(measurement, accuracy=None))["data.evaluation_sha256"] == "nothing was tested"


def test_another_metric_is_not_the_contracts(measurement):
    assert untold(contract(**LIMITS, metric="top5"), measurement) == dict.fromkeys(
        ("metric_min", "metric_max_drop"), "top1 was measured, not top5"
    )


def test_data_without_labels_has_no_metric(measurement):
    accuracy = structs.replace(measurement.accuracy, metric=None, host_metric=None)
    assert set(untold(contract(**LIMITS), structs.replace(measurement, accuracy=accuracy))) == {
        "metric_min",
        "metric_max_drop",
    }


def test_outputs_that_are_no_scores_have_no_top_1(measurement):
    agreement = structs.replace(measurement.accuracy.agreement, top1_match=None)
    accuracy = structs.replace(measurement.accuracy, agreement=agreement)
    assert set(untold(contract(**LIMITS), structs.replace(measurement, accuracy=accuracy))) == {"agreement_top1_min"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"evaluation_sha256": "e" * 64}, "other data"),
        ({"evaluation_sha256": None}, "other data"),
        ({"metric": None}, "does not say how good"),
        ({"metric": MetricFigure(name="top5", value=0.97, samples=600)}, "with top5"),
        ({"metric": MetricFigure(name="top1", value=0.97, samples=500)}, "500 samples"),
        ({"sha256": "c" * 64}, "another model"),
    ],
)
def test_a_drop_is_told_against_the_same_data_only(measurement, change, reason):
    release = structs.replace(measurement.release, source=structs.replace(measurement.release.source, **change))
    told = untold(contract(metric_max_drop=0.01), structs.replace(measurement, release=release))
    assert reason in told["metric_max_drop"]


def test_without_its_source_a_release_has_no_drop_and_no_reduction(measurement):
    bare = structs.replace(measurement, release=structs.replace(measurement.release, source=None))
    assert set(untold(contract(metric_max_drop=0.01, size_reduction_min=0.1), bare)) == {
        "metric_max_drop",
        "size_reduction_min",
    }


def test_a_device_may_not_tell_its_memory(measurement):
    limits = contract(target={"peak_memory_max_bytes": 1})
    assert check(limits, structs.replace(measurement, peak_rss_bytes=None)).outcome is UNTOLD


def test_agreement_is_that_of_the_worst_output(measurement):
    accuracy = measurement.accuracy
    worse = structs.replace(accuracy.agreement, top1_match=0.4)
    no_scores = structs.replace(accuracy.agreement, top1_match=None)
    by_output = {"a": accuracy.agreement, "b": worse, "c": no_scores}
    measured = structs.replace(measurement, accuracy=structs.replace(accuracy, by_output=by_output))
    found = line(contract(agreement_top1_min=0.9), measured, "limits.agreement_top1_min")
    assert (found.outcome, found.figure) == (BREAKS, 0.4)
    assert "output 'b'" in found.reason


def test_text_that_differs_is_an_answer_that_differs(measurement):
    accuracy = measurement.accuracy
    label = structs.replace(accuracy.agreement, top1_match=None, sqnr_db=None, text_match=0.5)
    by_output = {"scores": accuracy.agreement, "label": label}
    for outputs, overall in ((by_output, accuracy.agreement), ({}, label)):
        tested = structs.replace(accuracy, by_output=outputs, agreement=overall)
        measured = structs.replace(measurement, accuracy=tested)
        found = line(contract(agreement_top1_min=0.9), measured, "limits.agreement_top1_min")
        assert (found.outcome, found.figure) == (BREAKS, 0.5)


NAN, INFINITY = float("nan"), float("inf")


def test_a_device_cannot_have_less_memory_than_none(measurement):
    limits = contract(target={"peak_memory_max_bytes": 10**9})
    for peak in (-5, 0, 1 << 60):
        found = line(
            limits, structs.replace(measurement, peak_rss_bytes=peak), "limits.target.rpi4.peak_memory_max_bytes"
        )
        assert (found.outcome, found.figure) == (UNTOLD, None)
        assert "cannot be" in found.reason


def test_a_model_has_some_bytes(measurement):
    """One of none would be the smallest of all."""
    for size_bytes in (-5, 0):
        release = structs.replace(measurement.release, model_size_bytes=size_bytes)
        measured = structs.replace(measurement, release=release)
        for limit in ({"size_reduction_min": 0.1}, {"size_max_bytes": 10**9}):
            found = line(contract(**limit), measured, f"limits.{next(iter(limit))}")
            assert (found.outcome, found.figure) == (UNTOLD, None)
            assert "cannot be" in found.reason


@pytest.mark.parametrize("value_ms", [-1.0, 0.0, NAN, INFINITY, -INFINITY, 1e308])
@pytest.mark.parametrize("name", ["latency_p50_max_ms", "latency_p90_max_ms", "latency_p99_max_ms"])
def test_a_latency_that_no_device_has_is_not_determined(measurement, name, value_ms):
    broken = structs.replace(measurement.timing.summary, p50_ms=value_ms, p90_ms=value_ms, p99_ms=value_ms)
    broken = structs.replace(measurement, timing=structs.replace(measurement.timing, summary=broken))
    found = line(contract(target={name: 50.0}), broken, f"limits.target.rpi4.{name}")
    assert (found.outcome, found.figure) == (UNTOLD, None)


@pytest.mark.parametrize(
    "times",
    [
        {"load_ms": -1.0}, {"load_ms": 1e308}, {"load_ms": NAN}, {"load_ms": None}, {"load_ms": 0.0, "import_ms": 0.0},
        {"import_ms": -1.0}, {"import_ms": 1e308, "load_ms": 1e308},
    ],
)  # fmt: skip
def test_a_load_that_no_device_has_is_not_determined(measurement, times):
    broken = structs.replace(measurement, timing=structs.replace(measurement.timing, **times))
    found = line(contract(target={"load_max_ms": 50.0}), broken, "limits.target.rpi4.load_max_ms")
    assert (found.outcome, found.figure) == (UNTOLD, None)


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY, 1.7, -0.1])
@pytest.mark.parametrize(
    ("key", "limit"), [("metric_min", -9.0), ("metric_max_drop", 9.0), ("agreement_top1_min", 0.1)]
)
def test_a_share_that_cannot_be_is_not_determined(measurement, key, limit, value):
    accuracy = measurement.accuracy
    broken = structs.replace(
        accuracy,
        metric=structs.replace(accuracy.metric, value=value),
        agreement=structs.replace(accuracy.agreement, top1_match=value),
    )
    found = line(contract(**{key: limit}), structs.replace(measurement, accuracy=broken), f"limits.{key}")
    assert (found.outcome, found.figure) == (UNTOLD, None)


@pytest.mark.parametrize("number", [-5, 0, 1 << 63])
def test_a_number_of_instructions_that_cannot_be_is_not_determined(measurement, number):
    counted = structs.replace(measurement, timing=None, count=instruction_count(number, [number], [number]))
    found = line(contract(target={"instructions_max": 10**20}), counted, "limits.target.rpi4.instructions_max")
    assert (found.outcome, found.figure) == (UNTOLD, None)


# -- what the contract claims


def test_the_model_is_known_by_what_it_was_made_of(measurement):
    found = line(contract(size_max_bytes=10**9), measurement, "model.sha256")
    assert found.outcome is HOLDS and "recipe int8" in found.reason


def test_the_very_file_that_was_handed_over_is_its_own_float_model(measurement):
    release = structs.replace(measurement.release, model_sha256=MODEL_SHA256, source=None)
    limits = contract(metric_max_drop=0.01, size_reduction_min=0.45, parameters=99_000)
    found = {line.key: line for line in check(limits, structs.replace(measurement, release=release)).lines}
    assert found["model.sha256"].outcome is found["model.parameters"].outcome is HOLDS
    assert found["limits.metric_max_drop"].figure == pytest.approx(0.005)
    assert (found["limits.size_reduction_min"].figure, found["limits.size_reduction_min"].outcome) == (0.0, BREAKS)


def test_another_model_breaks_the_contract_however_good_it_is(measurement):
    for release in (measurement.release, structs.replace(measurement.release, source=None)):
        verdict = check(contract(metric_min=0.1, sha256="c" * 64), structs.replace(measurement, release=release))
        assert verdict.outcome is BREAKS
        assert {line.key: line.outcome for line in verdict.lines} == {
            "model.sha256": BREAKS,
            "limits.metric_min": HOLDS,
        }


def test_the_number_of_parameters_is_that_of_the_float_model(measurement):
    assert line(contract(parameters=100_000), measurement, "model.parameters").outcome is HOLDS
    assert line(contract(parameters=99_000), measurement, "model.parameters").outcome is BREAKS


# -- the whole


def test_one_broken_line_breaks_the_contract(measurement):
    assert check(contract(metric_min=0.9, size_max_bytes=1), measurement).outcome is BREAKS


def test_claims_alone_hold_no_contract(measurement):
    limits = contract(metric_min=0.9, evaluation_sha256=DATA_SHA256)
    verdict = check(limits, structs.replace(measurement, accuracy=None))
    assert verdict.lines[0].outcome is HOLDS
    assert verdict.outcome is UNTOLD


def test_strictly_every_line_has_to_be_told(measurement):
    limits = contract(size_max_bytes=10**9, metric_min=0.9)
    untested = structs.replace(measurement, accuracy=None)
    assert check(limits, untested).outcome is HOLDS
    assert check(limits, untested, strict=True).outcome is UNTOLD
    assert check(limits, measurement, strict=True).outcome is HOLDS
    assert check(contract(size_max_bytes=1, metric_min=0.9), untested, strict=True).outcome is BREAKS


def test_every_limit_has_one_line(measurement):
    every = {name: 1 for name in Limits.__struct_fields__ if name != "target"}
    target = dict.fromkeys(TargetLimits.__struct_fields__, 1)
    keys = [line.key for line in check(contract(**every, target=target), measurement).lines]
    expected = {f"limits.{name}" for name in every} | {f"limits.target.rpi4.{name}" for name in target}
    assert {key for key in keys if key.startswith("limits.")} == expected
    assert len(keys) == len(set(keys))


def test_limits_of_a_metric_of_ones_own_are_not_percent(measurement):
    assert line(contract(metric_min=0.9), measurement, "limits.metric_min").unit == "share"
    assert line(contract(metric_min=0.9, metric="a.b:c"), measurement, "limits.metric_min").unit == ""


def test_a_latency_that_no_such_board_can_have_is_not_believed(measurement):
    """A wrong clock, or another device: a limit that it would hold easily cannot be told."""
    held = contract(target={"latency_p90_max_ms": 50.0})
    key = "limits.target.rpi4.latency_p90_max_ms"
    possible = structs.replace(measurement, timing=structs.replace(measurement.timing, least_ms=9.0))
    assert line(held, possible, key).outcome is HOLDS
    impossible = structs.replace(measurement, timing=structs.replace(measurement.timing, least_ms=30.0))
    found = line(held, impossible, key)
    assert found.outcome is UNTOLD
    assert "a rpi4 needs 30 ms at least: the clock is wrong" in found.reason


@pytest.mark.parametrize("outcome", ["stable", "unstable", "invalid"])
def test_latencies_of_an_invalid_measurement_cannot_be_told(measurement, outcome):
    warnings = (
        MeasurementWarning(reason="throttled for 14 of 60 s", hint="let it cool", invalidates=True),
        MeasurementWarning(reason="other programs kept 0.4 of its CPUs busy", hint="end them", invalidates=False),
    )
    timing = structs.replace(measurement.timing, validity=Validity(outcome=outcome, warnings=warnings))
    found = line(
        contract(target={"latency_p90_max_ms": 18.0}),
        structs.replace(measurement, timing=timing),
        "limits.target.rpi4.latency_p90_max_ms",
    )
    assert found.outcome is (UNTOLD if outcome == "invalid" else HOLDS)
    if outcome == "invalid":
        assert found.reason == "the measurement is invalid: throttled for 14 of 60 s"


# -- metrics that are better where they are smaller


def test_errors_have_a_ceiling_and_drops_may_be_relative(measurement):
    errors = [MetricFigure(name="rmse", value=value, samples=600, larger_is_better=False) for value in (2.2, 2.1, 2.0)]
    release = measurement.release
    measured = structs.replace(
        measurement,
        accuracy=structs.replace(measurement.accuracy, metric=errors[0], host_metric=errors[1]),
        release=structs.replace(release, source=structs.replace(release.source, metric=errors[2])),
    )
    for name, held, broken, figure, unit in (
        ("metric_max", 2.2, 2.19, 2.2, ""),
        ("metric_max_drop", 0.2, 0.19, 0.2, ""),
        ("metric_max_drop_relative", 0.1, 0.09, 0.1, "share"),
    ):
        found = line(contract(metric="rmse", **{name: held}), measured, f"limits.{name}")
        assert (found.outcome, found.figure, found.unit) == (HOLDS, pytest.approx(figure), unit)
        assert line(contract(metric="rmse", **{name: broken}), measured, f"limits.{name}").outcome is BREAKS


def test_of_nothing_there_is_no_relative_drop(measurement):
    none = MetricFigure(name="top1", value=0.0, samples=600)
    release = measurement.release
    measured = structs.replace(
        measurement, release=structs.replace(release, source=structs.replace(release.source, metric=none))
    )
    found = line(contract(metric_max_drop_relative=0.1), measured, "limits.metric_max_drop_relative")
    assert found.outcome is UNTOLD and "is 0" in found.reason
