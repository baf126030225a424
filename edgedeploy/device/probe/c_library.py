"""Determine which C library a device has, from what its programs say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgedeploy.values.probe import CLibrary

_VERSION = r"(?P<version>[0-9]{1,3}\.[0-9]{1,3})(?:\.[0-9]{1,3})?"

# In order: `getconf`; `ldd --version` («ldd (Debian GLIBC 2.36-9+deb12u10) 2.36», «ldd (GNU libc) 2.34»); the
# library itself («GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.»); its file before glibc 2.34.
_GLIBC = (
    re.compile(rf"glibc {_VERSION}", re.ASCII),
    re.compile(rf"ldd \(.{{1,64}}\) {_VERSION}", re.ASCII),
    re.compile(rf"GNU C Library .{{0,100}}release version {_VERSION}\.?.{{0,16}}", re.ASCII),
    re.compile(rf"/.{{0,200}}/libc-{_VERSION}\.so", re.ASCII),
)
_PYTHON = re.compile(rf"3\.[0-9]{{1,2}} (?:32|64) glibc {_VERSION}", re.ASCII)
_MUSL = re.compile(r"musl libc\b.{0,64}", re.ASCII)
_MUSL_VERSION = re.compile(rf"Version {_VERSION}.{{0,32}}", re.ASCII)


def read_c_library(lines: Sequence[str], of_python: Sequence[str], *, has_loader: bool, asked: bool) -> CLibrary:
    """Determine the C library of a device.

    Args:
        lines: what programs there said of it, or names of its file.
        of_python: what Pythons there said, see `probe.script`.
        has_loader: whether there is any program loader for shared libraries at a place that is known.
        asked: whether the script came to its end, so that no loader means that there is none.
    """
    for pattern in _GLIBC:
        for line in lines:
            if match := pattern.fullmatch(line):
                return CLibrary(kind="glibc", version=match["version"])
    for line in of_python:
        if match := _PYTHON.fullmatch(line):
            return CLibrary(kind="glibc", version=match["version"])
    if any(_MUSL.fullmatch(line) for line in lines):
        versions = [match["version"] for match in map(_MUSL_VERSION.fullmatch, lines) if match]
        return CLibrary(kind="musl", version=versions[0] if versions else "")
    return CLibrary(kind="unknown" if has_loader or not asked else "none", version="")
