"""Which of a target's systems a board can have, which one it gets, and how it is then emulated."""

from __future__ import annotations

from msgspec import structs

from edgedeploy.debian.distributions import DEBIAN, UBUNTU, own_release
from edgedeploy.device.emulator.state import BoardState
from edgedeploy.foundation.errors import UnknownNameError, UnsupportedError
from edgedeploy.targets.load import load_target
from edgedeploy.values.target import Emulation, Target


def board_systems(target: Target) -> tuple[str, ...]:
    """List the releases that boards of a target can have, by code name, the target's first system first.

    They are those of its systems that Debian or Ubuntu made, and the one that its `[emulation]` names. Of Ubuntu's, it
    must name the kernel too.
    """
    emulation = target.emulation
    if emulation is None:
        return ()
    named = [system.release for system in (target.os, *target.other_os)]
    return tuple(
        release
        for release in dict.fromkeys((*named, emulation.debian_release))
        if release in DEBIAN.releases
        or (release in UBUNTU.releases and release in emulation.kernel_packages)
        or release == emulation.debian_release
    )


def default_system(target: Target) -> str:
    """Choose the release of a board where none is asked for: this machine's own, where the target names it.

    Else it is the one that the target's `[emulation]` says. Ubuntu's own release is left to be asked for: its packages
    for Arm are on mirrors of their own, which other machines of Ubuntu's have no source of.

    Raises:
        UnsupportedError: the target has no emulated board.
    """
    own = own_release()
    if own in board_systems(target) and own not in UBUNTU.releases:
        return own
    return _emulation(target).debian_release


def release_of(state: BoardState, target: Target | None) -> str:
    """Return the release that a board has, which states of earlier versions do not say."""
    return state.os or (target.emulation.debian_release if target and target.emulation else "")


def emulation_with(target: Target, release: str) -> Emulation:
    """Return how a board of that release is emulated: its `debian_release` and its kernel are those of `release`.

    Raises:
        UnsupportedError: the target has no emulated board.
        UnknownNameError: its boards cannot have that release; the message lists those that they can have.
    """
    emulation = _emulation(target)
    systems = board_systems(target)
    if release not in systems:
        raise UnknownNameError(
            f"a board of target {target.name} cannot have the system {release!r}",
            why=f"there are: {', '.join(systems) or 'none'}",
            hint=f"edgedeploy targets {target.name}",
        )
    kernel = emulation.kernel_packages.get(release, emulation.kernel_package)
    return structs.replace(emulation, debian_release=release, kernel_package=kernel)


def target_with(name: str, release: str) -> Target:
    """Load the target of a board with the system that the board has, to build for it.

    Raises:
        UnknownNameError, InvalidFileError: as `load_target`.
    """
    target = load_target(name)
    if release in {system.release for system in (target.os, *target.other_os)}:
        return load_target(f"{name}:{release}")
    return target


def _emulation(target: Target) -> Emulation:
    if target.emulation is None:
        raise UnsupportedError(
            f"target {target.name} has no emulated board",
            why="its file has no [emulation] table",
            hint="see which have one: edgedeploy targets; `local:` is a device for x86-64, and for an rpi-zero "
            "bundles of the backend native run on an emulated rpi2 as well",
        )
    return target.emulation
