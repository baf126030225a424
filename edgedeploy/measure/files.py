"""Read and write measurement files: the JSON that `--json` prints and `-o` writes."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.foundation.files import unreadable, write_bytes
from edgedeploy.foundation.reading import MEASUREMENT, read_file
from edgedeploy.measure.conditions import SCHEMA
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.plausible import only_possible


def save_measurement(measurement: Measurement, path: Path) -> None:
    """Write a measurement as JSON, whole or not at all.

    Raises:
        HostError: it cannot be written.
    """
    write_bytes(path, msgspec.json.format(msgspec.json.encode(measurement), indent=2) + b"\n")


def load_runs(path: Path) -> tuple[Measurement, ...]:
    """Read the measurement in a file, or those in a folder's `.json` files, in the order of their names.

    Raises:
        InvalidFileError: as `load_measurement`; or the folder has none.
    """
    if not path.is_dir():
        return (load_measurement(path),)
    files = sorted(path.glob("*.json"))
    if not files:
        raise InvalidFileError(
            f"{path} has no measurements",
            hint=f"make one: edgedeploy bench DEVICE -o {shlex.quote(str(path / '1.json'))}",
        )
    return tuple(load_measurement(file) for file in files)


def load_measurement(path: Path) -> Measurement:
    """Read a measurement; figures that no device can have are left out, as far as a measurement may lack them.

    Raises:
        InvalidFileError: it cannot be read, or is not a measurement of this version; the message has its full path.
    """
    path = path.absolute()
    try:
        measurement = msgspec.json.decode(read_file(path, MEASUREMENT), type=Measurement)
    except OSError as error:
        raise unreadable(path, error) from error
    # A ValueError is a MsgspecError or a UnicodeDecodeError; too many brackets are a RecursionError.
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(
            f"{path} is not a measurement",
            why=str(error),
            hint="make one: edgedeploy test DEVICE --evaluation DATA -o FILE",
        ) from error
    if measurement.schema != SCHEMA:
        raise InvalidFileError(
            f"{path} has schema {measurement.schema}; this edgedeploy reads {SCHEMA}",
            hint="measure again with this version of edgedeploy",
        )
    return only_possible(measurement)
