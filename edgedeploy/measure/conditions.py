"""What every measurement says beside its figures: which release, on which device, under which conditions."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from msgspec import structs

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, InvalidFileError
from edgedeploy.foundation.sanitize import printable
from edgedeploy.measure.protocol import Conversation
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import Conditions, MeasuredRelease, Measurement

SCHEMA = 1


def observe(talk: Conversation, connection: Connection, release: Release) -> Measurement:
    """A measurement without figures, to be completed. Asked after the run, so that load and temperature are its."""
    manifest = release.manifest
    memory = talk.ask({"do": "memory"})
    rss_bytes = talk.field(memory, "rss_bytes", int | None)
    # The kernel counts the peak with a delay of some hundred kilobytes: it was at least what is there now.
    peaks = [seen for seen in (talk.field(memory, "peak_rss_bytes", int | None), rss_bytes) if seen is not None]
    return Measurement(
        schema=SCHEMA,
        device=connection.address,
        taken_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        release=MeasuredRelease(
            name=release.name,
            version=manifest.version,
            id=release.id,
            target=manifest.target,
            model_sha256=manifest.model.sha256,
            model_size_bytes=manifest.model.size_bytes,
            parameters=manifest.model.parameters,
            bundle_size_bytes=sum(entry.size_bytes for entry in manifest.files),
            source=manifest.source,
        ),
        conditions=_conditions(talk, connection),
        peak_rss_bytes=max(peaks, default=None),
        rss_bytes=rss_bytes,
        pss_bytes=talk.field(memory, "pss_bytes", int | None),
    )


def merge(one: Measurement, other: Measurement) -> Measurement:
    """Two measurements of the same release on the same device as one; where both have a figure, `other` wins.

    The peak of memory is the larger one, the conditions are those of `other`.

    Raises:
        InvalidFileError: they are of different releases or devices.
    """
    if (one.device, one.release) != (other.device, other.release):
        raise InvalidFileError(
            "the measurements are not of one release on one device",
            why=f"{one.release.id} on {one.device}, {other.release.id} on {other.device}",
            hint="check them one by one",
        )
    peaks = [peak for peak in (one.peak_rss_bytes, other.peak_rss_bytes) if peak is not None]
    return structs.replace(
        other,
        peak_rss_bytes=max(peaks, default=None),
        timing=other.timing or one.timing,
        count=other.count or one.count,
        accuracy=other.accuracy or one.accuracy,
        golden=other.golden or one.golden,
    )


def _conditions(talk: Conversation, connection: Connection) -> Conditions:
    said: dict[str, Any] = talk.field(talk.ask({"do": "hello"}), "conditions", dict[str, Any])
    try:
        return msgspec.convert({**_shown(said), "emulated": connection.emulated}, Conditions)
    except msgspec.ValidationError as error:
        raise DeviceError(
            f"{connection.address} describes itself in an unknown way", why=printable(str(error))
        ) from error


def _shown(value: Any) -> Any:
    """The device's own words without what a terminal would obey."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): _shown(item) for key, item in value.items()}
    return value
