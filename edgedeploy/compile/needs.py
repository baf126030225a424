"""Reads what the programs and shared libraries in a bundle need of a device, from the files themselves.

The tag of a wheel is a promise; what is in it decides. (A wheel tagged for glibc 2.27 was seen to need 2.34.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import ARMAttributesSection, NoteSection
from msgspec import Struct, structs

from edgedeploy.compile.protocol import BuildResult
from edgedeploy.foundation.errors import IntegrityError, UnsupportedError
from edgedeploy.foundation.reading import open_file
from edgedeploy.targets.versions import version_numbers
from edgedeploy.values.target import Target

_MAGIC = b"\x7fELF"
_MACHINES = {"aarch64": "EM_AARCH64", "armv7l": "EM_ARM", "armv6l": "EM_ARM", "x86_64": "EM_X86_64"}

_GLIBC = re.compile(r"GLIBC_(?P<version>[0-9]+\.[0-9]+)(?:\.[0-9]+)?")
_OTHER_GLIBC = {"GLIBC_ABI_DT_RELR": "2.36"}
"""Names without a version in them: https://sourceware.org/glibc/wiki/Release/2.36"""

# Of glibc itself, which the version stands for.
_OF_GLIBC = re.compile(r"(lib(c|m|dl|rt|pthread|util|resolv|anl|mvec|nsl)|ld-linux[a-z0-9_-]*)\.so\.[0-9]+")
_LIBRARY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")

# Addenda to, and Errata in, the ABI for the Arm Architecture, 3.3: https://github.com/ARM-software/abi-aa
_ARM_CPU_NEWER_THAN_6 = {10, 12, 13, *range(14, 24)}
_ARM_VFPV4 = {5, 6}
_ARM_NEON = {1, 2, 3, 4}

# https://gitlab.com/x86-psABIs/x86-64-ABI: the levels of its micro-architecture, by what Linux calls their features.
_X86_LEVELS = {
    2: ("cx16", "popcnt", "sse4_1", "sse4_2", "ssse3"),
    4: ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"),
    8: ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"),
}


class ProgramNeeds(Struct, frozen=True, kw_only=True):
    """What all programs and shared libraries of a folder need together."""

    glibc: str | None = None
    """The oldest GNU C library that has every symbol they use; None when they use none of it."""
    page_size_bytes: int | None = None
    """The largest page size that all are aligned for, in bytes; None when there are no programs."""
    cpu_features: tuple[str, ...] = ()
    """CPU features that their files declare as required, by Linux's names. Optional ones are not declared."""
    shared_libraries: tuple[str, ...] = ()
    """Libraries that they load, that are not in the folder, and that are not part of the GNU C library."""


def with_needs(built: BuildResult, folder: Path, target: Target) -> BuildResult:
    """Add what the built files need to what the backend says that they need.

    Raises:
        UnsupportedError: they need another machine than the target is, a newer C library than it has, or smaller pages.
        IntegrityError: a file begins like a program and is none.
    """
    found = find_needs(folder, target.architecture)
    if found.glibc is not None and version_numbers(found.glibc) > version_numbers(target.os.glibc):
        raise UnsupportedError(
            f"{built.runtime.backend} needs glibc {found.glibc}, and {target.os.name} has {target.os.glibc}",
            hint="compile for a target with a newer system",
        )
    pages = [size for size in (found.page_size_bytes, built.needs.page_size_bytes) if size is not None]
    if pages and min(pages) < target.os.page_size_bytes:
        raise UnsupportedError(
            f"{built.runtime.backend} is aligned for pages of {min(pages):,} bytes, and {target.os.name} on "
            f"{target.name} has pages of {target.os.page_size_bytes:,}",
            hint="compile for a system with smaller pages",
        )
    return structs.replace(
        built,
        runtime=structs.replace(built.runtime, glibc=found.glibc or built.runtime.glibc),
        needs=structs.replace(
            built.needs,
            page_size_bytes=min(pages, default=None),
            cpu_features=tuple(sorted({*built.needs.cpu_features, *found.cpu_features})),
            shared_libraries=tuple(sorted({*built.needs.shared_libraries, *found.shared_libraries})),
        ),
    )


def find_needs(folder: Path, architecture: str) -> ProgramNeeds:
    """Read every program and shared library under `folder`.

    Args:
        architecture: which they have to be for.

    Raises:
        UnsupportedError: one is for another machine.
        IntegrityError: a file begins like a program and is none.
    """
    paths = sorted(folder.rglob("*"))
    programs = [_needs_of(path, folder, architecture) for path in paths if _is_program(path)]
    present = {path.name for path in paths}
    libraries = {name for program in programs for name in program.shared_libraries}
    return ProgramNeeds(
        glibc=max((program.glibc for program in programs if program.glibc), key=version_numbers, default=None),
        page_size_bytes=min((program.page_size_bytes for program in programs if program.page_size_bytes), default=None),
        cpu_features=tuple(sorted({feature for program in programs for feature in program.cpu_features})),
        shared_libraries=tuple(sorted(libraries - present)),
    )


def _is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with open_file(path) as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _needs_of(path: Path, folder: Path, architecture: str) -> ProgramNeeds:
    name = path.relative_to(folder).as_posix()
    with open_file(path) as file:
        try:
            return _read(file, name, architecture)
        except (ELFError, ConstructError, ValueError, KeyError, AttributeError, OverflowError, MemoryError) as error:
            raise IntegrityError(
                f"{name} begins like a program and is none", why=str(error), hint="compile the bundle again"
            ) from error


def _read(file: BinaryIO, name: str, architecture: str) -> ProgramNeeds:
    elf = ELFFile(file)
    machine = elf["e_machine"]
    if machine != _MACHINES[architecture]:
        raise UnsupportedError(
            f"{name} is a program for another machine than {architecture}",
            why=f"its header says {machine}",
            hint="please report it: a runtime was laid out for the wrong machine",
        )
    return ProgramNeeds(
        glibc=max(_glibc_versions(elf), key=version_numbers, default=None),
        page_size_bytes=min(
            (segment["p_align"] for segment in elf.iter_segments("PT_LOAD") if segment["p_align"] > 1), default=None
        ),
        cpu_features=_arm_features(elf, name, architecture) if machine == "EM_ARM" else _x86_features(elf),
        shared_libraries=tuple(_libraries(elf)),
    )


def _libraries(elf: ELFFile) -> Iterator[str]:
    for section in elf.iter_sections():
        if isinstance(section, DynamicSection):
            for tag in section.iter_tags("DT_NEEDED"):
                needed = str(getattr(tag, "needed", ""))
                if not _LIBRARY.fullmatch(needed):
                    raise ValueError(f"it asks for a library called {needed!r}")
                if not _OF_GLIBC.fullmatch(needed):
                    yield needed


def _glibc_versions(elf: ELFFile) -> Iterator[str]:
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for _, needed in section.iter_versions():
                for version in needed:
                    match = _GLIBC.fullmatch(version.name)
                    if match:
                        yield match["version"]
                    elif version.name in _OTHER_GLIBC:
                        yield _OTHER_GLIBC[version.name]


def _arm_features(elf: ELFFile, name: str, architecture: str) -> tuple[str, ...]:
    tags = {
        attribute.tag: attribute.value
        for section in elf.iter_sections()
        if isinstance(section, ARMAttributesSection)
        for part in section.iter_subsections()
        for each in part.iter_subsubsections()
        for attribute in each.iter_attributes()
    }
    if architecture == "armv6l" and tags.get("TAG_CPU_ARCH") in _ARM_CPU_NEWER_THAN_6:
        raise UnsupportedError(
            f"{name} is a program for a newer Arm than {architecture}",
            why="it would end at its first instruction that such a core lacks",
        )
    features = ["neon"] if tags.get("TAG_ADVANCED_SIMD_ARCH") in _ARM_NEON else []
    return (*features, *(["vfpv4"] if tags.get("TAG_FP_ARCH") in _ARM_VFPV4 else []))


def _x86_features(elf: ELFFile) -> tuple[str, ...]:
    found: set[str] = set()
    for section in elf.iter_sections():
        if not isinstance(section, NoteSection):
            continue
        for note in section.iter_notes():
            if note["n_type"] != "NT_GNU_PROPERTY_TYPE_0":
                continue
            for each in note["n_desc"]:
                if each["pr_type"] == "GNU_PROPERTY_X86_ISA_1_NEEDED":
                    for bit, features in _X86_LEVELS.items():
                        found |= set(features) if each["pr_data"] & bit else set()
    return tuple(sorted(found))
