"""Check whether a bundle can run on a device, before a byte is sent; and what will be built for a target."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from edgedeploy.deploy.scripts.asking import LIBRARIES, LOCALES, TOOLS
from edgedeploy.deploy.scripts.running import run
from edgedeploy.device.connection import Connection
from edgedeploy.device.probe.probe import probe
from edgedeploy.foundation.advice import SWAP_OR_MAKE_SMALLER
from edgedeploy.foundation.errors import DeviceError, IntegrityError, InvalidFileError
from edgedeploy.foundation.validation import check_name, check_relative_path, check_sha256
from edgedeploy.inference.element_types import TEXT
from edgedeploy.inference.locales import install_locale, is_locale, missing_locales
from edgedeploy.targets.backends import find_backend, usable_backends
from edgedeploy.targets.features import with_implied
from edgedeploy.targets.load import found_target
from edgedeploy.targets.versions import is_version, version_numbers
from edgedeploy.values.backend import BackendFacts
from edgedeploy.values.bundle import Manifest
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.probe import Probe
from edgedeploy.values.target import Target

_OF_32_BITS = ("armv7l", "armv6l")

_LIBRARY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
# https://wiki.debian.org/Multiarch/Tuples
_TRIPLETS = {
    "aarch64": "aarch64-linux-gnu", "armv7l": "arm-linux-gnueabihf", "armv6l": "arm-linux-gnueabihf",
    "x86_64": "x86_64-linux-gnu",
}  # fmt: skip
_PACKAGES = {
    "libatomic.so.1": "libatomic1", "libblas.so.3": "libblas3", "libgcc_s.so.1": "libgcc-s1",
    "libgfortran.so.5": "libgfortran5", "libgomp.so.1": "libgomp1", "liblapack.so.3": "liblapack3",
    "libstdc++.so.6": "libstdc++6", "libz.so.1": "zlib1g",
}  # fmt: skip
"""Of Debian, and so of Raspberry Pi OS and Ubuntu."""


RefusalKind = Literal[
    "architecture", "cpu_features", "python", "c_library", "page_size", "libraries", "locales", "memory"
]


class Refusal(Struct, frozen=True):
    """A fact about the device that the bundle cannot live with."""

    kind: RefusalKind
    what: str
    hint: str


def check_manifest(manifest: Manifest) -> None:
    """Hold every name, path, version and hash of a manifest to the rules of `foundation.validation`.

    Raises:
        IntegrityError: one breaks them.
    """
    check_name(manifest.name, "model name")
    check_name(manifest.version, "version")
    for what, version in (("Python", manifest.runtime.python), ("glibc", manifest.runtime.glibc)):
        if version is not None and not is_version(version):
            raise IntegrityError(f"{what} {version!r} is no version", why="expected is one such as 3.11")
    for name in manifest.needs.shared_libraries:
        if not _LIBRARY.fullmatch(name):
            raise IntegrityError(f"{name!r} is no name of a shared library")
    for name in manifest.needs.locales:
        if not is_locale(name):
            raise IntegrityError(f"{name!r} is no name of a locale")
    for entry in manifest.files:
        check_relative_path(entry.path)
        check_sha256(entry.sha256)


def check_device(manifest: Manifest, connection: Connection, *, peak_memory_bytes: int | None = None) -> Probe:
    """Compare what the bundle was built for with what the device says it is. Room on its disk is looked at later, when
    it is known which files are there (see `transfer`), and before any is sent.

    Args:
        peak_memory_bytes: the largest resident set that was measured with this model elsewhere.

    Returns:
        What the device said.

    Raises:
        DeviceError: a tool is missing there, or the device lacks something that the bundle needs.
    """
    missing = _missing(connection, TOOLS, doing="say which tools it has")
    if missing:
        raise DeviceError(
            f"{connection.address} has no {', '.join(missing)}",
            hint="install busybox, or coreutils and tar, there",
        )
    wanted = manifest.runtime.python
    found = probe(connection, pythons=(f"python{wanted}", "python3", "python") if wanted else ())
    refused = refusals(manifest, found, peak_memory_bytes=peak_memory_bytes)
    libraries, triplet = manifest.needs.shared_libraries, _TRIPLETS.get(manifest.architecture, "")
    if libraries and not refused:
        absent = _missing(connection, LIBRARIES, triplet, *libraries, doing="say which libraries it has")
        refused = _refusals_of_libraries(manifest, [name for name in libraries if name in absent], found)
    if manifest.needs.locales and not refused:
        known = set(_listed(connection, LOCALES, key="locale", doing="say which locales it has"))
        # A small system has no program that lists them: the health check finds out.
        refused = _refusals_of_locales(missing_locales(manifest.needs.locales, known) if known else (), found)
    _raise(refused)
    return found


def _missing(connection: Connection, script: str, *arguments: str, doing: str) -> list[str]:
    return _listed(connection, script, *arguments, key="missing", doing=doing)


def _listed(connection: Connection, script: str, *arguments: str, key: str, doing: str) -> list[str]:
    answer = run(connection, script, *arguments, doing=doing).stdout.decode(errors="replace")
    return [value for said, _, value in (line.partition(" ") for line in answer.splitlines()) if said == key]


def measured_peak_bytes(measurement: Measurement, manifest: Manifest) -> int | None:
    """Read the largest resident set, in bytes, that a measurement of this model has seen; None when it saw none.

    Raises:
        InvalidFileError: the measurement is of another model.
    """
    measured = measurement.release
    if (measured.name, measured.model_sha256) != (manifest.name, manifest.model.sha256):
        raise InvalidFileError(
            f"the measurement is of {measured.name} {measured.version}, not of the model in this bundle",
            why="its SHA-256 is another one",
            hint="give the measurement of this model, on any device, or none",
        )
    return measurement.peak_rss_bytes


def check_target(target: Target, found: Probe) -> None:
    """Check whether what is built for a target can run on a device at all, before any work is done for it.

    Raises:
        DeviceError: it cannot.
    """
    refused = _refusals_of_core(target.architecture, target.cpu.features, found, f"target {target.name} is")
    if not refused and all(facts is not None and facts.needs_python for facts in map(find_backend, target.backends)):
        refused = _refusals_of_python(target.os.python, target.architecture, found, f"target {target.name}")
    _raise(refused)


def refusals(manifest: Manifest, found: Probe, *, peak_memory_bytes: int | None = None) -> list[Refusal]:
    """Collect everything that speaks against a bundle on a device; unknown facts speak against nothing."""
    needs, runtime = manifest.needs, manifest.runtime
    refused = _refusals_of_core(manifest.architecture, needs.cpu_features, found, "the bundle is")
    if refused:
        # On another machine nothing else can be told.
        return refused
    if runtime.python is not None:
        other = _other_backends(manifest, found, lambda facts: not facts.needs_python)
        refused += _refusals_of_python(runtime.python, manifest.architecture, found, "the bundle's runtime", other)
    refused += _refusals_of_c_library(manifest, found)
    page = found.page_size_bytes
    if needs.page_size_bytes is not None and page is not None and page > needs.page_size_bytes:
        refused.append(
            Refusal(
                "page_size",
                f"the bundle's programs are aligned for pages of {needs.page_size_bytes:,} bytes, and those of "
                f"{found.address} have {page:,}",
                "start a kernel with smaller pages there (on a Raspberry Pi 5: kernel=kernel8.img in config.txt)"
                + _other_backends(manifest, found, lambda facts: not facts.needs_glibc, ""),
            )
        )
    return refused + _refusals_of_memory(manifest, found, peak_memory_bytes)


def _raise(refused: Sequence[Refusal]) -> None:
    if refused:
        first, *others = refused
        raise DeviceError(first.what, why="; ".join(f"also, {each.what}" for each in others), hint=first.hint)


def _refusals_of_core(architecture: str, features: Sequence[str], found: Probe, subject: str) -> list[Refusal]:
    runs = found.architectures
    if architecture not in runs:
        if architecture in _OF_32_BITS and "aarch64" in runs:
            return [
                Refusal(
                    "architecture",
                    f"{subject} for {architecture}, and {found.address} is aarch64 without a 32-bit userland",
                    f"{_compile(found)}, or install the 32-bit C library there (Debian: dpkg --add-architecture armhf, "
                    "then libc6:armhf)",
                )
            ]
        bits = f" with {found.userland_bits}-bit programs" if found.userland_bits and "64" in found.machine else ""
        machine = runs[0] if runs and not bits else found.machine
        return [
            Refusal(
                "architecture", f"{subject} for {architecture}, and {found.address} is {machine}{bits}", _compile(found)
            )
        ]
    missing = sorted(set(features) - with_implied(found.cpu_features)) if found.cpu_features else []
    if missing:
        core = f" ({found.cpu})" if found.cpu else ""
        return [
            Refusal(
                "cpu_features",
                f"{subject} for cores with {' '.join(missing)}, and those of {found.address}{core} are without",
                _compile(found),
            )
        ]
    return []


def _refusals_of_python(wanted: str, architecture: str, found: Probe, subject: str, other: str = "") -> list[Refusal]:
    bits = 32 if architecture in _OF_32_BITS else 64
    if any((python.version, python.bits) == (wanted, bits) for python in found.pythons):
        return []
    if not found.pythons:
        return [
            Refusal(
                "python",
                f"{subject} needs Python {wanted}, and {found.address} has no python3",
                f"install Python there{other}",
            )
        ]
    # Bits are worth a word where they are what is wrong.
    plain = all(python.bits == bits for python in found.pythons)
    has = ", ".join(each.version if plain else f"{each.version} ({each.bits} bits)" for each in found.pythons)
    wants = wanted if plain else f"{wanted} ({bits} bits)"
    return [
        Refusal(
            "python",
            f"{subject} needs Python {wants}, and {found.address} has Python {has}",
            f"{_compile(found)}, or install that Python there",
        )
    ]


def _refusals_of_c_library(manifest: Manifest, found: Probe) -> list[Refusal]:
    libc, runtime = found.libc, manifest.runtime
    if runtime.glibc is None or libc.kind == "unknown":
        return []
    if libc.kind == "glibc":
        if version_numbers(libc.version) >= version_numbers(runtime.glibc):
            return []
        has = f"glibc {libc.version}"
    elif libc.kind == "musl":
        has = f"another C library, musl {libc.version}".strip()
    else:
        has = "none that programs share"
    other = _other_backends(manifest, found, lambda facts: not facts.needs_glibc)
    return [
        Refusal(
            "c_library",
            f"the bundle's runtime needs glibc {runtime.glibc}, and {found.address} has {has}",
            f"{_compile(found)}{other}",
        )
    ]


def _refusals_of_libraries(manifest: Manifest, absent: Sequence[str], found: Probe) -> list[Refusal]:
    if not absent:
        return []
    packages = " ".join(sorted({_PACKAGES[name] for name in absent if name in _PACKAGES}))
    install = f"install what has them there (Debian: apt-get install {packages})" if packages else "install them there"
    return [
        Refusal(
            "libraries",
            f"the bundle's programs need {', '.join(absent)}, and {found.address} is without",
            f"{install}{_other_backends(manifest, found, lambda facts: not facts.needs_glibc)}",
        )
    ]


def _refusals_of_locales(absent: Sequence[str], found: Probe) -> list[Refusal]:
    if not absent:
        return []
    return [
        Refusal(
            "locales",
            f"the model changes the case of letters by the locale {', '.join(absent)}, and {found.address} is without",
            f"make it there, as root: {install_locale(absent[0])}; or export the model with locale='C.UTF-8'",
        )
    ]


def _refusals_of_memory(manifest: Manifest, found: Probe, peak_memory_bytes: int | None) -> list[Refusal]:
    if found.memory_available_bytes is None:
        return []
    available = found.memory_available_bytes + (found.swap_free_bytes or 0)
    measured = max(peak_memory_bytes or 0, manifest.needs.memory_bytes or 0)
    # Nobody has measured it: the weights alone are less than what is needed.
    weights = next((entry.size_bytes for entry in manifest.files if entry.path == manifest.model_file), 0)
    if max(measured, weights) <= available:
        return []
    needed = f"{measured:,} bytes of memory were measured" if measured else f"the model alone has {weights:,} bytes"
    return [
        Refusal(
            "memory",
            f"{needed}, and {found.address} has {available:,} available, swap included",
            SWAP_OR_MAKE_SMALLER,
        )
    ]


def _compile(found: Probe) -> str:
    if found.fit is None:
        return "compile it with a --target of that architecture"
    return f"edgedeploy compile MODEL --target {found.fit.target} -o BUNDLE"


def _other_backends(
    manifest: Manifest, found: Probe, can_have: Callable[[BackendFacts], bool], why: str = "which needs none"
) -> str:
    """Offer the backends that the device can have for the bundle's model; empty where there are none.

    Args:
        can_have: of backends that the target lists, those that do without what the device lacks.
    """
    target = found_target(found.fit.target if found.fit is not None else manifest.target)
    if target is None:
        return ""
    text = any(tensor.dtype == TEXT for tensor in (*manifest.model.inputs, *manifest.model.outputs))
    usable = usable_backends(target, manifest.model.format, text=text)
    names = [facts.name for facts in usable if facts.name != manifest.runtime.backend and can_have(facts)]
    return f", or compile with --backend {' or '.join(names)}{why and f', {why}'}" if names else ""
