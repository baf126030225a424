"""`edgedeploy probe`: identify a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options
from edgedeploy.foundation.units import bytes_in_words

if TYPE_CHECKING:
    from edgedeploy.values.probe import Probe

_UNKNOWN = "unknown"


@click.command(
    name="probe",
    epilog=examples(
        "edgedeploy probe ssh://pi@192.0.2.7",
        "edgedeploy probe board:rpi4 --json",
    ),
)
@device_argument()
@device_options
@common_options
def command(device: str, accept_new: bool, out: Output) -> int:
    """Show the kernel, cores, memory and system of DEVICE, and the target that fits it best.

    Nothing is changed on the device. It needs only a shell and uname; with busybox or the usual commands, every fact
    is read.
    """
    from rich.table import Table
    from rich.text import Text

    from edgedeploy import api

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        found = api.probe(connection)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in _rows(found).items():
        table.add_row(key, Text(value))
    out.result(found, table)
    return 0


def _rows(found: Probe) -> dict[str, str]:
    return {
        "board": found.board or _UNKNOWN,
        "machine": found.machine_kind.words,
        "system": found.system.name or _UNKNOWN,
        "kernel": f"{found.kernel} on {found.machine}",
        "programs": _programs(found),
        "cores": _cores(found),
        "features": " ".join(found.cpu_features) or _UNKNOWN,
        "clock": _clock(found),
        "memory": _share(found.memory_available_bytes, found.memory_total_bytes, "available"),
        "swap": _share(found.swap_free_bytes, found.swap_total_bytes, "free"),
        "disk": _UNKNOWN if found.disk_free_bytes is None else f"{bytes_in_words(found.disk_free_bytes)} free",
        "page size": _UNKNOWN if found.page_size_bytes is None else f"{found.page_size_bytes:,} bytes",
        "c library": _c_library(found),
        "python": ", ".join(f"{each.version} ({each.bits} bits)" for each in found.pythons) or "none",
        "temperature": _UNKNOWN if found.temperature_c is None else f"{found.temperature_c:.1f} °C",
        "throttled": _UNKNOWN if found.throttled is None else ", ".join(found.throttled) or "no",
        "target": _target(found),
    }


def _programs(found: Probe) -> str:
    bits = f" ({found.userland_bits} bits)" if found.userland_bits else ""
    first, *others = found.architectures or (_UNKNOWN,)
    return f"{first}{bits}" + (f"; also {', '.join(others)}" if others else "")


def _cores(found: Probe) -> str:
    if found.cores is None:
        return found.cpu or _UNKNOWN
    return f"{found.cores} x {found.cpu or 'unknown'}"


def _clock(found: Probe) -> str:
    parts = [f"up to {found.clock_max_mhz:,.0f} MHz"] if found.clock_max_mhz else []
    parts += [f"{found.clock_now_mhz:,.0f} MHz now"] if found.clock_now_mhz else []
    parts += [f"governor {found.governor}"] if found.governor else []
    return ", ".join(parts) or _UNKNOWN


def _share(part: int | None, whole: int | None, what: str) -> str:
    if whole is None:
        return _UNKNOWN
    if whole == 0:
        return "none"
    rest = "" if part is None else f", {bytes_in_words(part)} {what}"
    return f"{bytes_in_words(whole)}{rest}"


def _c_library(found: Probe) -> str:
    words = {"none": "no shared C library", "unknown": _UNKNOWN}
    return words.get(found.libc.kind, f"{found.libc.kind} {found.libc.version}".strip())


def _target(found: Probe) -> str:
    if found.fit is None:
        return "no target fits this device: see `edgedeploy targets`"
    return "\n".join((found.fit.target, *found.fit.why, *(f"but {each}" for each in found.fit.but)))
