"""Record what every measurement has beside its figures: the release, the device, and the conditions there."""

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
from edgedeploy.values.plausible import only_possible, possible

SCHEMA = 1


def observe(talk: Conversation, connection: Connection, release: Release) -> Measurement:
    """Return a measurement without figures. Call it after the run: load and temperature are then those of the run."""
    manifest = release.manifest
    memory = talk.ask({"do": "memory"})
    rss_bytes = possible("rss_bytes", talk.field(memory, "rss_bytes", int | None))
    reported_peak: int | None = talk.field(memory, "peak_rss_bytes", int | None)
    peak_bytes = possible("peak_rss_bytes", reported_peak)
    # The kernel counts the peak with a delay of some hundred kilobytes: it was at least what is resident now.
    peaks = [peak for peak in (peak_bytes, rss_bytes) if peak is not None]
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
        peak_rss_bytes=max(peaks, default=None) if peak_bytes == reported_peak else None,
        rss_bytes=rss_bytes,
        pss_bytes=possible("pss_bytes", talk.field(memory, "pss_bytes", int | None)),
    )


def merge(first: Measurement, second: Measurement) -> Measurement:
    """Merge two measurements of one release on one device; where both have a figure, that of `second` stays.

    The memory's peak is the larger one, the conditions are those of `second`.

    Raises:
        InvalidFileError: they are of different releases or devices.
    """
    if (first.device, first.release) != (second.device, second.release):
        raise InvalidFileError(
            "the measurements are not of one release on one device",
            why=f"{first.release.id} on {first.device}, {second.release.id} on {second.device}",
            hint="check them one by one",
        )
    peaks = [peak for peak in (first.peak_rss_bytes, second.peak_rss_bytes) if peak is not None]
    return structs.replace(
        second,
        peak_rss_bytes=max(peaks, default=None),
        timing=second.timing or first.timing,
        count=second.count or first.count,
        accuracy=second.accuracy or first.accuracy,
        golden=second.golden or first.golden,
    )


def _conditions(talk: Conversation, connection: Connection) -> Conditions:
    reported: dict[str, Any] = talk.field(talk.ask({"do": "hello"}), "conditions", dict[str, Any])
    try:
        known = {
            "emulated": connection.emulated,
            "virtual_machine": connection.virtual_machine,
            "emulator": connection.emulator,
        }
        conditions = msgspec.convert({**_printable(reported), **known}, Conditions)
    except msgspec.ValidationError as error:
        raise DeviceError(
            f"{connection.address} describes itself in an unknown way", why=printable(str(error))
        ) from error
    return only_possible(conditions)


def _printable(value: Any) -> Any:
    """Return a JSON value with all its text made printable: a terminal would obey control characters."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): _printable(item) for key, item in value.items()}
    return value
