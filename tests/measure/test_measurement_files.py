from __future__ import annotations

import msgspec
import pytest
from msgspec import structs

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.measure.conditions import merge
from edgedeploy.measure.files import load_measurement, save_measurement
from edgedeploy.values.measurement import DeviceState, ProcessRun


def test_a_measurement_comes_back_from_its_file(measurement, tmp_path):
    save_measurement(measurement, tmp_path / "m.json")
    assert load_measurement(tmp_path / "m.json") == measurement


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"schema": "1"}', b"{'schema': 1}"])
def test_what_is_not_a_measurement_is_told(content, tmp_path):
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(InvalidFileError, match="not a measurement"):
        load_measurement(tmp_path / "m.json")


def test_a_wrong_type_far_inside_is_told_with_its_place(measurement, tmp_path):
    content = msgspec.json.encode(measurement).replace(b'"cores":4', b'"cores":"four"')
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(InvalidFileError) as caught:
        load_measurement(tmp_path / "m.json")
    assert "$.conditions.cores" in caught.value.why


def test_brackets_without_end_are_told(measurement, tmp_path):
    content = msgspec.json.encode(measurement).replace(b'"schema":1', b'"unknown":' + b"[" * 100_000)
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(InvalidFileError, match="not a measurement"):
        load_measurement(tmp_path / "m.json")


def test_another_schema_is_told(measurement, tmp_path):
    save_measurement(structs.replace(measurement, schema=2), tmp_path / "m.json")
    with pytest.raises(InvalidFileError, match="schema 2"):
        load_measurement(tmp_path / "m.json")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InvalidFileError, match="does not exist"):
        load_measurement(tmp_path / "m.json")


def test_two_measurements_of_one_release_are_one(measurement):
    timed = structs.replace(measurement, accuracy=None, peak_rss_bytes=70_000_000)
    tested = structs.replace(measurement, timing=None, golden=None, peak_rss_bytes=60_000_000)
    for merged in (merge(timed, tested), merge(tested, timed)):
        assert merged == structs.replace(measurement, peak_rss_bytes=70_000_000)


def test_measurements_of_two_releases_or_devices_are_not_merged(measurement):
    for other in (
        structs.replace(measurement, device="ssh://other"),
        structs.replace(measurement, release=structs.replace(measurement.release, id="2-def")),
    ):
        with pytest.raises(InvalidFileError, match="one release on one device"):
            merge(measurement, other)


def test_figures_that_no_device_has_are_left_out_where_a_file_is_read(measurement, tmp_path):
    conditions = structs.replace(
        measurement.conditions, load_average_1min=1e308, temperature_c=-4000.0, memory_total_bytes=-1
    )
    state = DeviceState(phase="steady", cpu_busy_s=-1.0, power_w=1e300, clock_mhz=1500.0, throttled=-1)
    run = ProcessRun(
        import_ms=-3.0, load_ms=2.0, first_inference_ms=1e308, warmup=0, samples=1, elapsed_s=1.0, p50_ms=1.0,
        states=(state,),
    )  # fmt: skip
    timing = structs.replace(measurement.timing, import_ms=5.0, load_ms=-2.0, processes=(run,))
    path = tmp_path / "measurement.json"
    save_measurement(
        structs.replace(measurement, conditions=conditions, timing=timing, peak_rss_bytes=-5, rss_bytes=0), path
    )
    found = load_measurement(path)
    assert (found.peak_rss_bytes, found.rss_bytes, found.timing.load_ms) == (None, None, None)
    assert (found.conditions.load_average_1min, found.conditions.temperature_c) == (None, None)
    assert found.conditions.memory_total_bytes is None and found.conditions.memory_available_bytes == 3_000_000_000
    process = found.timing.processes[0]
    assert (process.import_ms, process.load_ms, process.first_inference_ms) == (None, None, None)
    assert process.states == (DeviceState(phase="steady", clock_mhz=1500.0),)
    assert found.timing.samples_ms == measurement.timing.samples_ms
