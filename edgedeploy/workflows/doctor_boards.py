"""What `edgedeploy doctor boards` looks at beside programs, disk and memory: cores, packages, KVM."""

from __future__ import annotations

from edgedeploy.debian.distributions import distribution_of, own_release
from edgedeploy.debian.mirrors import ask_sources
from edgedeploy.device.emulator import qemu
from edgedeploy.device.emulator.board import DEFAULT_BOARD
from edgedeploy.device.emulator.image import image_is_there
from edgedeploy.device.emulator.kvm import KVM, kvm_refusal
from edgedeploy.device.emulator.systems import board_systems, default_system, emulation_with
from edgedeploy.foundation.errors import EdgedeployError, HostError
from edgedeploy.foundation.programs import completed, find
from edgedeploy.targets.load import found_target, load_target, target_names
from edgedeploy.workflows.finding import Finding

_TIMEOUT_S = 20.0


def cores(job: str) -> list[Finding]:
    """Find the targets whose core this machine's QEMU is too old for; empty where it has all, or is not there."""
    lacking: dict[tuple[str, str], list[str]] = {}
    known: dict[str, set[str]] = {}
    for name in target_names():
        target = found_target(name)
        if target is None or target.emulation is None:
            continue
        emulator, core = qemu.program(target, target.emulation), target.emulation.cpu.partition(",")[0]
        if emulator not in known:
            known[emulator] = _cores_of(emulator)
        if known[emulator] and core not in known[emulator]:
            lacking.setdefault((emulator, core), []).append(name)
    return [
        Finding(
            job=job,
            what=f"{emulator} for {core}",
            state="limited",
            detail=f"this QEMU has no such core: no emulated {', '.join(names)}",
            hint="install a newer QEMU; 7.2 has all",
        )
        for (emulator, core), names in lacking.items()
    ]


def _cores_of(emulator: str) -> set[str]:
    try:
        said = completed([find(emulator), "-machine", "virt", "-cpu", "help"], timeout_s=_TIMEOUT_S).stdout
    except (HostError, OSError):
        return set()
    return set(said.split())


def packages(job: str, *, ask_network: bool) -> list[Finding]:
    """Find out whether the packages of each release can be had; of a board's image that is there, none are needed.

    Ubuntu's for Arm are looked for on Ubuntu only.
    """
    target = load_target(DEFAULT_BOARD)
    usual, own = default_system(target), distribution_of(own_release())
    releases = [name for name in board_systems(target) if distribution_of(name) in (own, distribution_of(usual))]
    return [_packages(job, release, release == usual, ask_network) for release in releases]


def _packages(job: str, release: str, usual: bool, ask_network: bool) -> Finding:
    emulation = emulation_with(load_target(DEFAULT_BOARD), release)
    what = f"packages of {distribution_of(release).name} {release}"
    if image_is_there(emulation):
        detail = f"not needed: the image of {DEFAULT_BOARD} is there"
        return Finding(job=job, what=what, state="ready", detail=detail)
    if not ask_network:
        detail = "not known: that takes a look at the network"
        return Finding(job=job, what=what, state="limited", detail=detail, hint="edgedeploy doctor boards")
    try:
        places = ask_sources(release, emulation.debian_architecture)
    except EdgedeployError as error:
        why = f"{error.what}: {error.why}" if error.why else error.what
        return Finding(job=job, what=what, state="missing" if usual else "limited", detail=why, hint=error.hint)
    return Finding(job=job, what=what, state="ready", detail=f"from {', '.join(places)}")


def acceleration(job: str) -> Finding:
    """Find out whether boards run on this machine's own cores."""
    emulation = emulation_with(load_target(DEFAULT_BOARD), default_system(load_target(DEFAULT_BOARD)))
    refusal = kvm_refusal(emulation)
    if not refusal:
        detail = "64-bit boards run on this machine's own cores; those that count instructions are emulated"
        return Finding(job=job, what="KVM", state="ready", detail=detail)
    if str(KVM) not in refusal:
        return Finding(job=job, what="KVM", state="ready", detail=f"not used, boards are emulated: {refusal}")
    hint = 'log in again after: sudo usermod -aG kvm "$USER"' if KVM.exists() else ""
    return Finding(
        job=job, what="KVM", state="limited", detail=f"boards are emulated, which is slow: {refusal}", hint=hint
    )
