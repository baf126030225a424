"""Finds the target that a device is an instance of."""

from __future__ import annotations

from msgspec import Struct, structs

from edgedeploy.targets.backends import backends
from edgedeploy.targets.features import with_implied
from edgedeploy.targets.load import found_target, target_names
from edgedeploy.targets.versions import version_numbers
from edgedeploy.values.probe import Fit, Probe
from edgedeploy.values.target import OperatingSystem, Target


class _Candidate(Struct, frozen=True, kw_only=True):
    target: Target
    rank: tuple[int, ...]
    why: tuple[str, ...]


def fit_target(probe: Probe, *, only: str | None = None) -> tuple[Target, Fit] | None:
    """Find the target that fits a device best, as it is on this device, and why; None where no target fits.

    The target's system is the one of its systems that the device has, else what the device says of its own. Backends
    that the device cannot have, because it has no Python or no GNU C library, are taken out.

    Args:
        only: the one target that comes into question, where that is known: then any core with its features will do, as
            that of an emulated board.
    """
    names = target_names() if only is None else (only,)
    candidates = [
        found
        for name in names
        if (target := found_target(name)) and (found := _candidate(target, probe, named=only is not None))
    ]
    if not candidates:
        return None
    # Of equals the first by name, so that the answer is always the same.
    best = max(candidates, key=lambda candidate: candidate.rank)
    system, evidence, deviation = _system(best.target, probe)
    backends, missing = _backends(best.target, probe)
    target = structs.replace(best.target, os=system, other_os=(), backends=backends or best.target.backends)
    named = system in best.target.other_os and system.release
    fit = Fit(
        target=f"{target.name}:{system.release}" if named else target.name,
        why=(*best.why, *evidence),
        but=(*_short_of(best.target, probe), *deviation, *missing),
    )
    return target, fit


def _candidate(target: Target, probe: Probe, *, named: bool) -> _Candidate | None:
    """Rank how well a target fits; None where its programs cannot run there."""
    if target.architecture not in probe.architectures:
        return None
    have = with_implied(probe.cpu_features)
    if have and not have.issuperset(target.cpu.features):
        return None
    core = target.cpu.part
    if not named and core is not None and probe.cpu_part is not None and core != probe.cpu_part:
        return None
    board = max((len(name) for name in target.boards if probe.board.startswith(name)), default=0)
    core_fits = core is not None and core == probe.cpu_part
    if not named and target.boards and not board and not core_fits:
        return None
    memory_fits = any(_is_memory(probe, size_mb) for size_mb in target.memory_mb)
    place = probe.architectures.index(target.architecture)
    why = [f"it runs programs for {target.architecture}"]
    if board:
        why.insert(0, f"it is a {probe.board}")
    if core_fits:
        why.append(f"its cores are {probe.cpu}")
    elif have:
        why.append(f"its cores have {' '.join(target.cpu.features)}")
    rank = (-place, board, core_fits, memory_fits if board or core_fits else 0, len(target.cpu.features))
    return _Candidate(target=target, rank=tuple(map(int, rank)), why=tuple(why))


def _is_memory(probe: Probe, size_mb: int) -> bool:
    """Tell whether it can be sold with this memory. Linux reports less: firmware and graphics take theirs."""
    total_mb = (probe.memory_total_bytes or 0) >> 20
    return 0.7 * size_mb <= total_mb <= size_mb


def _system(target: Target, probe: Probe) -> tuple[OperatingSystem, tuple[str, ...], tuple[str, ...]]:
    """Choose the system to build for; with the reasons, and how the device deviates from the target's systems."""
    versions = [python.version for python in probe.pythons if python.bits == _bits(target)]
    listed = (target.os, *target.other_os)
    glibc = version_numbers(probe.libc.version) if probe.libc.kind == "glibc" else ()
    page = probe.page_size_bytes or 0
    # By its name, then by what matters.
    by_name = sorted(listed, key=lambda each: each.release not in ("", probe.system.codename))
    for each in by_name:
        if each.python in versions and version_numbers(each.glibc) <= glibc:
            found = structs.replace(each, page_size_bytes=page) if page and page != each.page_size_bytes else each
            evidence = f"it has Python {each.python} and glibc {probe.libc.version}, as {each.name} has"
            if found is each:
                return each, (evidence,), ()
            pages = f"its pages have {page:,} bytes, not {each.page_size_bytes:,} as by default on {target.name}"
            return found, (evidence,), (pages,)
    if not versions:
        # Nothing that needs a Python will run; the rest is built for the newest C library that is not newer than its.
        older = [each for each in listed if glibc and version_numbers(each.glibc) <= glibc]
        return max(older, key=lambda each: version_numbers(each.glibc), default=target.os), (), ()
    own = OperatingSystem(
        name=probe.system.name or "the device's own system",
        python=versions[0],
        glibc=probe.libc.version if glibc else target.os.glibc,
        page_size_bytes=page or target.os.page_size_bytes,
    )
    has = f"Python {versions[0]}" + (f" and glibc {probe.libc.version}" if glibc else "")
    return own, (), (f"none of the target's systems has its {has}: what is built is for {own.name}",)


def _bits(target: Target) -> int:
    return 32 if target.architecture.startswith("armv") else 64


def _backends(target: Target, probe: Probe) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List the backends that the device can have; and why not the others."""
    has_python = any(python.bits == _bits(target) for python in probe.pythons)
    other_libc = {"musl": "musl as its C library", "none": "no shared C library"}.get(probe.libc.kind)
    gone: dict[str, str] = {}
    for facts in backends():
        if facts.name not in target.backends:
            continue
        if facts.needs_glibc and other_libc:
            gone[facts.name] = other_libc
        elif facts.needs_python and not has_python:
            gone[facts.name] = f"no {_bits(target)}-bit Python 3"
    reasons = tuple(
        f"it has {why}: not for {', '.join(name for name in gone if gone[name] == why)}"
        for why in dict.fromkeys(gone.values())
    )
    return tuple(name for name in target.backends if name not in gone), reasons


def _short_of(target: Target, probe: Probe) -> tuple[str, ...]:
    found: list[str] = []
    if target.cpu.part is not None and probe.cpu_part not in (None, target.cpu.part):
        found.append(f"its cores are {probe.cpu}, not {target.cpu.core}")
    least_mb = target.memory_mb[0]
    total_mb = (probe.memory_total_bytes or 0) >> 20
    if total_mb and total_mb < 0.7 * least_mb:
        found.append(f"it has {total_mb:,} MB of memory, the target {least_mb:,} MB at least")
    return tuple(found)
