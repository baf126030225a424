"""What got worse is told, and noise is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import InvalidFileError, MeasurementError
from edgedeploy.measure.files import save_measurement
from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.stats.latency import summary
from edgedeploy.values.baseline import CountedRun, Thresholds
from edgedeploy.values.contract import Outcome, Verdict
from edgedeploy.values.measurement import Measurement, MeasurementWarning, Validity
from edgedeploy.verdict.baseline import (
    baseline_of,
    check_baseline,
    compare,
    load_baseline,
    save_baseline,
    updated,
)

HOLDS, BREAKS, UNTOLD = Outcome.HOLDS, Outcome.BREAKS, Outcome.NOT_DETERMINED


@pytest.fixture
def counted(measurement):
    """A run on a counting board, of this many instructions and one in 10,000 more or less."""

    def run(instructions: float, seed: int = 0, *, name: str = "model", identity: str = "1-abc") -> Measurement:
        rng = np.random.default_rng(seed)
        samples = [int(each) for each in instructions * (1 + rng.normal(0, 1e-4, 32))]
        return structs.replace(
            measurement,
            timing=None,
            count=instruction_count(samples[0], samples[:3], samples),
            release=structs.replace(measurement.release, name=name, id=identity),
            conditions=structs.replace(measurement.conditions, emulated=True),
        )

    return run


@pytest.fixture
def timed(measurement):
    """A run on a real board; the runs differ by 1 % and the samples within one by more."""

    def run(p50_ms: float, seed: int, *, identity: str = "1-abc") -> Measurement:
        rng = np.random.default_rng(seed)
        middle = p50_ms * np.exp(rng.normal(0, 0.01))
        samples = (middle * np.exp(rng.normal(0, 0.05, 201))).tolist()
        return structs.replace(
            measurement,
            timing=structs.replace(measurement.timing, samples_ms=tuple(samples), summary=summary(samples)),
            peak_rss_bytes=int(66e6 * (1 + rng.normal(0, 0.001))),
            release=structs.replace(measurement.release, id=identity),
        )

    return run


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {line.key.rpartition(".")[2]: line.outcome for line in verdict.lines}


def test_one_percent_more_work_is_caught_each_time_and_none_is_not(counted):
    baseline = baseline_of([counted(20_291_700)])
    for seed in range(1, 11):
        assert check_baseline(baseline, baseline_of([counted(20_291_700 * 1.01, seed)])).outcome is BREAKS
    for seed in range(1, 101):
        assert check_baseline(baseline, baseline_of([counted(20_291_700, seed)])).outcome is HOLDS


def test_a_fifth_more_time_is_caught_and_the_noise_of_runs_is_not(timed):
    baseline = baseline_of([timed(12.0, seed) for seed in range(5)])
    alarms = caught = 0
    for seed in range(100, 200, 2):
        runs = [timed(12.0, seed), timed(12.0, seed + 1)]
        slower = [timed(14.4, seed), timed(14.4, seed + 1)]
        alarms += outcomes(check_baseline(baseline, baseline_of(runs)))["latency_p50_max_ms"] is not HOLDS
        caught += outcomes(check_baseline(baseline, baseline_of(slower)))["latency_p50_max_ms"] is BREAKS
    assert (alarms, caught) == (0, 50)


def test_latency_of_few_runs_cannot_be_told_but_its_change_is_shown(timed):
    baseline = baseline_of([timed(12.0, 0), timed(12.0, 1)])
    verdict = check_baseline(baseline, baseline_of([timed(24.0, 2)]))
    assert outcomes(verdict) == {
        "latency_p50_max_ms": UNTOLD,
        "peak_memory_max_bytes": UNTOLD,
        "model_size_max_bytes": HOLDS,
    }
    (line,) = (line for line in verdict.lines if "latency" in line.key)
    assert line.reason.startswith("+9") or line.reason.startswith("+10")
    assert "2 of 3 runs" in line.reason
    assert verdict.outcome is HOLDS
    assert check_baseline(baseline, baseline_of([timed(24.0, 2)]), strict=True).outcome is UNTOLD


def test_a_threshold_is_not_met_by_what_is_at_it_and_by_what_is_over(counted):
    baseline = baseline_of([counted(1_000_000)])
    grown = structs.replace(counted(1), count=instruction_count(1, [], [1_010_000] * 32))
    now = baseline_of([grown])
    limit = 1_010_000 / baseline.entries[0].instructions[0].median - 1
    for threshold, expected in ((limit + 1e-6, HOLDS), (limit - 1e-6, BREAKS)):
        found = check_baseline(baseline, now, Thresholds(instructions=threshold))
        assert outcomes(found)["instructions_max"] is expected


def test_noise_that_is_larger_than_the_threshold_is_the_gate(measurement):
    wide = [int(each) for each in np.linspace(900_000, 1_100_000, 32)]
    noisy = structs.replace(measurement, timing=None, count=instruction_count(1, [], wide))
    grown = structs.replace(
        measurement, timing=None, count=instruction_count(1, [], [each * 102 // 100 for each in wide])
    )
    verdict = check_baseline(baseline_of([noisy]), baseline_of([grown]))
    (line,) = (line for line in verdict.lines if "instructions" in line.key)
    assert line.outcome is HOLDS
    assert "; noise: " in line.reason


def test_better_is_said_so(counted):
    verdict = check_baseline(baseline_of([counted(1e6)]), baseline_of([counted(0.9e6, 1)]))
    assert verdict.outcome is HOLDS
    assert "save a new baseline" in verdict.lines[0].reason


def test_a_larger_model_breaks(counted):
    larger = counted(1e6)
    larger = structs.replace(larger, release=structs.replace(larger.release, model_size_bytes=410_000))
    found = check_baseline(baseline_of([counted(1e6)]), baseline_of([larger]))
    assert outcomes(found) == {
        "instructions_max": HOLDS,
        "peak_memory_max_bytes": UNTOLD,
        "model_size_max_bytes": BREAKS,
    }


def test_another_processor_does_other_work(counted):
    elsewhere = counted(2e6)
    for change, word in (({"cpu": "Arm Cortex-A53"}, "A53"), ({"cpu_features": ("asimd", "asimddp")}, "asimddp")):
        other = structs.replace(elsewhere, conditions=structs.replace(elsewhere.conditions, **change))
        verdict = check_baseline(baseline_of([counted(1e6)]), baseline_of([other]))
        (line,) = (line for line in verdict.lines if "instructions" in line.key)
        assert line.outcome is UNTOLD
        assert word in line.reason


def test_another_runtime_is_compared_and_named(counted):
    newer = counted(1e6)
    newer = structs.replace(newer, conditions=structs.replace(newer.conditions, runtime={"onnxruntime": "9.9"}))
    verdict = check_baseline(baseline_of([counted(1e6)]), baseline_of([newer]))
    assert verdict.lines[0].outcome is HOLDS
    assert "another runtime: onnxruntime 9.9" in verdict.lines[0].reason


def test_what_the_baseline_does_not_have_cannot_be_told(counted, timed):
    verdict = check_baseline(baseline_of([counted(1e6)]), baseline_of([timed(12.0, 0)]))
    assert (verdict.outcome, len(verdict.lines)) == (UNTOLD, 1)
    assert "save one" in verdict.lines[0].reason


def test_emulated_wall_clock_is_not_kept(measurement):
    emulated = structs.replace(measurement, timing=structs.replace(measurement.timing, clock="emulated"))
    (entry,) = baseline_of([emulated] * 3).entries
    assert entry.kind == "emulated"
    assert entry.latency_p50_ms == ()
    assert len(entry.peak_rss_bytes) == 3


def test_an_entry_is_replaced_and_others_stay(counted, timed):
    first = baseline_of([counted(1e6), counted(2e6, name="other"), *(timed(12.0, seed) for seed in range(3))])
    assert [(entry.name, entry.kind) for entry in first.entries] == [
        ("model", "counted"),
        ("model", "device"),
        ("other", "counted"),
    ]
    second = updated(first, baseline_of([counted(3e6)]))
    assert second.entries[1:] == first.entries[1:]
    assert second.entries[0].instructions[0].median == pytest.approx(3e6, rel=1e-3)


def test_two_releases_are_compared_whatever_their_names(counted):
    verdict = compare([counted(1e6)], [counted(1.1e6, name="other", identity="2-def")])
    assert (verdict.kind, verdict.outcome) == ("comparison", BREAKS)
    assert verdict.contract == "model 1-abc → other 2-def"


def test_runs_that_do_not_belong_together_are_refused(counted, timed, measurement):
    with pytest.raises(MeasurementError, match="do not belong together"):
        baseline_of([counted(1e6), counted(1e6, identity="2-def")])
    with pytest.raises(MeasurementError, match="of one release on one board"):
        compare([counted(1e6)], [counted(1e6), timed(12.0, 0)])
    with pytest.raises(MeasurementError, match="neither timed nor counted"):
        baseline_of([structs.replace(measurement, timing=None)])
    with pytest.raises(InvalidFileError, match="a figure that is none"):
        baseline_of([structs.replace(measurement, peak_rss_bytes=0)])
    no_count = structs.replace(counted(1e6).count, samples=())
    with pytest.raises(InvalidFileError, match="a figure that is none"):
        baseline_of([structs.replace(measurement, timing=None, count=no_count)])


def test_an_invalid_measurement_is_neither_kept_nor_compared(timed):
    run = timed(10.0, 1)
    warnings = (
        MeasurementWarning(reason="throttled for 14 of 60 s", hint="let it cool", invalidates=True),
        MeasurementWarning(reason="other programs kept 0.4 of its CPUs busy", hint="end them", invalidates=False),
    )
    invalid = structs.replace(
        run, timing=structs.replace(run.timing, validity=Validity(outcome="invalid", warnings=warnings))
    )
    for refused in (lambda: baseline_of([run, invalid]), lambda: compare([run], [invalid])):
        with pytest.raises(MeasurementError, match="is invalid") as caught:
            refused()
        assert caught.value.why == "throttled for 14 of 60 s"
        assert caught.value.hint == "let it cool; then measure again"


def test_a_file_is_read_as_it_was_written(counted, timed, tmp_path):
    kept = baseline_of([counted(1e6), timed(12.0, 1), timed(12.0, 2)])
    save_baseline(kept, tmp_path / "baseline.json")
    assert load_baseline(tmp_path / "baseline.json") == kept
    first = (tmp_path / "baseline.json").read_bytes()
    save_baseline(load_baseline(tmp_path / "baseline.json"), tmp_path / "baseline.json")
    assert (tmp_path / "baseline.json").read_bytes() == first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "not a baseline"),
        (b'{"schema": 2}', "has schema 2"),
        (b"\xff", "not a baseline"),
        (b"[" * 100_000, "not a baseline"),
    ],
)
def test_files_that_are_none_are_told(tmp_path, content, message):
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(InvalidFileError, match=message):
        load_baseline(tmp_path / "b.json")


@given(
    st.recursive(st.none() | st.floats(allow_nan=False) | st.integers() | st.text(), st.lists, max_leaves=3), st.data()
)
def test_hostile_figures_are_refused_or_compared(tmp_path_factory, value, data):
    entry = {
        "name": "m", "target": "t", "kind": "counted", "release": "r", "cpu": "c", "cpu_features": [],
        "runtime": {}, "model_size_bytes": 1, "instructions": [{"median": 2, "low": 1, "high": 3}],
        "latency_p50_ms": [1, 2, 3], "peak_rss_bytes": [1, 2, 3],
    }  # fmt: skip
    key = data.draw(st.sampled_from(sorted(entry)))
    number = data.draw(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
    hostile = {"instructions": [{"median": number, "low": 1, "high": 3}], "latency_p50_ms": [number] * 4}.get(
        key, value
    )
    path: Path = tmp_path_factory.mktemp("b") / "b.json"
    path.write_bytes(msgspec.json.encode({"schema": 1, "entries": [entry | {key: hostile}]}))
    try:
        found = load_baseline(path)
    except InvalidFileError:
        return
    assert check_baseline(found, found).outcome is HOLDS


def test_every_line_says_that_its_limit_is_a_ceiling(counted, timed):
    for kept in (baseline_of([counted(1e6)]), baseline_of([timed(12.0, run) for run in range(3)])):
        for baseline in (kept, structs.replace(kept, entries=())):
            for line in check_baseline(baseline, kept).lines:
                assert line.rule is not None and line.rule.direction == "max", line.key


@pytest.mark.parametrize("figure", [1.1125369292536007e-308, 5e-324, 1e308, 0.0, -1.0])
def test_figures_that_cannot_be_computed_with_are_refused(counted, tmp_path, figure):
    kept = baseline_of([counted(1e6)])
    entry = structs.replace(kept.entries[0], instructions=(CountedRun(median=figure, low=1.0, high=3.0),))
    save_baseline(structs.replace(kept, entries=(entry,)), tmp_path / "baseline.json")
    with pytest.raises(InvalidFileError, match="has a figure that is none"):
        load_baseline(tmp_path / "baseline.json")


def test_as_a_user_types_it(counted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, run in {
        "old": counted(1e6),
        "same": counted(1e6, 1),
        "worse": counted(1.01e6, 2, identity="2-def"),
    }.items():
        save_measurement(run, tmp_path / f"{name}.json")

    def edgedeploy(*words: str) -> tuple[object, str]:
        result = CliRunner().invoke(cli, words, standalone_mode=False)
        assert not isinstance(result.exception, Exception), result.exception
        return result.return_value, result.output

    assert edgedeploy("baseline", "save", "baseline.json", "old.json")[0] == 0
    shown = edgedeploy("baseline", "show", "baseline.json")[1]
    assert "counted" in shown and "1-abc" in shown
    code, said = edgedeploy("baseline", "check", "baseline.json", "same.json")
    assert code == 0 and "baseline model: holds" in said
    words = ("baseline", "check", "baseline.json", "worse.json", "--junit", "j.xml", "--markdown", "m.md")
    code, said = edgedeploy(*words)
    assert code == 1 and "+1.0" in said
    assert "the baseline breaks" in (tmp_path / "j.xml").read_text()
    assert "Baseline model: breaks" in (tmp_path / "m.md").read_text()
    assert edgedeploy(*words, "--instructions", "2")[0] == 0
    code, said = edgedeploy("compare", "old.json", "worse.json")
    assert code == 1 and "comparison model 1-abc → model 2-def: breaks" in said
    (tmp_path / "runs").mkdir()
    with pytest.raises(InvalidFileError, match="has no measurements"):
        CliRunner().invoke(cli, ["compare", "runs", "old.json"], standalone_mode=False, catch_exceptions=False)


def test_an_emulator_of_another_version_is_said(counted):
    """Its counts may differ: the line still decides, and says so."""

    def run_in(emulator: str | None, instructions: float = 1e7) -> Measurement:
        run = counted(instructions)
        return structs.replace(run, conditions=structs.replace(run.conditions, emulator=emulator))

    old = baseline_of([run_in("QEMU 7.2.22")])
    assert old.entries[0].emulator == "QEMU 7.2.22"
    verdict = check_baseline(old, baseline_of([run_in("QEMU 10.0.2", 1.01e7)]))
    (line,) = (each for each in verdict.lines if each.key.endswith("instructions_max"))
    assert line.outcome is BREAKS
    assert "QEMU 7.2.22 in the baseline, QEMU 10.0.2 now: its counts may differ" in line.reason
    for before, now in (("QEMU 7.2.22", "QEMU 7.2.22"), (None, "QEMU 10.0.2")):
        verdict = check_baseline(baseline_of([run_in(before)]), baseline_of([run_in(now)]))
        assert not [each for each in verdict.lines if "emulator" in each.reason]
    with pytest.raises(MeasurementError, match="do not belong together"):
        baseline_of([run_in("QEMU 7.2.22"), run_in("QEMU 10.0.2")])


def test_another_system_is_said(counted):
    """A board of bookworm has another Python than one of trixie."""

    def run_on(os: str) -> Measurement:
        run = counted(1e7)
        return structs.replace(run, conditions=structs.replace(run.conditions, os=os))

    old = baseline_of([run_on("Debian GNU/Linux 12 (bookworm)")])
    verdict = check_baseline(old, baseline_of([run_on("Debian GNU/Linux 13 (trixie)")]))
    (line,) = (each for each in verdict.lines if each.key.endswith("instructions_max"))
    assert line.outcome is HOLDS and "another system: Debian GNU/Linux 12 (bookworm) in the baseline" in line.reason


def test_accuracy_is_kept_beside_the_figures(counted, measurement):
    run = counted(1e7)
    assert baseline_of([structs.replace(run, accuracy=None)]).entries[0].accuracy is None
    kept = baseline_of([structs.replace(run, accuracy=measurement.accuracy)]).entries[0].accuracy
    assert (kept.metric, kept.value) == (measurement.accuracy.metric.name, measurement.accuracy.metric.value)
