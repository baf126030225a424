from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from edgedeploy.errors import DeviceError, UnknownNameError
from edgedeploy.measure.bench import bench
from edgedeploy.measure.profiles import PROFILES, Profile

QUICK = Profile(warmup=3, warmup_s=0.0, min_samples=64, min_s=0.0, max_s=60.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setitem(PROFILES, "smoke", QUICK)


def test_the_bounds_are_those_of_mlperf():
    fresh = {"standard": (1024, 60.0, 600.0), "long": (1024, 600.0, 1800.0)}
    assert {name: (PROFILES[name].min_samples, PROFILES[name].min_s, PROFILES[name].max_s) for name in fresh} == fresh


def test_a_run_and_what_it_says(local, make_release):
    release = make_release()
    measured = bench(local, release, profile="smoke")
    timing = measured.timing
    assert timing.clock == "device" and timing.profile == "smoke"
    assert timing.import_ms > 1 and timing.load_ms > 0 and timing.first_inference_ms > 0
    assert len(timing.warmup_ms) == 3
    assert len(timing.samples_ms) == timing.summary.n == 64
    assert timing.summary.min_ms == min(timing.samples_ms) > 0
    assert timing.summary.notes[0].startswith("p95 needs")

    assert (measured.device, measured.release.id, measured.release.target) == ("local:", release.id, "x86-64")
    assert measured.release.model_sha256 == release.manifest.model.sha256
    assert measured.conditions.runtime.keys() == {"onnxruntime", "numpy"}
    assert not measured.conditions.emulated
    assert measured.golden.samples == 4 and measured.golden.sqnr_db is None
    assert measured.peak_rss_bytes > 10_000_000


def test_an_emulated_board_has_no_latency_and_a_short_run(local, make_release):
    local.emulated = True
    measured = bench(local, make_release(), profile="long")
    assert measured.timing.clock == "emulated"
    assert measured.conditions.emulated
    assert measured.timing.summary.n == 64


@pytest.mark.parametrize(
    ("bounds", "note"),
    [
        ({"min_samples": 10**9, "max_s": 0.1}, "of 1,000,000,000 samples"),
        ({"min_s": 1e6, "max_samples": 70}, "ended with 70 samples after 0 of 1000000 s"),
    ],
)
def test_a_run_that_ends_early_says_so(local, make_release, monkeypatch, bounds, note):
    monkeypatch.setitem(PROFILES, "smoke", structs.replace(QUICK, **bounds))
    assert note in bench(local, make_release(), profile="smoke").timing.summary.notes[0]


def test_an_unknown_profile_is_told(local, make_release):
    with pytest.raises(UnknownNameError, match="'eternal'") as caught:
        bench(local, make_release(), profile="eternal")
    assert "smoke, standard, long" in caught.value.mend


def test_a_release_without_golden_samples_cannot_be_timed(local, make_release):
    with pytest.raises(DeviceError) as caught:
        bench(local, make_release(feeds=[]), profile="smoke")
    assert "no golden samples" in caught.value.why


def test_outputs_that_left_the_golden_ones_are_seen(local, make_release):
    measured = bench(local, make_release(kept=lambda outputs: [y + 1 for y in outputs]), profile="smoke")
    assert measured.golden.max_abs_error == 1


def test_what_the_device_says_of_itself_is_made_printable(local, make_release):
    release = make_release()
    runner = Path(release.path, "runner.py")
    runner.write_text(runner.read_text().replace('"os": os_name()', '"os": "evil \\x1b[2J"'))
    assert bench(local, release, profile="smoke").conditions.os == "evil �[2J"


def test_a_device_that_does_not_describe_itself_is_refused(local, make_release):
    release = make_release()
    runner = Path(release.path, "runner.py")
    runner.write_text(runner.read_text().replace('"cores": os.cpu_count() or 1', '"cores": "many"'))
    with pytest.raises(DeviceError, match="unknown way"):
        bench(local, release, profile="smoke")


def test_what_is_faster_than_its_board_can_be_is_told(local, make_release):
    """This machine, said to be a Raspberry Pi 2: it holds 10^12 MACs to take 35 seconds at least."""
    release = make_release(target="rpi2")
    model = structs.replace(release.manifest.model, macs=10**12)
    fast = structs.replace(release, manifest=structs.replace(release.manifest, model=model))
    timing = bench(local, fast, profile="smoke").timing
    assert timing.least_ms == pytest.approx(1000 * 10**12 / (8 * 900e6 * 4))
    assert "a rpi2 needs 3.47e+04 ms at least" in timing.summary.notes[0]
    # What is looked up or branches may be less than it seems.
    model = structs.replace(model, operators={"If": 1})
    quick = structs.replace(release, manifest=structs.replace(release.manifest, model=model))
    assert bench(local, quick, profile="smoke").timing.least_ms is None
