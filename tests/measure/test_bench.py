from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import structs

from edgedeploy.foundation.errors import DeviceError, UnknownNameError, UnsupportedError
from edgedeploy.foundation.progress import Progress
from edgedeploy.measure.bench import bench
from edgedeploy.measure.durations import PROFILES, Durations
from edgedeploy.measure.protocol import Conversation
from edgedeploy.values.measurement import BenchSettings

pytestmark = pytest.mark.slow

QUICK = Durations(warmup=3, warmup_s=0.0, min_samples=64, min_s=0.0, max_s=60.0)


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
    assert "smoke, standard, long" in caught.value.hint


def test_a_release_without_golden_samples_cannot_be_timed(local, make_release):
    with pytest.raises(DeviceError) as caught:
        bench(local, make_release(feeds=[]), profile="smoke")
    assert "no golden samples" in caught.value.why


def test_outputs_that_left_the_golden_ones_are_seen(local, make_release):
    measured = bench(local, make_release(kept=lambda outputs: [y + 1 for y in outputs]), profile="smoke")
    assert measured.golden.max_abs_error == 1


def test_what_the_device_says_of_itself_is_made_printable(local, make_release):
    release = make_release()
    runner = Path(release.path, "edgedeploy_runner/device.py")
    runner.write_text(runner.read_text().replace('"os": os_name()', '"os": "evil \\x1b[2J"'))
    assert bench(local, release, profile="smoke").conditions.os == "evil �[2J"


def test_a_device_that_does_not_describe_itself_is_refused(local, make_release):
    release = make_release()
    runner = Path(release.path, "edgedeploy_runner/device.py")
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
    assert "a rpi2 needs at least 34722 ms" in timing.summary.notes[0]
    # What is looked up or branches may be less than it seems.
    model = structs.replace(model, operators={"If": 1})
    quick = structs.replace(release, manifest=structs.replace(release.manifest, model=model))
    assert bench(local, quick, profile="smoke").timing.least_ms is None


# -- settings


def test_warm_up_as_one_likes(local, make_release):
    release = make_release()
    for settings, warmup in ((BenchSettings(warmup_runs=0), 0), (BenchSettings(warmup_runs=9), 9)):
        timing = bench(local, release, profile="smoke", settings=settings).timing
        assert len(timing.warmup_ms) == warmup == timing.settings.warmup_runs
    longer = bench(local, release, profile="smoke", settings=BenchSettings(warmup_s=0.2)).timing
    assert sum(longer.warmup_ms) > 50 and longer.settings.warmup_s == 0.2


def test_several_processes(local, make_release):
    timing = bench(local, make_release(), profile="smoke", settings=BenchSettings(processes=3)).timing
    assert len(timing.processes) == 3
    assert timing.summary.n == len(timing.samples_ms) == 192 == sum(one.samples for one in timing.processes)
    assert len(timing.warmup_ms) == 9
    first = timing.processes[0]
    assert first.p50_ms == pytest.approx(sorted(timing.samples_ms[:64])[31], rel=0.5)
    assert timing.load_ms == sorted(one.load_ms for one in timing.processes)[1]
    assert [state.phase for state in first.states] == ["before", "after"]
    assert first.states[0].memory_available_bytes > 0 and first.states[-1].cpu_own_s > 0


def test_an_inference_every_so_often(local, make_release):
    timing = bench(local, make_release(), profile="smoke", settings=BenchSettings(every_ms=5.0)).timing
    assert timing.processes[0].elapsed_s >= 63 * 0.005
    assert timing.validity.outcome in ("stable", "unstable", "invalid")


def test_some_cpus_only(local, make_release):
    allowed = sorted(os.sched_getaffinity(0))
    settings = BenchSettings(affinity=tuple(allowed[:1]), threads=1)
    assert bench(local, make_release(), profile="smoke", settings=settings).timing.settings.affinity == (allowed[0],)
    with pytest.raises(DeviceError) as caught:
        bench(local, make_release(), profile="smoke", settings=BenchSettings(affinity=(1000,)))
    assert "cannot be bound to CPU 1000" in caught.value.why


def test_what_an_earlier_runner_cannot_do_is_told(local, make_release):
    release = make_release()
    runner = Path(release.path, "edgedeploy_runner/runner.py")
    runner.write_text(runner.read_text().replace('"can": ABILITIES, ', ""))
    timing = bench(local, release, profile="smoke").timing
    assert timing.cold_load_ms is None
    with pytest.raises(UnsupportedError, match="every_ms") as caught:
        bench(local, release, profile="smoke", settings=BenchSettings(every_ms=5.0))
    assert "compile" in caught.value.hint


def test_the_load_from_the_disk_is_one_of_its_own(local, make_release):
    release = make_release()
    found = bench(local, release, profile="smoke").timing
    assert found.cold_load_ms > 0 and found.cold_import_ms > 0
    found = bench(local, release, profile="smoke", settings=BenchSettings(cold_load=False)).timing
    assert found.cold_load_ms is None and found.cold_import_ms is None


@pytest.mark.parametrize(
    ("settings", "noted"),
    [(BenchSettings(), False), (BenchSettings(threads=1, cold_load=False), False), (BenchSettings(processes=2), True)],
)
def test_what_an_emulated_board_does_not_heed_is_told(local, make_release, settings, noted):
    class Listener(Progress):
        def __init__(self):
            self.notes = []

        def step(self, text):
            pass

        def advance(self, done, total, unit):
            pass

        def note(self, text):
            self.notes.append(text)

    local.emulated, listener = True, Listener()
    timing = bench(local, make_release(), profile="smoke", settings=settings, progress=listener).timing
    assert len(timing.processes) == 1 and timing.validity is None
    assert any("all settings but threads and affinity are ignored" in note for note in listener.notes) is noted


def test_energy_is_power_times_time(local, make_release, tmp_path):
    sensor = tmp_path / "sys/class/hwmon/hwmon0/power1_input"
    sensor.parent.mkdir(parents=True)
    sensor.write_text("2500000\n")
    release = make_release()
    runner = Path(release.path, "edgedeploy_runner/device.py")
    runner.write_text(runner.read_text().replace('SYS = "/sys"', f"SYS = {str(tmp_path / 'sys')!r}"))
    timing = bench(local, release, seconds=1.5).timing
    seconds = timing.processes[0].elapsed_s / timing.summary.n
    assert timing.energy_mj == pytest.approx(2.5 * seconds * 1000)


def test_memory_now_and_shared(local, make_release):
    measured = bench(local, make_release(), profile="smoke")
    assert 0 < measured.pss_bytes <= measured.rss_bytes <= measured.peak_rss_bytes + (4 << 20)


@pytest.mark.parametrize(
    ("limit_s", "noted"), [(60.0, []), (3.0, ["it is 60 °C after 4 s of cooling, and was 40 °C at first"])]
)
def test_it_cools_down_between_processes(monkeypatch, limit_s, noted):
    """Of a device that loses four degrees each two seconds that it is left alone."""
    from edgedeploy.measure import cooldown

    now_s, degrees_c, notes = [0.0], [40.0], []

    class Talk(Conversation):
        def __init__(self):
            pass

        def ask(self, request):
            return {"conditions": {"temperature_c": degrees_c[0]}}

    class Listener(Progress):
        def note(self, words):
            notes.append(words)

    def sleep(seconds):
        now_s[0] += 2.0
        degrees_c[0] -= 4.0

    monkeypatch.setattr(cooldown.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(cooldown.time, "sleep", sleep)
    assert cooldown.cool_down(Talk(), None, limit_s, Listener()) == 40.0
    degrees_c[0] = 68.0
    assert cooldown.cool_down(Talk(), 40.0, limit_s, Listener()) == 40.0
    assert notes == noted
    assert degrees_c[0] == (60.0 if noted else 40.0)
    degrees_c[0] = None
    assert cooldown.cool_down(Talk(), 40.0, limit_s, Listener()) is None


def test_figures_that_no_device_has_are_left_out_where_they_arrive(local, make_release):
    release = make_release()
    for file, old, new in (
        ("device.py", '"load_average_1min": load_average()', '"load_average_1min": -1e308'),
        ("runner.py", '"can": ABILITIES, ', '"can": [], '),
    ):
        runner = Path(release.path, "edgedeploy_runner", file)
        assert old in runner.read_text()
        runner.write_text(runner.read_text().replace(old, new))

    class Impossible(Conversation):
        def receive(self):
            message, arrays = super().receive()
            changes = {"peak_rss_bytes": -5, "pss_bytes": 1 << 60, "load_ms": 1e308, "first_ns": -1}
            message.update({name: value for name, value in changes.items() if name in message})
            return message, {name: array * 0 if name.endswith("_ns") else array for name, array in arrays.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgedeploy.measure.protocol.Conversation", Impossible)
        measured = bench(local, release, profile="smoke")
    assert measured.conditions.load_average_1min is None
    assert (measured.peak_rss_bytes, measured.pss_bytes) == (None, None) and measured.rss_bytes > 0
    timing = measured.timing
    assert (timing.load_ms, timing.first_inference_ms) == (None, None)
    assert timing.validity.outcome == "invalid"
    assert "took no time at all" in timing.validity.warnings[0].reason
