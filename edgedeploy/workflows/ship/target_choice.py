"""Chooses what to build for, by what the device says of itself."""

from __future__ import annotations

from msgspec import structs

from edgedeploy.deploy.preflight import check_target
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import board_status
from edgedeploy.device.probe.probe import probe
from edgedeploy.foundation.errors import DeviceError, UnsupportedError
from edgedeploy.foundation.progress import Progress
from edgedeploy.targets.fit import fit_target
from edgedeploy.targets.load import load_target
from edgedeploy.values.probe import Fit, Probe
from edgedeploy.values.target import Target


def choose_target(connection: Connection, device: str, name: str | None, backend: str, progress: Progress) -> Target:
    """Ask the device what it is, and find what to build for. A device that cannot run it is known before any work.

    Args:
        device: the address that `connection` was opened with.
        name: a target's name, or `NAME:RELEASE` for one of its systems; None: the target that fits best.
        backend: `"auto"`, or the one backend that the returned target then has.

    Raises:
        DeviceError: no target is for such a device, or it is none of the kind `name`.
        UnsupportedError: the target, or this device, cannot have the backend.
        UnknownNameError: there is no such target.
    """
    progress.step(f"asking {connection.address} what it is")
    found = probe(connection)
    fitting = _fitting(found, device, name)
    if fitting is not None:
        target, fit = fitting
        but = fit.but
        progress.note(f"target {fit.target}: {'; '.join((*fit.why, *(f'but {each}' for each in but)))}")
    elif name is not None:
        target, but = load_target(name), ()
        check_target(target, found)
    else:
        raise DeviceError(
            f"{connection.address} is {found.machine}, and no target is for such a device",
            hint="say what to build for with --target; these there are: edgedeploy targets",
        )
    return _with_backend(target, backend, connection.address, but)


def _fitting(found: Probe, device: str, name: str | None) -> tuple[Target, Fit] | None:
    if name is None:
        return fit_target(found, only=_target_of_board(device)) or fit_target(found)
    # One of the target's systems that was named is built for as it is; else it is the device's own.
    return None if ":" in name else fit_target(found, only=name)


def _target_of_board(device: str) -> str | None:
    """QEMU says less of what it stands in for than the state of the board does."""
    if not device.startswith("board:"):
        return None
    return board_status(device.removeprefix("board:")).target or None


def _with_backend(target: Target, backend: str, address: str, but: tuple[str, ...]) -> Target:
    if backend == "auto":
        return target
    if backend not in target.backends:
        raise UnsupportedError(
            f"{address} as a {target.name} cannot have the backend {backend!r}",
            why="; ".join(but),
            hint=f"there are: {', '.join(target.backends)}",
        )
    # Passes ask what runs the model: no operators of one runtime for another.
    return structs.replace(target, backends=(backend,))
