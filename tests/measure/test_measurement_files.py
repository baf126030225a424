from __future__ import annotations

import msgspec
import pytest
from msgspec import structs

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.measure.conditions import merge
from edgedeploy.measure.files import load_measurement, save_measurement


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
